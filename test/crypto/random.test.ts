import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { randomId, randomNonce, randomSecret } from "../../src/crypto/random.ts";

describe("random nonces", () => {
  test("share no byte of the pool with the one before or after", () => {
    const nonces = Array.from({ length: 5000 }, () => randomNonce(12));
    for (let overlap = 1; overlap < 12; overlap++) {
      const shared = nonces.filter((nonce, i) => {
        const next = nonces[i + 1];
        return next !== undefined && nonce.subarray(12 - overlap).equals(next.subarray(0, overlap));
      });
      // One in 256 is chance, with one byte; all of them would be a pool that is handed out twice.
      assert.ok(shared.length < 100, `${shared.length} of 5000 share ${overlap} bytes`);
    }
  });

  test("have the length asked for and are never the same, whatever lengths are mixed", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 20_000; i++) {
      const bytes = i % 2 === 0 ? 12 : 24;
      const nonce = randomNonce(bytes);
      assert.equal(nonce.length, bytes);
      seen.add(nonce.toString("latin1", 0, 12));
    }
    assert.equal(seen.size, 20_000);
  });

  test("stay what they are when later ones are drawn", () => {
    const nonce = randomNonce(24);
    const copy = Buffer.from(nonce);
    for (let i = 0; i < 1000; i++) randomNonce(24);
    assert.deepEqual(nonce, copy);
  });

  test("use every bit", () => {
    const ones = Array<number>(96).fill(0);
    for (let i = 0; i < 2000; i++) {
      const nonce = randomNonce(12);
      for (let bit = 0; bit < 96; bit++) {
        if (((nonce[bit >> 3] ?? 0) >> (bit & 7)) & 1) ones[bit] = (ones[bit] ?? 0) + 1;
      }
    }
    // Ten standard deviations around half.
    for (const [bit, count] of ones.entries()) assert.ok(count > 776 && count < 1224, `bit ${bit}: ${count}`);
  });
});

describe("random secrets and ids", () => {
  test("are never the same twice", () => {
    const secrets = Array.from({ length: 1000 }, () => randomSecret(32));
    assert.equal(new Set(secrets.map((secret) => secret.toString("hex"))).size, 1000);
    assert.equal(new Set(Array.from({ length: 1000 }, randomId)).size, 1000);
  });

  test("ids are UUIDs of version 4", () => {
    assert.match(randomId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
