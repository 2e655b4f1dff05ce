import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, request, type ServerResponse } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { createStaticSeal } from "../../src/seal/root-key.ts";
import { StartRefused } from "../../src/start-refused.ts";
import { ROOT_KEY, startServer, temporaryFolder } from "../harness.ts";
import { runCli } from "../cli/cli-process.ts";
import { keptDatabase } from "../storage/kept-database.ts";

const NEW_ROOT = "ab".repeat(32);
const wrongRoot = /KEYSTEAD_ROOT_KEY is not the root key of this data path; nothing was changed/;

async function madeDataPath(): Promise<{ dataPath: string; admin: string }> {
  const dataPath = join(temporaryFolder(), "data");
  const service = await startServer({ KEYSTEAD_DATA_PATH: dataPath });
  const admin = await service.token("admin", { project: "*" });
  await service.request("POST", "/v1/barrier/rotate", {}, { token: admin });
  await service.request("POST", "/v1/secrets", { name: "s", value: "kept" }, { token: admin });
  await service.close();
  return { dataPath, admin };
}

/** Rows but for the keys' wrapping: what a root key that changes must leave as it is. */
function secretRows(dataPath: string): unknown {
  const database = new DatabaseSync(join(dataPath, "keystead.db"), { readOnly: true });
  try {
    return database.prepare("select * from secret_versions").all();
  } finally {
    database.close();
  }
}

async function assertOpens(dataPath: string, root: string, admin: string): Promise<void> {
  await using service = await startServer({ KEYSTEAD_DATA_PATH: dataPath, KEYSTEAD_ROOT_KEY: root });
  const answer = await service.request("GET", "/v1/secrets/s", undefined, { token: admin });
  assert.equal(answer.json["value"], "kept", answer.text);
}

const refusesToOpen = (dataPath: string, root: string): Promise<void> =>
  assert.rejects(
    startServer({ KEYSTEAD_DATA_PATH: dataPath, KEYSTEAD_ROOT_KEY: root }),
    (error) => error instanceof StartRefused && wrongRoot.test(error.message),
  );

describe("keystead rotate root", () => {
  test("with the server stopped: afterwards the new root key opens everything, and the old one nothing", async () => {
    const { dataPath, admin } = await madeDataPath();
    const before = secretRows(dataPath);
    const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY, KEYSTEAD_DATA_PATH: dataPath };
    const cwd = temporaryFolder();
    const done = await runCli(["rotate", "root"], { env, cwd, stdin: `${NEW_ROOT}\n` });
    assert.equal(done.status, 0, done.stderr);
    assert.ok(!(done.stdout + done.stderr).includes(NEW_ROOT));
    assert.deepEqual(secretRows(dataPath), before, "records stay as they are");
    const log = readFileSync(join(dataPath, "audit.log"), "utf8");
    assert.match(log, /"action":"root.rotate".*"caller":"system:host".*"severity":"CRITICAL"/);
    await refusesToOpen(dataPath, ROOT_KEY);
    await assertOpens(dataPath, NEW_ROOT, admin);
  });

  test("with the server running: it goes on, and takes the new root key from its next start", async () => {
    const { dataPath, admin } = await madeDataPath();
    const service = await startServer({ KEYSTEAD_DATA_PATH: dataPath });
    assert.equal(statSync(join(dataPath, "admin.sock")).mode & 0o777, 0o600);
    const file = join(temporaryFolder(), "root.new");
    const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY };
    const cwd = temporaryFolder();
    const args = ["rotate", "root", "--generate", file, "--data-path", dataPath];
    const done = await runCli(args, { env, cwd });
    assert.equal(done.status, 0, done.stderr);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const made = readFileSync(file, "utf8");
    assert.match(made, /^base64:[A-Za-z0-9+/]{43}=\n$/);
    assert.ok(!(done.stdout + done.stderr).includes(made.trim()));
    const options = { token: admin };
    assert.equal((await service.request("GET", "/v1/secrets/s", undefined, options)).json["value"], "kept");
    // The running server makes keys under the new root key.
    assert.equal((await service.request("POST", "/v1/barrier/rotate", {}, options)).json["version"], 3);
    assert.ok(!service.logLines.join("").includes(made.trim()));
    const again = await runCli(args, { env, cwd });
    assert.equal(again.status, 5, "a file that is there is never written over");
    assert.equal(readFileSync(file, "utf8"), made);
    await service.close();
    await refusesToOpen(dataPath, ROOT_KEY);
    await assertOpens(dataPath, made.trim(), admin);
  });

  test("changes nothing where the old root key is wrong, the new one is none, or it is the old one", async () => {
    const { dataPath, admin } = await madeDataPath();
    const cwd = temporaryFolder();
    const rotate = (root: string, stdin: string): ReturnType<typeof runCli> =>
      runCli(["rotate", "root"], {
        env: { KEYSTEAD_ROOT_KEY: root, KEYSTEAD_DATA_PATH: dataPath },
        cwd,
        stdin,
      });
    for (const [root, stdin, said] of [
      ["cd".repeat(32), NEW_ROOT, wrongRoot],
      [ROOT_KEY, "too short", /the new root key is not base64:/],
      [ROOT_KEY, ROOT_KEY, /it is the root key already/],
    ] as const) {
      const refused = await rotate(root, stdin);
      assert.equal(refused.status, 1, refused.stderr);
      assert.match(refused.stderr, said);
    }
    const service = await startServer({ KEYSTEAD_DATA_PATH: dataPath });
    const refused = await rotate(ROOT_KEY, ROOT_KEY);
    assert.match(refused.stderr, /the server refused: it is the root key already/);
    await service.close();
    await assertOpens(dataPath, ROOT_KEY, admin);
  });

  test("says that the outcome is unknown where the server breaks off or fails, and names what it refuses", async () => {
    const dataPath = temporaryFolder();
    writeFileSync(join(dataPath, "keystead.db"), "");
    const answers: ((response: ServerResponse) => void)[] = [
      (response) => void response.socket?.destroy(),
      (response) =>
        void response.writeHead(503).end(JSON.stringify({ title: "The storage does not answer" })),
      (response) => void response.writeHead(409).end(JSON.stringify({ title: "it is the root key already" })),
    ];
    const server = createServer((call, response) => {
      call.resume().on("end", () => answers.shift()?.(response));
    });
    server.listen(join(dataPath, "admin.sock"));
    await once(server, "listening");
    const said: string[] = [];
    for (let calls = answers.length; calls > 0; calls--) {
      const args = ["rotate", "root", "--data-path", dataPath];
      const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY };
      const done = await runCli(args, { env, cwd: temporaryFolder(), stdin: NEW_ROOT });
      assert.equal(done.status, 1);
      said.push(done.stderr.trim());
    }
    server.close();
    const unknown =
      "keystead: it is not known whether the root key was changed: keep both, and try the new one first at the next start";
    assert.deepEqual(said, [unknown, unknown, "keystead: the server refused: it is the root key already"]);
  });

  test("makes no data path where there is none", async () => {
    const cwd = temporaryFolder();
    const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY, KEYSTEAD_DATA_PATH: join(cwd, "absent") };
    const refused = await runCli(["rotate", "root"], { env, cwd, stdin: NEW_ROOT });
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /there is nothing to put under a new root key/);
  });
});

describe("keystead rotate root on PostgreSQL", { skip: !("bun" in process.versions) }, () => {
  const rotate = (settings: Record<string, string>, node = "main"): ReturnType<typeof runCli> => {
    const cwd = temporaryFolder();
    const own = { KEYSTEAD_NODE: node, KEYSTEAD_AUDIT_LOG: join(cwd, "audit.log") };
    return runCli(["rotate", "root"], { env: { ...settings, ...own }, cwd, stdin: NEW_ROOT });
  };
  const wrongForDatabase = (error: unknown): boolean =>
    error instanceof StartRefused && /is not the root key of this database; nothing was/.test(error.message);

  test("takes the node's name: it is refused while that node runs, while another one goes on", async () => {
    const { settings, sql } = await keptDatabase("PostgreSQL");
    const service = await startServer(settings);
    const other = await startServer({ ...settings, KEYSTEAD_NODE: "other" });
    const token = await service.token("admin", { project: "*" });
    await service.request("POST", "/v1/secrets", { name: "s", value: "kept" }, { token });
    const before = await sql("select * from barrier_keys");
    const refused = await rotate(settings);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^keystead: KEYSTEAD_NODE: another Keystead process named main uses this/m);
    assert.deepEqual(await sql("select * from barrier_keys"), before);
    await service.close();

    const records = await sql("select * from secret_versions");
    const done = await rotate(settings);
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(await sql("select * from secret_versions"), records, "records stay as they are");
    const still = await other.request("GET", "/v1/secrets/s", undefined, { token });
    assert.equal(still.json["value"], "kept");
    const late = await other.request("POST", "/v1/barrier/rotate", {}, { token });
    assert.equal(late.json["code"], "conflict", "it makes no key under the root key of before");
    await other.close();
    await assert.rejects(startServer(settings), wrongForDatabase);
    await using again = await startServer({ ...settings, KEYSTEAD_ROOT_KEY: NEW_ROOT });
    const answer = await again.request("GET", "/v1/secrets/s", undefined, { token });
    assert.equal(answer.json["value"], "kept");
  });

  test("makes nothing in an empty database", async () => {
    const database = await keptDatabase("PostgreSQL");
    const refused = await rotate(database.settings);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /there is nothing in this database yet; nothing was changed/);
    assert.deepEqual(await database.tables(), []);
  });
});

describe("the socket of the host", () => {
  const ask = (socketPath: string, method: string, path: string, body: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath, method, path }, (response) => {
        response.resume();
        response.on("end", () => {
          resolve(response.statusCode ?? 0);
        });
      });
      call.on("error", reject);
      call.end(body);
    });

  test("takes one thing only, in its exact form", async () => {
    const { dataPath, admin } = await madeDataPath();
    const socket = join(dataPath, "admin.sock");
    const first = await startServer({ KEYSTEAD_DATA_PATH: dataPath });
    for (const [method, path, body, status] of [
      ["GET", "/root/rotate", "", 405],
      ["POST", "/v1/keys", "{}", 404],
      ["POST", "/root/rotate", "{", 400],
      ["POST", "/root/rotate", "[]", 400],
      ["POST", "/root/rotate", `{"root_key":1}`, 400],
      ["POST", "/root/rotate", `{"root_key":"short"}`, 400],
      ["POST", "/root/rotate", `{"root_key":"${NEW_ROOT}","more":1}`, 400],
      ["POST", "/root/rotate", `{"root_key":"${"x".repeat(5000)}"}`, 413],
    ] as const)
      assert.equal(await ask(socket, method, path, body), status, `${method} ${path} ${body.slice(0, 30)}`);
    await first.close();
    await assertOpens(dataPath, ROOT_KEY, admin);
  });

  test("is not there in memory, and no route of the network leads to it", async () => {
    await using service = await startServer();
    const token = await service.token("admin", { project: "*" });
    const answer = await service.request("POST", "/root/rotate", { root_key: NEW_ROOT }, { token });
    assert.equal(answer.status, 404);
  });
});

describe("an edited table of barrier keys", () => {
  for (const [what, edit] of [
    ["two wrappings swapped", "update barrier_keys set version = case version when 1 then 9 else 1 end"],
    ["a key wrapped by another root key", "update barrier_keys set wrapped = ? where version = 2"],
    ["a byte changed", "update barrier_keys set wrapped = zeroblob(72) where version = 1"],
  ] as const) {
    test(`does not start: ${what}`, async () => {
      const { dataPath } = await madeDataPath();
      const other = createStaticSeal(secretBytes(Buffer.alloc(32, 3)));
      const foreign = other.wrapBarrierKey(2, secretBytes(Buffer.alloc(32, 4)));
      const database = new DatabaseSync(join(dataPath, "keystead.db"));
      database.prepare(edit).run(...(edit.includes("?") ? [foreign] : []));
      database.close();
      await refusesToOpen(dataPath, ROOT_KEY);
    });
  }

  test("a seal that was closed wraps and opens nothing", () => {
    const seal = createStaticSeal(secretBytes(Buffer.alloc(32, 3)));
    const wrapped = seal.wrapBarrierKey(1, secretBytes(Buffer.alloc(32, 4)));
    seal.close();
    assert.throws(() => seal.wrapBarrierKey(1, secretBytes(Buffer.alloc(32, 4))), /closed/);
    assert.throws(() => seal.unwrapBarrierKey(1, wrapped), /closed/);
  });
});
