import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { GCM_NONCE_BYTES, openAes256Gcm, openGcm } from "../../src/crypto/aes-gcm.ts";
import { openXaes256Gcm } from "../../src/crypto/xaes-gcm.ts";

const key = Buffer.alloc(32, 0x5c);
const aad = Buffer.from("context");
const bytes = fc.uint8Array({ maxLength: 80 });

const ciphers = [
  { name: "AES-256-GCM", open: openAes256Gcm, nonceBytes: 12 },
  { name: "XAES-256-GCM", open: openXaes256Gcm, nonceBytes: 24 },
];

for (const { name, open, nonceBytes } of ciphers) {
  describe(name, () => {
    const cipher = open(key);

    test("opens what it sealed, whatever the plaintext, the context and the headroom", () => {
      fc.assert(
        fc.property(
          bytes,
          fc.option(bytes, { nil: undefined }),
          fc.nat(9),
          (plaintext, context, headroom) => {
            const sealed = cipher.encrypt(plaintext, context, headroom);
            assert.equal(sealed.length, headroom + nonceBytes + plaintext.length + 16);
            assert.deepEqual(sealed.subarray(0, headroom), Buffer.alloc(headroom));
            assert.deepEqual(cipher.decrypt(sealed.subarray(headroom), context), Buffer.from(plaintext));
          },
        ),
      );
    });

    test("refuses a message with any one bit flipped, in nonce, ciphertext or tag", () => {
      const sealed = cipher.encrypt(Buffer.from("some plaintext"), aad, 0);
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        assert.equal(cipher.decrypt(flipped(sealed, bit), aad), undefined, `bit ${bit}`);
      }
    });

    test("refuses another context, a missing one, and one that was not there", () => {
      const sealed = cipher.encrypt(Buffer.from("some plaintext"), aad, 0);
      for (let bit = 0; bit < aad.length * 8; bit++) {
        assert.equal(cipher.decrypt(sealed, flipped(aad, bit)), undefined, `bit ${bit}`);
      }
      assert.equal(cipher.decrypt(sealed, undefined), undefined);
      assert.equal(cipher.decrypt(cipher.encrypt(Buffer.from("x"), undefined, 0), aad), undefined);
    });

    test("refuses every truncation, down to nothing, and every extension by one byte", () => {
      const sealed = cipher.encrypt(Buffer.from("some plaintext"), aad, 0);
      for (let length = 0; length < sealed.length; length++) {
        assert.equal(cipher.decrypt(sealed.subarray(0, length), aad), undefined, `${length} bytes`);
      }
      assert.equal(cipher.decrypt(Buffer.concat([sealed, Buffer.alloc(1)]), aad), undefined);
    });

    test("refuses the message of another key", () => {
      const sealed = open(Buffer.alloc(32, 0x5d)).encrypt(Buffer.from("some plaintext"), aad, 0);
      assert.equal(cipher.decrypt(sealed, aad), undefined);
    });

    test("never draws a nonce twice in 50,000 messages", () => {
      const seen = new Set<string>();
      for (let i = 0; i < 50_000; i++) {
        seen.add(cipher.encrypt(Buffer.alloc(0), undefined, 0).toString("latin1", 0, nonceBytes));
      }
      assert.equal(seen.size, 50_000);
    });
  });
}

describe("the tag of AES-256-GCM", () => {
  const nonce = Buffer.alloc(GCM_NONCE_BYTES, 7);

  for (const tagBytes of [4, 8, 12, 13, 14, 15]) {
    test(`refuses a genuine tag of ${tagBytes} bytes`, () => {
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
      // Long enough that what stands in the place of a 16-byte tag is there.
      const ciphertext = Buffer.concat([cipher.update(Buffer.alloc(64, 1)), cipher.final()]);
      const message = Buffer.concat([ciphertext, cipher.getAuthTag()]);
      assert.equal(openGcm(key, nonce, message, undefined), undefined);
    });

    test(`refuses a tag of ${tagBytes} bytes without ciphertext`, () => {
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
      cipher.final();
      assert.equal(openGcm(key, nonce, cipher.getAuthTag(), undefined), undefined);
    });
  }

  test("opens a genuine tag of 16 bytes, so that the refusals above are the length's", () => {
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
    const ciphertext = Buffer.concat([cipher.update(Buffer.alloc(64, 1)), cipher.final()]);
    const message = Buffer.concat([ciphertext, cipher.getAuthTag()]);
    assert.deepEqual(openGcm(key, nonce, message, undefined), Buffer.alloc(64, 1));
  });

  for (const nonceBytes of [0, 8, 11, 13, 16]) {
    test(`refuses a nonce of ${nonceBytes} bytes`, () => {
      assert.equal(openGcm(key, Buffer.alloc(nonceBytes), Buffer.alloc(32), undefined), undefined);
    });
  }
});

function flipped(message: Buffer, bit: number): Buffer {
  const copy = Buffer.from(message);
  const index = bit >> 3;
  copy[index] = (copy[index] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
