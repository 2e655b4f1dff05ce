/** What every authenticated cipher of the catalogue keeps to, whatever it is made of. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { secretBytes } from "../../src/bytes.ts";
import { algorithmOf, keyTypes, type KeyType } from "../../src/crypto/catalogue.ts";
import type { CipherKey } from "../../src/crypto/cipher-key.ts";

const aad = Buffer.from("context");
const bytes = fc.uint8Array({ maxLength: 80 });

/** The lengths of a key, its nonce and its tag. */
const lengths: Readonly<Partial<Record<KeyType, readonly [number, number, number]>>> = {
  "aes-256": [32, 12, 16],
  "xaes-256": [32, 24, 16],
  "aes-128-gcm": [16, 12, 16],
  "aes-128-cbc-hmac-sha-256": [32, 16, 16],
  "aes-256-cbc-hmac-sha-512": [64, 16, 32],
  "chacha20-poly1305": [32, 12, 16],
  "xchacha20-poly1305": [32, 24, 16],
};

for (const type of keyTypes) {
  const algorithm = algorithmOf(type);
  if (algorithm.family !== "cipher") continue;
  const [keyBytes = 0, nonceBytes = 0, tagBytes = 0] = lengths[type] ?? [];
  const open = (filling: number): CipherKey =>
    algorithm.open({ form: "raw", bytes: secretBytes(Buffer.alloc(keyBytes, filling)) });
  /** CBC fills up whole blocks. */
  const isPadded = type.includes("cbc");
  const bodyBytes = ({ length }: Uint8Array): number =>
    isPadded ? 16 * (Math.floor(length / 16) + 1) : length;

  describe(type, () => {
    const cipher = open(0x5c);

    test("has keys, nonces and tags of the lengths that are published", async () => {
      assert.equal((await algorithm.generate()).bytes.length, keyBytes);
      assert.equal(cipher.nonceBytes, nonceBytes);
    });

    test("opens what it sealed, whatever the plaintext, the context and the headroom", () => {
      fc.assert(
        fc.property(
          bytes,
          fc.option(bytes, { nil: undefined }),
          fc.nat(9),
          (plaintext, context, headroom) => {
            const sealed = cipher.encrypt(plaintext, context, headroom);
            assert.equal(sealed.length, headroom + nonceBytes + bodyBytes(plaintext) + tagBytes);
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
      const sealed = open(0x5d).encrypt(Buffer.from("some plaintext"), aad, 0);
      assert.equal(cipher.decrypt(sealed, aad), undefined);
    });

    test("never draws a nonce twice in 20,000 messages", () => {
      const seen = new Set<string>();
      for (let i = 0; i < 20_000; i++) {
        seen.add(cipher.encrypt(Buffer.alloc(0), undefined, 0).toString("latin1", 0, nonceBytes));
      }
      assert.equal(seen.size, 20_000);
    });
  });
}

function flipped(message: Buffer, bit: number): Buffer {
  const copy = Buffer.from(message);
  const index = bit >> 3;
  copy[index] = (copy[index] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
