/** SQLite on a disk that is full, and on one that gives back what was never written. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { until } from "../audit/test-auditor.ts";
import { temporaryFolder } from "../harness.ts";
import { freePort, LAUNCHER } from "../server-process.ts";

/** Why no file system of a few megabytes can be had here; false where it can. */
function whyNoSmallDisk(): string | false {
  const folder = temporaryFolder();
  try {
    execFileSync("unshare", ["-r", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], {
      stdio: "ignore",
    });
    return false;
  } catch {
    return "this system lets nobody mount a small file system in a namespace of their own";
  }
}

describe("a full disk under SQLite", () => {
  test(
    "refuses changes and says so in /health, while reads go on; with room again changes do too, without a restart",
    {
      skip: whyNoSmallDisk(),
    },
    async (t) => {
      const folder = temporaryFolder();
      const disk = join(folder, "disk");
      mkdirSync(disk);
      const port = await freePort();
      const child = spawn(
        "unshare",
        ["-r", "-m", "sh", "-c", `mount -t tmpfs -o size=4m tmpfs "${disk}" && exec "${LAUNCHER}" server`],
        {
          cwd: "/",
          env: {
            PATH: process.env["PATH"] ?? "",
            HOME: "/nonexistent",
            KEYSTEAD_DEV: "1",
            KEYSTEAD_ADDR: `127.0.0.1:${port}`,
            KEYSTEAD_ROOT_KEY: "00".repeat(32),
            KEYSTEAD_DATA_PATH: join(disk, "data"),
            KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
          },
          stdio: "ignore",
        },
      );
      t.after(() => child.kill("SIGKILL"));
      const ask = async (method: string, path: string, body?: object): Promise<Response> =>
        fetch(`http://127.0.0.1:${port}${path}`, {
          method,
          headers: { "content-type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      const health = async (): Promise<number> =>
        (await ask("GET", "/health").catch(() => undefined))?.status ?? 0;
      await until(async () => (await health()) === 200);
      const value = "v".repeat(10_000);
      const put = async (name: string): Promise<Response> => ask("POST", "/v1/secrets", { name, value });
      assert.equal((await put("first")).status, 201);
      // The file system of its namespace, as the system shows it to whoever owns the process.
      const ballast = join(`/proc/${child.pid}/root`, disk, "ballast");
      fill(ballast);
      // What the files have room for already still fits: the test of /health itself takes the last of it.
      await until(async () => {
        const answer = await put("more");
        if (answer.status === 201) return false;
        assert.equal(answer.status, 503);
        assert.equal(((await answer.json()) as { code: string }).code, "storage_unavailable");
        return (await health()) === 503;
      });
      const kept = await ask("GET", "/v1/secrets/first");
      assert.equal(((await kept.json()) as { value: string }).value, value);
      rmSync(ballast);
      await until(async () => (await health()) === 200);
      assert.equal((await put("last")).status, 201);
      assert.equal(child.exitCode, null);
    },
  );
});

describe("a damaged file under SQLite", () => {
  test("is told to the owner once, and nothing is answered from then on", async () => {
    const file = join(temporaryFolder(), "store.db");
    const failures: string[] = [];
    const open = (): ReturnType<typeof openSqlite> =>
      openSqlite(file, (error) => failures.push(error.message));
    const before = await open();
    await before.commit(
      Array.from({ length: 2000 }, (_, i) => ({
        insert: "counters" as const,
        row: { name: `counter-${i}-${"x".repeat(200)}`, value: i },
      })),
    );
    await before.close();
    const size = statSync(file).size;
    const fd = openSync(file, "r+");
    // The later half of the pages: the schema, at the front, is still read.
    writeSync(fd, Buffer.alloc(size / 2, 0xa5), 0, size / 2, size / 2);
    closeSync(fd);
    const store = await open();
    const all = (): Promise<unknown> => store.select({ from: "counters", orderBy: "name" });
    const isRefused = { code: "storage_unavailable" };
    await assert.rejects(all(), isRefused);
    assert.equal(failures.length, 1);
    assert.match(failures[0]!, /malformed/);
    await assert.rejects(all());
    assert.equal(failures.length, 1);
    await store.close();
  });
});

/** Writes until nothing more fits. */
function fill(path: string): void {
  const fd = openSync(path, "w");
  try {
    for (const size of [65_536, 4096, 1])
      try {
        for (;;) writeSync(fd, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
  } finally {
    closeSync(fd);
  }
}
