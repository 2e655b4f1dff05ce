import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { sessionCredentials } from "../../cli/session-credentials.ts";
import { SessionFile } from "../../cli/session-file.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import type { Login } from "../../sdk/wire.ts";
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

  test("hands out own roles with a signup", async () => {
    const admin = await service().token("admin", { project: "*" });
    const env = { KEYSTEAD_URL: service().url, KEYSTEAD_TOKEN: admin };
    const statements = [{ effect: "allow", scopes: ["kms:encrypt"] }];
    await service().request("POST", "/v1/roles", { name: "own", statements }, { token: admin });
    const made = await runCli(["signup", "create", "carl", "--role", "own"], { env });
    assert.equal(made.status, 0, made.stderr);
    const deleted = await service().request("DELETE", "/v1/roles/own", undefined, { token: admin });
    assert.equal(deleted.json["code"], "role_in_use");
  });

  test("commands that run at once refresh a session once, and a long one goes on after its token's end", async () => {
    const admin = await service().token("admin", { project: "*" });
    await service().request("POST", "/v1/accounts", { name: "bob", kind: "person" }, { token: admin });
    const password = { password: PASSWORD };
    await service().request("POST", "/v1/accounts/bob/password", password, { token: admin });
    const config = temporaryFolder();
    const env = { KEYSTEAD_URL: service().url, XDG_CONFIG_HOME: config };
    assert.equal((await runCli(["login", "bob"], { stdin: PASSWORD, env })).status, 0);
    const path = join(config, "keystead", "sessions.json");
    const refreshes = (): number =>
      service()
        .auditEntries()
        .filter(({ action, resource }) => action === "login.refresh" && resource === "account:bob").length;
    const expires = /"expires_at": "([^"]*)"/;
    writeFileSync(
      path,
      readFileSync(path, "utf8").replace(expires, '"expires_at": "2020-01-01T00:00:00.000Z"'),
    );
    const results = await Promise.all(Array.from({ length: 5 }, () => runCli(["whoami"], { env })));
    for (const { status, stderr } of results) assert.equal(status, 0, stderr);
    assert.equal(refreshes(), 1);
    // A process of its own credentials, as a long command is one.
    const files = new SessionFile({ XDG_CONFIG_HOME: config });
    const source = sessionCredentials(files, { url: service().url, timeoutMs: undefined });
    const client = new KeysteadClient({ url: service().url, token: source });
    assert.equal((await client.whoami()).caller, "person:bob");
    await service().request("POST", "/v1/login-keys/rotate", { immediately: true }, { token: admin });
    const later = await Promise.all([client.whoami(), client.whoami(), runCli(["whoami"], { env })]);
    assert.equal(later[0].caller, "person:bob");
    assert.equal(later[2].status, 0, later[2].stderr);
    assert.equal(refreshes(), 2);
    assert.ok(!existsSync(`${path}.lock`));
    // What a killed command left behind holds nobody up for long.
    mkdirSync(`${path}.lock`);
    const before = new Date(Date.now() - 3600_000);
    utimesSync(`${path}.lock`, before, before);
    await service().request("POST", "/v1/login-keys/rotate", { immediately: true }, { token: admin });
    assert.equal((await runCli(["whoami"], { env })).status, 0);
    const { json } = await service().request("GET", "/v1/accounts/bob/sessions", undefined, { token: admin });
    const [session] = json["sessions"] as { id: string }[];
    await service().request("DELETE", `/v1/accounts/bob/sessions/${session!.id}`, undefined, {
      token: admin,
    });
    const ended = await runCli(["whoami"], { env });
    assert.deepEqual([ended.status, /has ended/.test(ended.stderr)], [3, true], ended.stderr);
  });

  test("a refresh that was under way at a login neither brings the old session back nor forgets the new one", async () => {
    const far = new Date(Date.now() + 3600_000).toISOString();
    const login = (account: string, expires_at: string): Login => ({
      ...{ token: `token-of-${account}`, refresh_token: `refresh-of-${account}`, expires_at },
      ...{ token_type: "Bearer", account, kind: "person", session: "s", refresh_expires_at: far },
    });
    for (const status of [200, 401]) {
      const files = new SessionFile({ XDG_CONFIG_HOME: temporaryFolder() });
      const another = new SessionFile({ XDG_CONFIG_HOME: join(files.path, "../..") });
      const server = createServer((request, response) => {
        const next = { ...login("alice", far), refresh_token: "next" };
        const answer = (): unknown => response.writeHead(status).end(JSON.stringify(next));
        // One that waits for the lock, and one that gave up waiting.
        logins.push(another.change("http://elsewhere", login("carl", far)));
        request.resume().on("end", () => void another.set(url, login("bob", far)).then(answer));
      });
      const logins: Promise<void>[] = [];
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await files.set(url, login("alice", "2020-01-01T00:00:00.000Z"));
      const source = sessionCredentials(files, { url, timeoutMs: 5000 })!;
      if (status === 200) assert.equal((await source()).token, "token-of-alice");
      else await assert.rejects(source(), { name: "SessionEnded" });
      server.close();
      await Promise.all(logins);
      assert.equal(files.get(url)?.account, "bob", `after ${status}`);
      assert.equal(files.get("http://elsewhere")?.account, "carl");
    }
  });
});
