import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFor, startDev } from "../harness.ts";

describe("keys over HTTP", () => {
  const service = serviceFor(() => startDev());

  test("encrypts and decrypts, before and after a rotation", async () => {
    assert.equal(
      (await service().request("POST", "/v1/keys", { name: "mykey", type: "aes-256" })).status,
      201,
    );
    const first = await service().request("POST", "/v1/encrypt/mykey", {
      plaintext: "hello",
      aad: "context",
    });
    assert.equal(first.status, 200);
    assert.equal((await service().request("POST", "/v1/keys/mykey/rotate")).json["latest_version"], 2);
    const { ciphertext } = first.json;
    const opened = await service().request("POST", "/v1/decrypt/mykey", { ciphertext, aad: "context" });
    assert.deepEqual(opened.json, { plaintext: "hello", plaintext_b64: "aGVsbG8=", version: 1 });
  });
});
