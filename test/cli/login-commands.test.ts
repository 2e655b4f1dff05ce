import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startServer, temporaryFolder } from "../harness.ts";
import { cheap } from "../identity/cheap-hash.ts";
import { runCli, type CliResult } from "./cli-process.ts";

const PASSWORD = "correct horse battery";

describe("keystead login", () => {
  const service = serviceFor(() => startServer({}, { passwordCost: cheap }));

  test("keeps a session for later commands in a file of one's own, until logout", async () => {
    const admin = await service().token("admin", { project: "*" });
    const config = temporaryFolder();
    const run = (args: string[], input = "", token?: string): Promise<CliResult> =>
      runCli(args, {
        stdin: input,
        env: {
          KEYSTEAD_URL: service().url,
          XDG_CONFIG_HOME: config,
          ...(token === undefined ? {} : { KEYSTEAD_TOKEN: token }),
        },
      });
    const signup = await run(
      ["signup", "create", "alice", "--kind", "person", "--role", "reader"],
      "",
      admin,
    );
    assert.equal(signup.status, 0, signup.stderr);
    const file = join(config, "alice.signup");
    writeFileSync(file, signup.stdout);
    const redeemed = await run(["signup", "redeem", file], `${PASSWORD}\n`);
    assert.equal(redeemed.status, 0, redeemed.stderr);
    const sessions = join(config, "keystead", "sessions.json");
    assert.equal(statSync(sessions).mode & 0o777, 0o600);
    assert.equal(statSync(join(config, "keystead")).mode & 0o777, 0o700);
    assert.match((await run(["whoami"])).stdout, /person:alice/);
    assert.equal((await run(["logout"])).status, 0);
    assert.equal((await run(["whoami"])).status, 3);
    const wrong = await run(["login", "alice"], "wrong horse battery\n");
    assert.equal(wrong.status, 3);
    assert.ok(!`${wrong.stdout}${wrong.stderr}`.includes("horse"));
    const login = await run(["login", "alice"], PASSWORD);
    assert.equal(login.status, 0, login.stderr);
    assert.ok(existsSync(sessions));
    const kept = Object.values(
      JSON.parse(readFileSync(sessions, "utf8")) as Record<
        string,
        { token: string; refresh_token: string; expires_at: string }
      >,
    )[0]!;
    for (const secret of [kept.token, kept.refresh_token]) assert.ok(!login.stdout.includes(secret));
    // Its token ends: the next command refreshes it first.
    const aged = readFileSync(sessions, "utf8").replace(kept.expires_at, "2020-01-01T00:00:00.000Z");
    writeFileSync(sessions, aged);
    assert.match((await run(["whoami"])).stdout, /person:alice/);
    assert.ok(!readFileSync(sessions, "utf8").includes(kept.refresh_token));
    const set = await run(["password", "set", "alice", "--current"], `${PASSWORD}\nnew ${PASSWORD}\n`);
    assert.equal(set.status, 0, set.stderr);
    for (const verb of ["disable", "enable", "delete"]) {
      const changed = await run(["account", verb, "alice"], "", admin);
      assert.equal(changed.status, 0, changed.stderr);
    }
    assert.equal((await run(["whoami"])).status, 3);
  });
});
