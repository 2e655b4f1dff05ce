/** XAES-256-GCM's own construction; what it shares with AES-256-GCM is in aes-gcm.test.ts, its vectors in test/vectors. */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { openXaes256Gcm, sealXaes256GcmWithNonce } from "../../src/crypto/xaes-gcm.ts";

const exactly = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes));

describe("XAES-256-GCM", () => {
  test("is what the specification's steps give, for any key and nonce", () => {
    fc.assert(
      fc.property(exactly(32), exactly(24), fc.uint8Array({ maxLength: 40 }), (key, nonce, plaintext) => {
        const sealed = sealXaes256GcmWithNonce(key, nonce, plaintext, Buffer.from("aad"));
        const cipher = createCipheriv("aes-256-gcm", derivedKey(key, nonce), nonce.subarray(12));
        cipher.setAAD(Buffer.from("aad"));
        const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
        assert.deepEqual(sealed, ciphertext);
      }),
    );
  });

  test("writes the whole nonce of 24 bytes before the ciphertext, and nothing before the headroom", () => {
    const key = Buffer.alloc(32, 9);
    const message = openXaes256Gcm(key).encrypt(Buffer.from("text"), undefined, 5);
    const nonce = message.subarray(5, 29);
    const expected = sealXaes256GcmWithNonce(key, Buffer.from(nonce), Buffer.from("text"), Buffer.alloc(0));
    assert.deepEqual(message.subarray(29), expected);
  });
});

/** Written from the specification with BigInt, not from our code. */
function derivedKey(key: Buffer, nonce: Buffer): Buffer {
  const encrypt = (block: bigint): Buffer => {
    const cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    return cipher.update(block.toString(16).padStart(32, "0"), "hex");
  };
  const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex")}`);
  const l = number(encrypt(0n));
  const shifted = (l << 1n) & (2n ** 128n - 1n);
  const k1 = l >> 127n === 1n ? shifted ^ 0x87n : shifted;
  const half = (i: number): Buffer =>
    encrypt(number(Buffer.concat([Buffer.of(0, i, 0x58, 0), nonce.subarray(0, 12)])) ^ k1);
  return Buffer.concat([half(1), half(2)]);
}
