/** What is secret appears nowhere but in the answer that it is for. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT_KEY, startServer, temporaryFolder } from "../harness.ts";

const PLAINTEXT = "canary-plaintext-7d2f41";
const SECRET = "canary-secret-c09b5e";
const KEY = Buffer.from("canary-key-material-0123456789ab");
const JWT_SECRET = "canary-jwt-secret-0123456789abcdef";

test("plaintexts, keys, secrets and tokens appear in no file, log, error, metric or audit entry", async () => {
  const folder = temporaryFolder();
  const service = await startServer({
    KEYSTEAD_DATA_PATH: folder,
    KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    KEYSTEAD_JWT_SECRET: JWT_SECRET,
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
  texts.push((await service.request("GET", "/metrics")).text, (await service.request("GET", "/health")).text);
  const opened = await service.request("GET", "/v1/secrets/s", undefined, { token });
  assert.equal(opened.json["value"], SECRET);

  const root = Buffer.from(ROOT_KEY.slice("base64:".length), "base64");
  const canaries = [PLAINTEXT, SECRET, KEY, JWT_SECRET, token, String(made), root].flatMap((canary) => {
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
  // Before and after the stop, when the write-ahead log is folded into the database.
  const files = (): [string, Buffer][] =>
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]);
  places.push(...files());
  await service.close();
  places.push(...files());
  assert.ok(places.some(([name, bytes]) => name.startsWith("keystead.db") && bytes.length > 10_000));
  for (const [place, bytes] of places) {
    for (const canary of canaries)
      assert.ok(!bytes.includes(canary), `${place} holds ${canary.toString("latin1")}`);
  }
});
