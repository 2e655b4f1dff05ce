/** The barrier's key changes, and then the root key, while the service is used by many at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer, temporaryFolder } from "../harness.ts";

const WORKERS = 12;
const ROTATIONS = 4;

test("no request fails while barrier keys and root keys change under load, and all that was made opens", async () => {
  const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
  const newRoot = (fill: number): string => Buffer.alloc(32, fill).toString("hex");
  const service = await startServer(settings, { barrierGraceMs: 0 });
  const admin = await service.token("admin", { project: "*" });
  const failures: string[] = [];
  const call = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const { status, text, json } = await service.request(method, path, body, { token: admin });
    if (status >= 300) failures.push(`${method} ${path}: ${text}`);
    return json;
  };
  // A type whose nonces are counted, so that blocks are reserved while its counts are sealed anew.
  for (let i = 0; i < 20; i++) await call("POST", "/v1/keys", { name: `key-${i}`, type: "aes-256" });
  const ciphertexts: { key: string; ciphertext: string; plaintext: string }[] = [];
  const secrets = new Map<string, string>();
  let working = true;
  let requests = 0;
  const work = async (worker: number): Promise<void> => {
    for (let i = 0; working; i++) {
      requests++;
      const key = `key-${(worker * 7 + i) % 20}`;
      const plaintext = `${worker}-${i}`;
      const secret = `secret-${worker}-${i % 30}`;
      if (i % 5 === 0) await call("POST", "/v1/keys", { name: `made-${worker}-${i}` });
      else if (i % 5 === 1) {
        await call("POST", "/v1/secrets", { name: secret, value: plaintext });
        secrets.set(secret, plaintext);
      } else if (i % 25 === 2) await call("POST", `/v1/keys/${key}/rotate`, {});
      else if (i % 25 === 7) {
        const items = Array.from({ length: 300 }, () => ({ plaintext }));
        await call("POST", `/v1/keys/${key}/encrypt/batch`, { items });
      } else if (i % 25 === 12) await call("GET", "/v1/keys?limit=5");
      else {
        const { ciphertext } = await call("POST", `/v1/encrypt/${key}`, { plaintext });
        if (i % 4 === 0) ciphertexts.push({ key, ciphertext: String(ciphertext), plaintext });
      }
    }
  };
  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker));
  for (let rotation = 1; rotation <= ROTATIONS; rotation++) {
    await call("POST", "/v1/barrier/rotate", {});
    await Promise.all([
      service.keystead.runJobs(),
      service.keystead.rotateRoot(Buffer.alloc(32, rotation) as never),
    ]);
  }
  working = false;
  await Promise.all(workers);
  for (let round = 0; round < 3; round++) await service.keystead.runJobs();
  const status = await call("GET", "/v1/barrier");
  assert.equal(status["version"], ROTATIONS + 1);
  assert.equal((status["keys"] as unknown[]).length, 1, JSON.stringify(status));
  assert.ok(requests > 200, `the load was ${requests} requests`);
  await service.close();

  await using again = await startServer({ ...settings, KEYSTEAD_ROOT_KEY: newRoot(ROTATIONS) });
  for (const { key, ciphertext, plaintext } of ciphertexts) {
    const opened = await again.request("POST", `/v1/decrypt/${key}`, { ciphertext }, { token: admin });
    if (opened.json["plaintext"] !== plaintext) failures.push(`a ciphertext of ${key}: ${opened.text}`);
  }
  for (const [name, value] of secrets) {
    const opened = await again.request("GET", `/v1/secrets/${name}`, undefined, { token: admin });
    if (opened.json["value"] !== value) failures.push(`${name}: ${opened.text}`);
  }
  assert.deepEqual(failures.slice(0, 5), []);
});
