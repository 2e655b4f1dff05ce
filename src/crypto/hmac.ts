/**
 * HMAC with SHA-256, SHA-384 or SHA-512 (RFC 2104, FIPS 198-1).
 * Invariant: a code is taken in its full length only. A key is at least as long as its digest (RFC 2104 §3).
 */
import { createHmac } from "node:crypto";
import { equalConstantTime } from "../bytes.ts";
import type { MacKey } from "./mac-key.ts";
import type { Material } from "./material.ts";

/** The longest key that is imported. */
export const HMAC_KEY_BYTES_MAX = 256;

export const hmacHashes = {
  sha256: { macBytes: 32, alg: "HS256" },
  sha384: { macBytes: 48, alg: "HS384" },
  sha512: { macBytes: 64, alg: "HS512" },
} as const;

export type HmacHash = keyof typeof hmacHashes;

/** Opens stored material for use. */
export function openHmac({ bytes: key }: Material, hash: HmacHash): MacKey {
  const mac = (message: Uint8Array): Buffer => createHmac(hash, key).update(message).digest();
  return {
    macBytes: hmacHashes[hash].macBytes,
    mac,
    verify: (message, given) => equalConstantTime(mac(message), given),
  };
}
