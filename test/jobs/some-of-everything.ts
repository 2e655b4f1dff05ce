/** A service with something in every table that has sealed values, and what it must still answer afterwards. */
import assert from "node:assert/strict";
import type { TestService } from "../harness.ts";

export interface Everything {
  /** An administrator's token. */
  readonly admin: string;
  /** Uses each thing that was made. */
  check(service: TestService): Promise<void>;
}

/** Makes it. */
export async function someOfEverything(service: TestService): Promise<Everything> {
  const admin = await service.token("admin", { project: "*" });
  const call = async (
    at: TestService,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Record<string, unknown>> => {
    const answer = await at.request(method, path, body, { token: admin, headers });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
    return answer.json;
  };
  await call(service, "POST", "/v1/projects", { name: "other" });
  await call(service, "POST", "/v1/jwt-revocations", { sub: "somebody", issued_before: 1000 });
  const ciphertexts: { key: string; ciphertext: string }[] = [];
  for (const [index, type] of ["aes-256", "xaes-256", "chacha20-poly1305"].entries()) {
    const name = `key-${index}`;
    await call(service, "POST", "/v1/keys", { name, type });
    // More than one page of versions of one key.
    for (let version = 1; version <= (index === 0 ? 70 : 2); version++) {
      const { ciphertext } = await call(service, "POST", `/v1/encrypt/${name}`, { plaintext: name });
      ciphertexts.push({ key: name, ciphertext: String(ciphertext) });
      await call(service, "POST", `/v1/keys/${name}/rotate`, {});
    }
  }
  // More than one page of keys and secrets.
  const many = Array.from({ length: 140 }, (_, i) => i);
  await Promise.all(many.map((i) => call(service, "POST", "/v1/keys", { name: `many-${i}` })));
  await Promise.all(
    many.map((i) => call(service, "POST", "/v1/secrets", { name: `secret-${i}`, value: `value-${i}` })),
  );
  const keyed = { "idempotency-key": "once" };
  const made = await call(service, "POST", "/v1/keys", { name: "keyed" }, keyed);

  return {
    admin,
    async check(at) {
      for (const { key, ciphertext } of ciphertexts) {
        const { plaintext } = await call(at, "POST", `/v1/decrypt/${key}`, { ciphertext });
        assert.equal(plaintext, key);
      }
      for (const i of many) {
        await call(at, "POST", `/v1/encrypt/many-${i}`, { plaintext: "x" });
        assert.equal((await call(at, "GET", `/v1/secrets/secret-${i}`))["value"], `value-${i}`);
      }
      const again = await call(at, "POST", "/v1/keys", { name: "keyed" }, keyed);
      assert.equal(again["id"], made["id"], "the idempotency key is remembered");
      assert.equal((await at.keystead.services.jwtRevocations.of("somebody")).issuedBefore, 1000);
    },
  };
}
