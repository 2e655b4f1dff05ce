import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { temporaryFolder } from "../harness.ts";
import { storeContract } from "./store-contract.ts";

storeContract("SQLite", () =>
  openSqlite(join(temporaryFolder(), "store.db"), (error) => {
    throw error;
  }),
);

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
