import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { newDatabase } from "../postgres.ts";
import { onPostgres, ROOT_KEY, startServer, temporaryFolder } from "../harness.ts";
import { runCli } from "./cli-process.ts";

const args = ["admin", "generate-signup", "--name", "offline"];

describe("keystead admin generate-signup", () => {
  test("makes no data path where a mistyped one is named", async () => {
    const cwd = temporaryFolder();
    const dataPath = join(cwd, "mistyped");
    const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY, KEYSTEAD_DATA_PATH: dataPath };
    const { status, stdout, stderr } = await runCli(args, { env, cwd });
    assert.deepEqual([status, stdout], [1, ""], stderr);
    assert.match(stderr, /there is nothing to sign up to/);
    assert.equal(existsSync(dataPath), false);
  });

  test("invites to what is in a database, beside its server", async () => {
    const cwd = temporaryFolder();
    const url = await newDatabase();
    await using service = await startServer({ ...(await onPostgres()), KEYSTEAD_DATABASE_URL: url });
    const env = {
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATABASE_URL: url,
      KEYSTEAD_NODE: "host",
      KEYSTEAD_AUDIT_LOG: join(cwd, "audit.log"),
    };
    const { status, stdout, stderr } = await runCli(args, { env, cwd });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    assert.equal((await service.request("GET", "/health")).status, 200);
  });
});
