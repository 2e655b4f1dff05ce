/** The calls of Mini KMS's README, against dev mode; its image is proven where the images are. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createPublicKey, verify } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { freePort, startProcess, type ServerProcess } from "../server-process.ts";

const run = promisify(execFile);

describe("Mini KMS's README", () => {
  let server: ServerProcess;
  let port = 0;
  before(async () => {
    port = await freePort();
    server = await startProcess({}, { args: ["--dev", "--host", "127.0.0.1", "--port", String(port)], port });
  });
  after(() => server.end());

  const call = async (
    method: string,
    path: string,
    body?: string,
  ): Promise<{ status: number; json: Record<string, unknown> }> => {
    const sent = body === undefined ? [] : ["-H", "Content-Type: application/json", "-d", body];
    const url = `http://localhost:${port}${path}`;
    const { stdout } = await run("curl", ["-s", "-w", "\n%{http_code}", "-X", method, ...sent, url]);
    const [text = "", status] = stdout.split("\n");
    return { status: Number(status), json: JSON.parse(text) as Record<string, unknown> };
  };

  test("the documentation page is there", async () => {
    const { stdout } = await run("curl", ["-sL", `http://localhost:${port}/docs`]);
    assert.match(stdout, /swagger-ui/);
  });

  test("generates, retrieves, signs and deletes", async () => {
    const generated = await call("POST", "/key/generate", '{"alg": "Ed25519"}');
    assert.equal(generated.status, 200);
    assert.deepEqual(Object.keys(generated.json), ["kid", "jwk", "b58"]);
    const kid = String(generated.json["kid"]);
    assert.deepEqual(await call("GET", `/key/${kid}`), generated);
    const message = Buffer.from("hello world");
    const data = message.toString("base64url");
    const signed = await call("POST", "/sign", JSON.stringify({ kid, data }));
    assert.deepEqual(Object.keys(signed.json), ["sig"]);
    const key = createPublicKey({ key: generated.json["jwk"] as JsonWebKey, format: "jwk" });
    assert.ok(verify(null, message, key, Buffer.from(String(signed.json["sig"]), "base64url")));
    assert.equal((await call("DELETE", `/key/${kid}`)).json["message"], "Key deleted");
    assert.equal((await call("GET", `/key/${kid}`)).status, 404);
  });
});
