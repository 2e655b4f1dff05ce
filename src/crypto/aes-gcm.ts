/**
 * AES-GCM (NIST SP 800-38D) under a key of 256 or 128 bits, with a 96-bit random nonce and a 128-bit tag.
 * Layout: nonce (12) ‖ ciphertext (as long as the plaintext) ‖ tag (16).
 * Invariant: nothing decrypted leaves before its tag is checked, and no other tag length is ever accepted.
 * The caller counts the nonces: at most 2³² random ones a key (SP 800-38D §8.3).
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { randomNonce } from "./random.ts";
import type { CipherKey } from "./cipher-key.ts";

export const GCM_NONCE_BYTES = 12;
export const GCM_TAG_BYTES = 16;
const options = { authTagLength: GCM_TAG_BYTES };

/** Opens a 32-byte or 16-byte key for use. */
export function openAesGcm(key: Buffer): CipherKey {
  return {
    nonceBytes: GCM_NONCE_BYTES,
    encrypt: (plaintext, aad, headroomBytes) =>
      sealGcm(key, randomNonce(GCM_NONCE_BYTES), plaintext, aad, headroomBytes, GCM_NONCE_BYTES),
    decrypt: (message, aad) =>
      openGcm(key, message.subarray(0, GCM_NONCE_BYTES), message.subarray(GCM_NONCE_BYTES), aad),
  };
}

/**
 * Encrypts under a nonce that the caller vouches for.
 * @param headroomBytes blank bytes to leave before the nonce, for the caller's own header
 * @param written the nonce as it stands in the output; longer than 12 bytes for constructions that derive theirs
 * @returns headroom ‖ nonce ‖ ciphertext ‖ tag
 */
export function sealGcm(
  key: Buffer,
  nonce: Buffer,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
  headroomBytes: number,
  nonceBytes: number,
  written: Buffer = nonce,
): Buffer {
  // The tag is as long unless it is set; to set it costs a tenth of the whole.
  const cipher = createCipheriv(nameOf(key), key, nonce);
  if (aad !== undefined) cipher.setAAD(aad);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  const start = headroomBytes + nonceBytes;
  const out = Buffer.allocUnsafe(start + ciphertext.length + GCM_TAG_BYTES);
  for (let i = 0; i < headroomBytes; i++) out[i] = 0;
  copyFew(written, out, headroomBytes);
  out.set(ciphertext, start);
  copyFew(cipher.getAuthTag(), out, start + ciphertext.length);
  return out;
}

/** For a few bytes, which a loop copies sooner than a call of the platform. */
function copyFew(from: Uint8Array, to: Uint8Array, at: number): void {
  for (let i = 0; i < from.length; i++) to[at + i] = from[i] ?? 0;
}

/** Decrypts ciphertext ‖ tag; undefined where the tag does not fit. */
export function openGcm(
  key: Buffer,
  nonce: Uint8Array,
  data: Uint8Array,
  aad: Uint8Array | undefined,
): Buffer | undefined {
  if (nonce.length !== GCM_NONCE_BYTES || data.length < GCM_TAG_BYTES) return undefined;
  const decipher = createDecipheriv(nameOf(key), key, nonce, options);
  if (aad !== undefined) decipher.setAAD(aad);
  decipher.setAuthTag(data.subarray(data.length - GCM_TAG_BYTES));
  const plaintext = decipher.update(data.subarray(0, data.length - GCM_TAG_BYTES));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

function nameOf(key: Buffer): "aes-128-gcm" | "aes-256-gcm" {
  return key.length === 16 ? "aes-128-gcm" : "aes-256-gcm";
}
