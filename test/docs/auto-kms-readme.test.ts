/**
 * The commands of Auto KMS's README, with the program's name changed and the port made free. Its two Python steps, which
 * make tables and lend a crypto provider, are needless here.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { freePort, startProcess, type ServerProcess } from "../server-process.ts";

const run = promisify(execFile);

describe("Auto KMS's README", () => {
  let server: ServerProcess;
  let port = 0;
  before(async () => {
    port = await freePort();
    const args = ["--dev", "--host", "127.0.0.1", "--port", String(port), "--no-reload"];
    server = await startProcess({}, { args, port });
  });
  after(() => server.end());

  const shell = async (commands: string): Promise<Record<string, unknown>> => {
    const { stdout } = await run("sh", ["-euc", commands.replaceAll(":8000", `:${port}`)]);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  test("verifies, creates a key, encrypts, and decrypts", async () => {
    assert.deepEqual(await shell("curl -s http://127.0.0.1:8000/system/healthz"), { ok: true });
    const key = await shell(`curl -s -X POST http://127.0.0.1:8000/kms/Key \\
  -H "Content-Type: application/json" \\
  -d '{"name":"demo","algorithm":"AES256_GCM"}'`);
    assert.deepEqual(Object.keys(key), ["id", "name", "algorithm", "status", "primary_version"]);
    const encrypted = await shell(`PLAINTEXT=$(echo -n 'hello world' | base64)
curl -s -X POST http://127.0.0.1:8000/kms/Key/${String(key["id"])}/encrypt \\
  -H "Content-Type: application/json" \\
  -d "{\\"plaintext_b64\\":\\"$PLAINTEXT\\"}"`);
    const fields = ["kid", "version", "alg", "nonce_b64", "ciphertext_b64", "tag_b64"];
    assert.deepEqual(Object.keys(encrypted), fields);
    assert.equal(encrypted["kid"], key["id"]);
    const decrypted =
      await shell(`curl -s -X POST http://127.0.0.1:8000/kms/Key/${String(key["id"])}/decrypt \\
  -H "Content-Type: application/json" -d '${JSON.stringify(encrypted)}'`);
    assert.equal(Buffer.from(String(decrypted["plaintext_b64"]), "base64").toString(), "hello world");
  });
});
