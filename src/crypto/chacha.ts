/**
 * ChaCha20-Poly1305 (RFC 8439 §2.8) with a 96-bit random nonce, XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha §2) with a
 * 192-bit one, both with a 128-bit tag.
 * Layout: nonce (12 or 24) ‖ ciphertext (as long as the plaintext) ‖ tag (16).
 * Invariant: nothing decrypted leaves before its tag is checked. The caller counts the nonces of 96 bits: at most 2³²
 * random ones a key, as for GCM. Of 192 bits so many random ones are safe that nobody has to count them.
 */
import { Buffer } from "node:buffer";
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { asBuffer } from "../bytes.ts";
import type { CipherKey } from "./cipher-key.ts";
import { randomNonce } from "./random.ts";

const CHACHA_NONCE_BYTES = 12;
const XCHACHA_NONCE_BYTES = 24;
const TAG_BYTES = 16;

/** Opens a 32-byte key for use. */
export function openChaCha20Poly1305(key: Buffer): CipherKey {
  return opened(key, chacha20poly1305, CHACHA_NONCE_BYTES);
}

/** Opens a 32-byte key for use. */
export function openXChaCha20Poly1305(key: Buffer): CipherKey {
  return opened(key, xchacha20poly1305, XCHACHA_NONCE_BYTES);
}

function opened(
  key: Buffer,
  aead: typeof chacha20poly1305 | typeof xchacha20poly1305,
  nonceBytes: number,
): CipherKey {
  return {
    nonceBytes,
    encrypt(plaintext, aad, headroomBytes) {
      const nonce = randomNonce(nonceBytes);
      const sealed = aead(key, nonce, aad).encrypt(plaintext);
      const start = headroomBytes + nonceBytes;
      const out = Buffer.allocUnsafe(start + sealed.length);
      out.fill(0, 0, headroomBytes);
      out.set(nonce, headroomBytes);
      out.set(sealed, start);
      return out;
    },
    decrypt(message, aad) {
      if (message.length < nonceBytes + TAG_BYTES) return undefined;
      const nonce = message.subarray(0, nonceBytes);
      try {
        return asBuffer(aead(key, nonce, aad).decrypt(message.subarray(nonceBytes)));
      } catch {
        return undefined;
      }
    },
  };
}
