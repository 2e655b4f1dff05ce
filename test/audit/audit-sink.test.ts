import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FlushFailed, openFileSink, realDisk, type Disk } from "../../src/audit/audit-sink.ts";
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

  test("is written off the loop once the disk makes several writes wait, and not for a single one", async () => {
    const path = join(temporaryFolder(), "audit.log");
    let onLoop = 0;
    const writesOnLoop = (): number => onLoop;
    let isSlow = false;
    const sink = await openFileSink(path, {
      ...realDisk,
      writeSync(...args) {
        onLoop++;
        const end = performance.now() + (isSlow ? 6 : 0);
        while (performance.now() < end);
        return realDisk.writeSync(...args);
      },
    });
    const write = async (slow: boolean): Promise<void> => {
      isSlow = slow;
      await sink.write("line\n");
    };
    for (const slow of [true, false, false]) await write(slow);
    assert.equal(writesOnLoop(), 3);
    for (const slow of [true, true, true, true, true]) await write(slow);
    assert.ok(writesOnLoop() <= 6, "the disk is left to other threads");
    await sink.close();
    assert.equal(readFileSync(path, "utf8"), "line\n".repeat(8));
  });

  test("is not left for another one while a half-written line stands in it", async () => {
    const path = join(temporaryFolder(), "audit.log");
    let cutting = false;
    const sink = await openFileSink(path, {
      ...fullDisk(1),
      ftruncate: (fd, size) => (cutting ? realDisk.ftruncate(fd, size) : Promise.reject(failure("EIO"))),
    });
    await sink.write("whole\n");
    await assert.rejects(sink.write("torn line\n"), { code: "ENOSPC" });
    renameSync(path, `${path}.1`);
    const before = openFiles();
    await assert.rejects(sink.reopen(), { code: "EIO" });
    assert.ok(openFiles() <= before, "and the new one is closed again");
    cutting = true;
    await sink.reopen();
    assert.equal(readFileSync(`${path}.1`, "utf8"), "whole\n");
    await sink.close();
  });

  test("loses what a full disk took of a line, and nothing that another program did to it", async () => {
    const path = join(temporaryFolder(), "audit.log");
    const sink = await openFileSink(path, fullDisk(2));
    await sink.write("first\n");
    await sink.write("second\n");
    // As copytruncate does it.
    truncateSync(path, 0);
    await assert.rejects(sink.write("torn line\n"), { code: "ENOSPC" });
    assert.equal(
      readFileSync(path, "utf8"),
      "",
      "neither a piece of the line nor zeros in place of the old ones",
    );
    await sink.write("third\n");
    assert.equal(readFileSync(path, "utf8"), "third\n");
    await sink.close();
  });

  test("never tries a failed flush again, by whichever way it comes", async () => {
    let flushes = 0;
    const sink = await openFileSink(join(temporaryFolder(), "audit.log"), {
      ...realDisk,
      fdatasync: () => (flushes++ === 0 ? Promise.reject(failure("EIO")) : Promise.resolve()),
    });
    const first = await thrownBy(sink.sync());
    assert.ok(first instanceof FlushFailed);
    for (const again of [sink.sync(), sink.reopen(), sink.close()])
      assert.equal(await thrownBy(again), first);
    assert.equal(flushes, 1);
  });

  test("is flushed together with its name: the folder, whenever a file is opened", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const flushed: number[] = [];
    const sink = await openFileSink(path, {
      ...realDisk,
      fsync: async (fd) => {
        assert.ok(existsSync(path), "the file is there by then");
        flushed.push((await realDisk.fstat(fd)).ino);
        await realDisk.fsync(fd);
      },
    });
    const { ino } = statSync(folder);
    assert.deepEqual(flushed, [ino]);
    renameSync(path, `${path}.1`);
    await sink.reopen();
    assert.deepEqual(flushed, [ino, ino]);
    await sink.close();
  });

  test("takes a folder that did not reach the disk for a failed flush", async () => {
    const path = join(temporaryFolder(), "audit.log");
    let broken = false;
    const sink = await openFileSink(path, {
      ...realDisk,
      fsync: () => (broken ? Promise.reject(failure("EIO")) : Promise.resolve()),
    });
    broken = true;
    const before = openFiles();
    const first = await thrownBy(sink.reopen());
    assert.ok(first instanceof FlushFailed);
    assert.ok(openFiles() <= before);
    broken = false;
    for (const again of [sink.sync(), sink.reopen()]) assert.equal(await thrownBy(again), first);
  });

  test("does without where a file system has no flush for folders", async () => {
    const path = join(temporaryFolder(), "audit.log");
    const sink = await openFileSink(path, { ...realDisk, fsync: () => Promise.reject(failure("EINVAL")) });
    await sink.write("line\n");
    await sink.sync();
    await sink.close();
  });

  test("is never a pipe, a folder or a link that somebody put in its place, and waits for none", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const sink = await openFileSink(path);
    for (const [put, code] of [
      [(): unknown => execFileSync("mkfifo", [path]), "ENXIO"],
      [(): unknown => mkdirSync(path), "EISDIR"],
      [
        (): void => {
          symlinkSync(join(folder, "elsewhere"), path);
        },
        "ELOOP",
      ],
    ] as const) {
      rmSync(path, { recursive: true });
      put();
      const before = openFiles();
      await assert.rejects(sink.reopen(), { code });
      // Others of this process may be closed meanwhile.
      assert.ok(openFiles() <= before);
    }
    assert.equal(existsSync(join(folder, "elsewhere")), false);
    await sink.close();
  });

  test("is closed to other users, whatever its mode was; its group may go on reading", async () => {
    for (const [before, after] of [
      [0o644, 0o640],
      [0o666, 0o640],
      [0o640, 0o640],
      [0o600, 0o600],
    ] as const) {
      const path = join(temporaryFolder(), "audit.log");
      writeFileSync(path, "");
      chmodSync(path, before);
      await (await openFileSink(path)).close();
      assert.equal(statSync(path).mode & 0o777, after);
    }
  });
});

/** Takes so many writes, then half of one and no byte more, then everything again. */
function fullDisk(writes: number): Disk {
  let count = 0;
  return {
    ...realDisk,
    writeSync(fd, bytes, offset, length) {
      count++;
      if (count === writes + 2) throw failure("ENOSPC");
      return realDisk.writeSync(fd, bytes, offset, count === writes + 1 ? Math.floor(length / 2) : length);
    },
  };
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function thrownBy(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** How many descriptors this process has open, where the system tells. */
function openFiles(): number {
  return existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
}
