import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store } from "../../src/storage/store.ts";
import { temporaryFolder } from "../harness.ts";
import { project, storeContract } from "./store-contract.ts";

const open = (file: string): Promise<Store> =>
  openSqlite(file, (error) => {
    throw error;
  });

storeContract("SQLite", () => open(join(temporaryFolder(), "store.db")));

test("SQLite: nobody waits for another program that reads the database while its log is to be emptied", async () => {
  const file = join(temporaryFolder(), "store.db");
  const store = await open(file);
  await store.commit([project("before")]);
  const reader = new DatabaseSync(file, { readOnly: true });
  reader.exec("begin");
  const reading = reader.prepare("select count(*) from projects");
  reading.get();
  await store.commit([project("beside")]);
  const startedAt = performance.now();
  const [scrubbed, rows] = await Promise.all([store.scrub(), store.select({ from: "projects" })]);
  await store.commit([project("after")]);
  assert.ok(performance.now() - startedAt < 2000, `${performance.now() - startedAt} ms`);
  assert.equal(scrubbed, false);
  assert.equal(rows.length, 2);
  reader.exec("rollback");
  assert.equal(await store.scrub(), true);
  assert.equal(statSync(`${file}-wal`).size, 0);
  assert.ok(readFileSync(file).includes("after"));
  reader.close();
  await store.close();
});

test("a change for which a quota leaves no room is refused, and the process goes on", () => {
  const script = new URL("./fill-sqlite.ts", import.meta.url).pathname;
  // A limit on the size of files: writing beyond it fails with an error that is not "no space left".
  const limited = `trap "" XFSZ; ulimit -f 1500; exec "$@"`;
  const file = join(temporaryFolder(), "store.db");
  const { stdout, stderr } = spawnSync("bash", ["-c", limited, "-", process.execPath, script, file], {
    encoding: "utf8",
  });
  assert.deepEqual(
    stdout.trim().split("\n"),
    ["storage_unavailable: disk I/O error", "rows: all", "fatal: 0"],
    stderr,
  );
});
