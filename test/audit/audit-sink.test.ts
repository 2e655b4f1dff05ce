import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FlushFailed, openFileSink } from "../../src/audit/audit-sink.ts";
import { temporaryFolder } from "../harness.ts";

describe("the audit log's file, as a sink", () => {
  test("is flushed, opened anew and closed by any number of callers at once, and loses no line", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const sink = await openFileSink(path);
    for (let i = 0; i < 20; i++) {
      await sink.write(`${i}\n`);
      renameSync(path, `${path}.${i}`);
      const first = sink.reopen();
      const syncs: Promise<void>[] = [sink.sync()];
      // Begins at every point of the opening, between any two of its system calls.
      const second = sink.reopen();
      for (let turn = 0; turn < 10; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
        syncs.push(sink.sync());
      }
      await Promise.all([first, second, ...syncs]);
    }
    await Promise.all([sink.sync(), sink.close(), sink.sync()]);
    const lines = Array.from({ length: 20 }, (_, i) => readFileSync(`${path}.${i}`, "utf8"));
    assert.deepEqual(
      lines,
      Array.from({ length: 20 }, (_, i) => `${i}\n`),
    );
    assert.equal(readFileSync(path, "utf8"), "");
  });

  test(
    "is not left for another one while a half-written line stands in it",
    { skip: !existsSync("/dev/full") || !existsSync("/proc/self/fd") },
    async () => {
      const path = join(temporaryFolder(), "audit.log");
      // A device that takes no byte, and cannot be cut back either.
      symlinkSync("/dev/full", path);
      const sink = await openFileSink(path);
      await assert.rejects(sink.write("x\n"), { code: "ENOSPC" });
      rmSync(path);
      const before = readdirSync("/proc/self/fd").length;
      await assert.rejects(sink.reopen(), { code: "EINVAL", syscall: "ftruncate" });
      assert.equal(readdirSync("/proc/self/fd").length, before, "and the new one is closed again");
    },
  );

  test(
    "never tries a failed flush again, by whichever way it comes",
    { skip: !existsSync("/dev/full") },
    async () => {
      const path = join(temporaryFolder(), "audit.log");
      symlinkSync("/dev/full", path);
      const sink = await openFileSink(path);
      const failure = await sink.sync().then(
        () => undefined,
        (error: unknown) => error,
      );
      assert.ok(failure instanceof FlushFailed);
      for (const again of [sink.sync(), sink.reopen(), sink.close()])
        await assert.rejects(again, (error) => error === failure);
    },
  );
});
