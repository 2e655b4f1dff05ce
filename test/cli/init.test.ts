import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import { ROOT_KEY, startServer, temporaryFolder } from "../harness.ts";
import { runCli } from "./cli-process.ts";

const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY };
const tokenLine = /^kst_[0-9A-Za-z]+\n$/;

describe("keystead init", () => {
  test("prints the admin's token once, and the token administers the service", async () => {
    const cwd = temporaryFolder();
    const dataPath = join(cwd, "data");
    const made = await runCli(["init", "--data-path", dataPath], { env, cwd });
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, tokenLine);
    const token = made.stdout.trim();
    assert.ok(!made.stderr.includes(token));
    assert.equal(statSync(dataPath).mode & 0o777, 0o700);
    assert.equal(statSync(join(dataPath, "keystead.db")).mode & 0o777, 0o600);
    const log = readFileSync(join(dataPath, "audit.log"), "utf8");
    for (const action of ["account.create", "account.bind", "token.create"]) {
      assert.match(log, new RegExp(`"action":"${action}".*"caller":"system:init"`));
    }
    assert.ok(!log.includes(token));

    const again = await runCli(["init", "-data-path", dataPath, "--json"], { env, cwd });
    assert.equal(again.status, 1);
    assert.equal(again.stdout, "");
    assert.match(again.stderr, /already has an account; nothing was changed/);

    await using service = await startServer({ KEYSTEAD_DATA_PATH: dataPath }, { initialising: false });
    const client = { env: { KEYSTEAD_URL: service.url, KEYSTEAD_TOKEN: token } };
    assert.match(
      (await runCli(["whoami"], client)).stdout,
      /^caller\tperson:admin\n[^]*admin in all projects/,
    );
    assert.equal((await runCli(["account", "create", "billing"], client)).status, 0);
  });

  test("--json gives the token with its account, id and end", async () => {
    const cwd = temporaryFolder();
    const { stdout } = await runCli(["--json", "init", "--data-path", "data"], { env, cwd });
    const answer = JSON.parse(stdout) as Record<string, string>;
    assert.equal(answer["account"], "admin");
    assert.match(`${answer["token"] ?? ""}\n`, tokenLine);
    assert.ok(Date.parse(answer["expires_at"] ?? "") > Date.now());
  });

  test("an init that was killed between its steps can be run again", async () => {
    const cwd = temporaryFolder();
    const settings = { KEYSTEAD_DATA_PATH: join(cwd, "data") };
    const half = await startServer(settings);
    const { accounts, auditor } = half.keystead.services;
    await accounts.create("admin", "person", (writes, facts) =>
      auditor.commitChange({ ...serviceFacts("account.create"), ...facts, version: 0 }, writes),
    );
    await half.close();
    const made = await runCli(["init"], { env: { ...env, ...settings }, cwd });
    assert.equal(made.status, 0, made.stderr);
    await using service = await startServer(settings, { initialising: false });
    const answer = await service.request("GET", "/v1/whoami", undefined, { token: made.stdout.trim() });
    assert.equal((answer.json["bindings"] as unknown[]).length, 1);
  });

  test("refuses, without a token: a missing root key, a wrong one, memory, another's folder, a running server", async () => {
    const cwd = temporaryFolder();
    const dataPath = join(cwd, "data");
    const refuses = async (line: RegExp, settings: Record<string, string>): Promise<void> => {
      const result = await runCli(["init"], { env: settings, cwd });
      assert.equal(result.status, 1);
      assert.equal(result.stdout, "");
      assert.match(result.stderr, line);
      assert.match(result.stderr, /^keystead: [^\n]+\n$/);
    };
    await refuses(/KEYSTEAD_ROOT_KEY is missing/, { KEYSTEAD_DATA_PATH: dataPath });
    const memory = { KEYSTEAD_DATA_PATH: ":memory:", KEYSTEAD_AUDIT_LOG: join(cwd, "audit.log") };
    await refuses(/init needs a folder/, { ...env, ...memory });
    const foreign = temporaryFolder();
    writeFileSync(join(foreign, "bunder.db"), "");
    await refuses(/holds another program's files/, { ...env, KEYSTEAD_DATA_PATH: foreign });
    assert.deepEqual(readdirSync(foreign), ["bunder.db"]);
    await using service = await startServer({ KEYSTEAD_DATA_PATH: dataPath });
    await refuses(/in use by another Keystead process/, { ...env, KEYSTEAD_DATA_PATH: dataPath });
    await service.close();
    const wrong = "f".repeat(64);
    await refuses(/not the root key of this data path/, {
      KEYSTEAD_ROOT_KEY: wrong,
      KEYSTEAD_DATA_PATH: dataPath,
    });
  });
});
