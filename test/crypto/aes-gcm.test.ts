import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { describe, test } from "node:test";
import { GCM_NONCE_BYTES, openGcm } from "../../src/crypto/aes-gcm.ts";

const key = Buffer.alloc(32, 0x5c);

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
