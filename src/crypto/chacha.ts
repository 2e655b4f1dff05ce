/**
 * ChaCha20-Poly1305 (RFC 8439 §2.8) with a 96-bit random nonce and a 128-bit tag.
 * Layout: nonce (12) ‖ ciphertext (as long as the plaintext) ‖ tag (16).
 * Invariant: nothing decrypted leaves before its tag is checked. The caller counts the nonces: at most 2³² random ones a
 * key, as for GCM, since the nonce has the same length.
 */
import { Buffer } from "node:buffer";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { asBuffer } from "../bytes.ts";
import type { CipherKey } from "./cipher-key.ts";
import { randomNonce } from "./random.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Opens a 32-byte key for use. */
export function openChaCha20Poly1305(key: Buffer): CipherKey {
  return {
    nonceBytes: NONCE_BYTES,
    encrypt(plaintext, aad, headroomBytes) {
      const nonce = randomNonce(NONCE_BYTES);
      const sealed = chacha20poly1305(key, nonce, aad).encrypt(plaintext);
      const start = headroomBytes + NONCE_BYTES;
      const out = Buffer.allocUnsafe(start + sealed.length);
      out.fill(0, 0, headroomBytes);
      out.set(nonce, headroomBytes);
      out.set(sealed, start);
      return out;
    },
    decrypt(message, aad) {
      if (message.length < NONCE_BYTES + TAG_BYTES) return undefined;
      const nonce = message.subarray(0, NONCE_BYTES);
      try {
        return asBuffer(chacha20poly1305(key, nonce, aad).decrypt(message.subarray(NONCE_BYTES)));
      } catch {
        return undefined;
      }
    },
  };
}
