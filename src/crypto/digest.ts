/**
 * Hashes, keyed hashes and key derivation: SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869).
 * Invariant: derived keys of different labels are independent; a label is never reused for another purpose.
 */
import type { Buffer } from "node:buffer";
import { createHmac, hash, hkdfSync } from "node:crypto";
import { secretBytes, type SecretBytes } from "../bytes.ts";

/** SHA-256, 32 bytes. */
export function sha256(data: string | Uint8Array): Buffer {
  return hash("sha256", data, "buffer");
}

/** SHA-256 as standard base64: a compact map key. */
export function sha256Base64(data: string | Uint8Array): string {
  return hash("sha256", data, "base64");
}

/** HMAC-SHA-256, 32 bytes. */
export function hmacSha256(key: Uint8Array, data: string | Uint8Array): Buffer {
  return createHmac("sha256", key).update(data).digest();
}

/** HKDF-SHA-256 as RFC 5869 has it: at most 8160 bytes. An empty salt is the same as none. */
export function hkdfSha256(key: Uint8Array, salt: Uint8Array, info: Uint8Array, bytes: number): SecretBytes {
  return secretBytes(new Uint8Array(hkdfSync("sha256", key, salt, info, bytes)));
}

/** HKDF-SHA-256 without salt: a key of `bytes` bytes for the purpose that `label` names. */
export function deriveKey(key: Uint8Array, label: string, bytes: number): SecretBytes {
  return secretBytes(new Uint8Array(hkdfSync("sha256", key, new Uint8Array(0), label, bytes)));
}
