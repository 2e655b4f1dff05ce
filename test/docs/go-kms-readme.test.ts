/**
 * Go KMS's README: its set-up by `.env`, then its workflows, over HTTP, the command line and the SDK. What its `.env` does
 * not have are the two settings that say where data lies and which API is on.
 */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { GoKmsClient } from "../../sdk/go-kms.ts";
import { runCli } from "../cli/cli-process.ts";
import { temporaryFolder } from "../harness.ts";
import { freePort, startProcess, type ServerProcess } from "../server-process.ts";

const ADMIN_PASSWORD = "Master-password-1";
const CLIENT_PASSWORD = "Client-password-1";

describe("Go KMS's README", () => {
  const cwd = temporaryFolder();
  let server: ServerProcess | undefined;
  let port = 0;
  let url = "";
  before(async () => {
    port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const key = await runCli(["admin", "generate_bytes", "--n", "32"], { cwd });
    assert.match(key.stdout, /^[\w-]{43}\n$/, key.stderr);
    const secret = key.stdout.trim();
    writeFileSync(
      join(cwd, ".env"),
      `KEK=${secret}
JWT_SECRET=${secret}
JWT_TTL=600000
SIGNUP_SECRET=${secret}
KEY_REF_SECRET=${secret}
USERNAME_SECRET=${secret}
DEFAULT_ROLE=client
MASTER_ADMIN_USERNAME=master
MASTER_ADMIN_PASSWORD=${ADMIN_PASSWORD}
SERVER_HOST=127.0.0.1
SERVER_PORT=${port}
KEYSTEAD_FACADES=go-kms
KEYSTEAD_DATA_PATH=data
`,
      { mode: 0o600 },
    );
    server = await startProcess({}, { cwd, port });
  });
  after(() => server?.end());

  const post = async (path: string, body: object, token?: string): Promise<Record<string, unknown>> => {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as Record<string, unknown>;
  };

  test("registers a client, makes a DEK, fetches it by reference, and rotates it", async () => {
    const login = await post("/auth/login", { clientname: "master", password: ADMIN_PASSWORD });
    assert.equal(login["ttl"], 600_000);
    const admin = String(login["token"]);
    const signup = await post("/auth/signup/generate", { clientname: "orders-api", ttl: 60_000 }, admin);
    await post("/auth/signup", { token: signup["token"], password: CLIENT_PASSWORD });
    const client = await post("/auth/login", { clientname: "orders-api", password: CLIENT_PASSWORD });
    const token = String(client["token"]);
    const made = await post("/keys/actions/generate", { keyReference: "orders" }, token);
    const headers = { authorization: `Bearer ${token}` };
    const shown = (await (await fetch(`${url}/keys/orders`, { headers })).json()) as {
      decryptWith: { dek: string };
    };
    assert.equal(shown.decryptWith.dek, made["dek"]);
    const rotated = await post("/keys/orders/actions/rotate", {}, token);
    assert.equal(rotated["version"], 2);
  });

  test("the command line signs up, logs in by itself, and keeps its session to itself", async () => {
    const login = await post("/auth/login", { clientname: "master", password: ADMIN_PASSWORD });
    const admin = { KEYSTEAD_URL: url, KEYSTEAD_TOKEN: String(login["token"]) };
    const invited = await runCli(["admin", "generate_signup", "--name", "by-hand", "--ttl", "60000"], {
      cwd,
      env: admin,
    });
    assert.equal(invited.status, 0, invited.stderr);
    const config = temporaryFolder();
    const env = { KMS_BASE_URL: url, KMS_USER: "by-hand", XDG_CONFIG_HOME: config };
    const signup = await runCli(["client", "signup", "--token", invited.stdout.trim()], {
      env,
      stdin: CLIENT_PASSWORD,
    });
    assert.equal(signup.status, 0, signup.stderr);
    const withPassword = { env: { ...env, KMS_PASS: CLIENT_PASSWORD } };
    const made = await runCli(["client", "generate", "--ref", "letters", "--json"], withPassword);
    assert.equal(made.status, 0, made.stderr);
    const file = join(config, "keystead", "client-sessions.json");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(!readFileSync(file, "utf8").includes(CLIENT_PASSWORD));
    // From here on the session is enough.
    const got = await runCli(["client", "get", "--ref", "letters", "--json"], { env });
    const dek = (JSON.parse(made.stdout) as { dek: string }).dek;
    assert.equal((JSON.parse(got.stdout) as { decryptWith: { dek: string } }).decryptWith.dek, dek);
    const rotated = await runCli(["client", "rotate", "--ref", "letters", "--json"], { env });
    assert.equal((JSON.parse(rotated.stdout) as { version: number }).version, 2);
    assert.equal((await runCli(["client", "delete", "--ref", "letters"], { env })).status, 0);
    assert.equal((await runCli(["client", "get", "--ref", "letters"], { env })).status, 4);
    // A session that the service refuses is followed by a login.
    writeFileSync(file, readFileSync(file, "utf8").replace(/"token": "[^"]*"/, '"token": "a.b.c"'));
    assert.equal((await runCli(["client", "generate", "--ref", "again"], withPassword)).status, 0);
  });

  test("the SDK reads KMS_BASE_URL, KMS_USER and KMS_PASS, and logs in again when it has to", async () => {
    const names = { KMS_BASE_URL: url, KMS_USER: "orders-api", KMS_PASS: CLIENT_PASSWORD };
    Object.assign(process.env, names);
    try {
      const kms = new GoKmsClient();
      await kms.generate("letters");
      const sealed = await kms.encrypt("letters", "hello", "letter 1");
      await kms.rotate("letters");
      const later = new GoKmsClient({ token: "refused.by.everybody" });
      assert.equal(Buffer.from(await later.decrypt("letters", sealed, "letter 1")).toString(), "hello");
      assert.equal((await later.encrypt("letters", "hello"))[4], 2);
      assert.equal((await later.getKey("letters", 1)).deprecated, true);
      await assert.rejects(later.decrypt("letters", sealed, "letter 2"), /./);
      for (const at of [0, 5, 40, sealed.length - 1]) {
        const edited = Uint8Array.from(sealed);
        edited[at] = (edited[at] ?? 0) ^ 1;
        await assert.rejects(later.decrypt("letters", edited, "letter 1"), {
          name: "KeysteadDecryptionError",
        });
      }
      await later.delete("letters");
      await assert.rejects(later.getKey("letters"), { status: 404 });
      await assert.rejects(new GoKmsClient({ pass: "Wrong-password-1" }).getKey("letters"), {
        status: 401,
        message: "Incorrect clientname or password",
      });
    } finally {
      for (const name of Object.keys(names)) Reflect.deleteProperty(process.env, name);
    }
  });

  test("a token is made on the host beside a stopped server only; a second start makes no second administrator", async () => {
    const args = ["admin", "generate-signup", "--name", "offline"];
    const refused = await runCli(args, { cwd });
    assert.equal(refused.status, 1);
    assert.equal(refused.stdout, "");
    assert.match(refused.stderr, /asked with a token/);
    await server?.end();
    const made = await runCli(args, { cwd });
    assert.equal(made.status, 0, made.stderr);
    server = await startProcess({}, { cwd, port });
    await post("/auth/signup", { token: made.stdout.trim(), password: CLIENT_PASSWORD });
    const login = await post("/auth/login", { clientname: "master", password: ADMIN_PASSWORD });
    const headers = { authorization: `Bearer ${String(login["token"])}` };
    const clients = (await (await fetch(`${url}/clients/`, { headers })).json()) as { clientname: string }[];
    assert.equal(clients.filter(({ clientname }) => clientname === "master").length, 1);
  });
});
