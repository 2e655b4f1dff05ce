/** What is secret appears nowhere but in the answer that it is for. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { onPostgres, ROOT_KEY, startServer, temporaryFolder, type TestService } from "../harness.ts";
import { newDatabase, query } from "../postgres.ts";

const PLAINTEXT = "canary-plaintext-7d2f41";
const SECRET = "canary-secret-c09b5e";
const KEY = Buffer.from("canary-key-material-0123456789ab");
const PASSWORD = "canary-password-5e0d77";
const MISTYPED = "canary-mistyped-9b31f0";
const JWT_SECRET = "canary-jwt-secret-0123456789abcdef";

const TITLE = "plaintexts, keys, secrets and tokens appear in no file, log, error, metric or audit entry";

test(`${TITLE}, on SQLite`, async () => {
  const folder = temporaryFolder();
  // Before and after the stop, when the write-ahead log is folded into the database.
  await assertNowhere(folder, { KEYSTEAD_DATA_PATH: folder }, () =>
    readdirSync(folder)
      .filter((name) => name.startsWith("keystead.db"))
      .map((name) => [name, readFileSync(join(folder, name))]),
  );
});

describe("on PostgreSQL", { skip: !("bun" in process.versions) }, () => {
  test(TITLE, async () => {
    const url = await newDatabase();
    const settings = { ...(await onPostgres()), KEYSTEAD_DATABASE_URL: url };
    await assertNowhere(temporaryFolder(), settings, () => tableFiles(url));
  });
});

/** Every file of the service's tables, their indexes and what they keep apart, with rows that were deleted. */
async function tableFiles(url: string): Promise<[string, Buffer][]> {
  await query(url, "checkpoint");
  const files = await query(
    url,
    `select relname as name, pg_read_binary_file(pg_relation_filepath(oid)) as bytes from pg_class
     where relkind in ('r', 'i', 't') and (relnamespace = 'keystead'::regnamespace or oid in (
       select unnest(array[t.reltoastrelid, i.indexrelid]) from pg_class t
       left join pg_index i on i.indrelid = t.reltoastrelid where t.relnamespace = 'keystead'::regnamespace))`,
  );
  return files.map(({ name, bytes }) => [`keystead.db ${String(name)}`, bytes as Buffer]);
}

/**
 * @param folder takes the audit log
 * @param files what the database's files hold now
 */
async function assertNowhere(
  folder: string,
  settings: Record<string, string>,
  files: () => Promise<[string, Buffer][]> | [string, Buffer][],
): Promise<void> {
  const service = await startServer({
    ...settings,
    KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    KEYSTEAD_JWT_SECRET: JWT_SECRET,
    KEYSTEAD_EXPORT_ON_MAIN: "1",
  });
  const token = await service.token("admin", { project: "*" });
  const texts: string[] = [];
  const send = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const answer = await service.request(method, path, body, { token });
    texts.push(answer.text);
    return answer.json;
  };
  const imported = { type: "aes-256", format: "raw", material_b64: KEY.toString("base64") };
  await send("POST", "/v1/keys/k/import", imported);
  await send("POST", "/v1/keys/k/import", imported);
  const { ciphertext } = await send("POST", "/v1/encrypt/k", { plaintext: PLAINTEXT, aad: PLAINTEXT });
  await send("POST", "/v1/decrypt/k", { ciphertext, aad: "other" });
  await send("POST", "/v1/encrypt/none", { plaintext: PLAINTEXT });
  await send("POST", "/v1/encrypt/k", { plaintext: PLAINTEXT, plaintext_b64: PLAINTEXT });
  await send("POST", "/v1/secrets", { name: "s", value: SECRET });
  await send("POST", "/v1/secrets", { name: "s", value_b64: SECRET });
  await send("POST", "/v1/accounts", { name: "svc", kind: "service" });
  const { token: made } = (await service.request("POST", "/v1/accounts/svc/tokens", {}, { token })).json;
  await service.request("GET", "/v1/keys", undefined, { token: `${String(made)}x` });
  texts.push((await service.request("GET", "/v1/accounts/svc/tokens", undefined, { token })).text);
  const secrets = await useEverything(service, token, texts);
  secrets.push(...(await useLogins(service, token, texts)));
  texts.push((await service.request("GET", "/metrics")).text, (await service.request("GET", "/health")).text);
  const opened = await service.request("GET", "/v1/secrets/s", undefined, { token });
  assert.equal(opened.json["value"], SECRET);

  const root = Buffer.from(ROOT_KEY.slice("base64:".length), "base64");
  const canaries = [
    PLAINTEXT,
    SECRET,
    KEY,
    PASSWORD,
    MISTYPED,
    JWT_SECRET,
    token,
    String(made),
    root,
    ...secrets,
  ].flatMap((canary) => {
    const bytes = Buffer.from(canary);
    // In the forms in which careless code would write them; the base64 forms at each of the three offsets.
    const base64 = [0, 1, 2].map((offset) =>
      Buffer.concat([Buffer.alloc(offset), bytes])
        .toString("base64")
        .slice(4, -4),
    );
    return [bytes, ...base64.map((text) => Buffer.from(text)), Buffer.from(bytes.toString("hex"))];
  });
  const places: [string, Buffer][] = [
    ["an answer", Buffer.from(texts.join("\n"))],
    ["the service's log", Buffer.from(service.logLines.join("\n"))],
  ];
  places.push(...(await files()));
  await service.close();
  places.push(...(await files()), ["the audit log", readFileSync(join(folder, "audit.log"))]);
  assert.ok(places.some(([name, bytes]) => name.startsWith("keystead.db") && bytes.length > 10_000));
  // It would be found: what stands there in the clear is.
  assert.ok(places.some(([name, bytes]) => name.startsWith("keystead.db") && bytes.includes("svc")));
  for (const [place, bytes] of places) {
    for (const canary of canaries)
      assert.ok(!bytes.includes(canary), `${place} holds ${canary.toString("latin1")}`);
  }
}

/** Logs in, right and wrong; gives the tokens that were in answers. */
async function useLogins(service: TestService, token: string, texts: string[]): Promise<Buffer[]> {
  const post = (path: string, body: unknown, asked?: string): ReturnType<TestService["request"]> =>
    service.request("POST", path, body, asked === undefined ? {} : { token: asked });
  const signup = (await post("/v1/signups", { name: "ann", kind: "person" }, token)).json;
  const made = (await post("/v1/signup", { token: signup["token"], password: PASSWORD })).json;
  const login = (await post("/v1/login", { account: "ann", password: PASSWORD })).json;
  const refreshed = (await post("/v1/login/refresh", { refresh_token: login["refresh_token"] })).json;
  const tokens = [
    signup["token"],
    ...[made, login, refreshed].flatMap((one) => [one["token"], one["refresh_token"]]),
  ];
  const own = String(refreshed["token"]);
  for (const [path, body, asked] of [
    ["/v1/login", { account: MISTYPED, password: "x" }, undefined],
    ["/v1/login", { account: "ann", password: MISTYPED }, undefined],
    ["/v1/login", { account: "ann", password: [PASSWORD] }, undefined],
    ["/v1/signup", { token: signup["token"], password: PASSWORD }, undefined],
    ["/v1/accounts/ann/password", { password: PASSWORD, current_password: MISTYPED }, own],
    ["/v1/accounts/ann/password", { password: `short`, current_password: PASSWORD }, own],
    ["/v1/accounts/ann/password", { password: PASSWORD }, token],
  ] as const) {
    texts.push((await post(path, body, asked)).text);
  }
  texts.push((await service.request("GET", "/v1/accounts/ann/sessions", undefined, { token })).text);
  texts.push((await service.request("GET", "/v1/signups", undefined, { token })).text);
  texts.push((await service.request("GET", "/.well-known/jwks.json")).text);
  for (const one of tokens) assert.ok(String(one).length > 60);
  // A JWT's header is no secret: what signs it is.
  return tokens.map((one) => Buffer.from(String(one).split(".").at(-1) ?? ""));
}

/**
 * Uses what handles secrets beside the simple ones; gives the secrets that were in answers, whose texts are kept apart.
 * What was refused goes to the texts.
 */
async function useEverything(service: TestService, token: string, texts: string[]): Promise<Buffer[]> {
  const exporter = await service.token("exporter", { kind: "service" });
  const secrets: Buffer[] = [];
  const call = async (
    path: string,
    body: unknown,
    ...secretFields: string[]
  ): Promise<Record<string, unknown>> => {
    const asked = path.endsWith("/export") ? exporter : token;
    const { json, text, status } = await service.request("POST", `/v1/${path}`, body, { token: asked });
    assert.ok(status < 300, `${path}: ${text}`);
    for (const field of secretFields) secrets.push(Buffer.from(String(json[field]), "base64"));
    if (secretFields.length === 0) texts.push(text);
    return json;
  };
  const refused = async (path: string, body: unknown): Promise<void> => {
    const { status, text } = await service.request("POST", `/v1/${path}`, body, { token });
    assert.ok(status >= 400, `${path}: ${text}`);
    texts.push(text);
  };
  for (const [name, type] of [
    ["mac", "hmac-256"],
    ["sign", "ed25519"],
    ["kem", "ml-kem-768"],
    ["kek", "aes-256-kwp"],
    ["agreement", "x25519"],
  ])
    await call("keys", { name, type });
  await call("keys/k/data-key", { bytes: 64, aad: PLAINTEXT }, "plaintext_b64");
  await call("keys/k/data-key", { plaintext: false });
  await call("random", { bytes: 32 }, "random_b64");
  const { ciphertext } = await call("encrypt/k", { plaintext: PLAINTEXT });
  await call("keys/k/reencrypt", { ciphertext, to_aad: PLAINTEXT });
  await refused("keys/k/reencrypt", { ciphertext, aad: PLAINTEXT });
  const items = [
    { plaintext: PLAINTEXT, aad: PLAINTEXT },
    { plaintext: PLAINTEXT, plaintext_b64: PLAINTEXT },
  ];
  await call("keys/k/encrypt/batch", { items });
  await call("keys/k/decrypt/batch", { items: [{ ciphertext, aad: PLAINTEXT }] });
  await refused("keys/k/encrypt/batch", { items: [{ [PLAINTEXT]: PLAINTEXT }] });
  await refused("keys/k/encrypt/batch", { items: PLAINTEXT, [PLAINTEXT]: 1 });
  await call("keys/mac/mac", { message: PLAINTEXT });
  await call("keys/mac/mac/batch", { items: [{ message: PLAINTEXT }] });
  await call("keys/mac/verify-mac", { message: PLAINTEXT, mac_b64: "AAAA" });
  await call("keys/sign/sign", { message: PLAINTEXT });
  await call("keys/sign/sign/batch", { items: [{ message: PLAINTEXT, scheme: PLAINTEXT }] });
  await refused("keys/sign/sign", { message: PLAINTEXT, scheme: PLAINTEXT });
  const { ciphertext: encapsulated } = await call("keys/kem/encapsulate", {}, "shared_secret_b64");
  await call("keys/kem/decapsulate", { ciphertext: encapsulated }, "shared_secret_b64");
  const peer_public_key_b64 = Buffer.alloc(32, 9).toString("base64");
  await call("keys/agreement/agree", { peer_public_key_b64, info: PLAINTEXT }, "shared_secret_b64");
  await call("keys/agreement/agree", { peer_public_key_b64, kdf: "none" }, "shared_secret_b64");
  await refused("keys/agreement/agree", { peer_public_key_b64: SECRET, info: PLAINTEXT });
  for (const [name, type] of [
    ["x-aes", "aes-256"],
    ["x-mac", "hmac-512"],
    ["x-sign", "ed25519"],
  ])
    await call("keys", { name, type, exportable: true });
  for (const name of ["x-aes", "x-mac"]) await call(`keys/${name}/export`, {}, "material_b64");
  const { material_b64: pkcs8 } = await call("keys/x-sign/export", { format: "pkcs8" }, "material_b64");
  // The seed alone as well.
  secrets.push(Buffer.from(String(pkcs8), "base64").subarray(-32));
  await refused("keys/k2/import", { type: "aes-256", format: "raw", material_b64: PLAINTEXT });
  await refused("keys/k2/import", { type: "aes-256", format: "jwk", jwk: { kty: "oct", k: SECRET } });
  await refused("keys/k2/import", {
    type: "rsa-2048",
    format: "pkcs8",
    material_b64: KEY.toString("base64"),
  });
  const wrapped = { wrapped_material_b64: KEY.toString("base64"), wrapping_key: "kek" };
  await refused("keys/k2/import", { type: "aes-256", format: "raw", ...wrapped });
  for (const secret of secrets) assert.ok(secret.length >= 16, "too short to be told from chance");
  return secrets;
}
