/**
 * AES-CBC with HMAC, encrypt-then-MAC (RFC 7518 §5.2): AES-128 with HMAC-SHA-256, AES-256 with HMAC-SHA-512.
 * Key: the MAC's half ‖ the cipher's half. Layout: IV (16) ‖ ciphertext, padded to whole blocks (PKCS #7) ‖ tag, which is
 * the first half of the HMAC over additional data ‖ IV ‖ ciphertext ‖ the additional data's length in bits (8 bytes
 * big-endian).
 * Invariant: nothing is decrypted before the tag was found good, in constant time; so a padding is never judged that this
 * key did not write. The IV has 128 bits: nobody has to count them.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { equalConstantTime } from "../bytes.ts";
import type { CipherKey } from "./cipher-key.ts";
import { randomNonce } from "./random.ts";

const IV_BYTES = 16;
const BLOCK_BYTES = 16;

const variants = {
  "A128CBC-HS256": { cipher: "aes-128-cbc", hash: "sha256", halfBytes: 16 },
  "A256CBC-HS512": { cipher: "aes-256-cbc", hash: "sha512", halfBytes: 32 },
} as const;

export type CbcHmacName = keyof typeof variants;

/** The length of a key, both halves. */
export function cbcHmacKeyBytes(name: CbcHmacName): number {
  return 2 * variants[name].halfBytes;
}

/** Opens a key of `cbcHmacKeyBytes` for use. */
export function openCbcHmac(key: Buffer, name: CbcHmacName): CipherKey {
  const { cipher: cipherName, hash, halfBytes } = variants[name];
  const macKey = key.subarray(0, halfBytes);
  const cipherKey = key.subarray(halfBytes);
  const tagBytes = halfBytes;
  const tagOf = (aad: Uint8Array | undefined, ivAndCiphertext: Uint8Array): Buffer => {
    const hmac = createHmac(hash, macKey);
    if (aad !== undefined) hmac.update(aad);
    const aadBits = Buffer.alloc(8);
    aadBits.writeBigUInt64BE(BigInt(aad?.length ?? 0) * 8n);
    return hmac.update(ivAndCiphertext).update(aadBits).digest().subarray(0, tagBytes);
  };
  return {
    nonceBytes: IV_BYTES,
    encrypt(plaintext, aad, headroomBytes) {
      const iv = randomNonce(IV_BYTES);
      const cipher = createCipheriv(cipherName, cipherKey, iv);
      const whole = cipher.update(plaintext);
      const last = cipher.final();
      const tagAt = headroomBytes + IV_BYTES + whole.length + last.length;
      const out = Buffer.allocUnsafe(tagAt + tagBytes);
      out.fill(0, 0, headroomBytes);
      out.set(iv, headroomBytes);
      out.set(whole, headroomBytes + IV_BYTES);
      out.set(last, tagAt - last.length);
      out.set(tagOf(aad, out.subarray(headroomBytes, tagAt)), tagAt);
      return out;
    },
    decrypt(message, aad) {
      const tagAt = message.length - tagBytes;
      if (tagAt < IV_BYTES + BLOCK_BYTES || tagAt % BLOCK_BYTES !== 0) return undefined;
      if (!equalConstantTime(tagOf(aad, message.subarray(0, tagAt)), message.subarray(tagAt)))
        return undefined;
      const decipher = createDecipheriv(cipherName, cipherKey, message.subarray(0, IV_BYTES));
      const whole = decipher.update(message.subarray(IV_BYTES, tagAt));
      try {
        return Buffer.concat([whole, decipher.final()]);
      } catch {
        return undefined;
      } finally {
        whole.fill(0);
      }
    },
  };
}
