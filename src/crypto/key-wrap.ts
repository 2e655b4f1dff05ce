/**
 * Keys wrapped for their way from one place to another.
 * - AES-KWP (RFC 5649, NIST SP 800-38F §6.3) under a 256-bit key-encryption key.
 *   Layout: 8 bytes of checked header, then the key padded to a multiple of 8, all under the permutation.
 * - RSA-OAEP and AES-KWP together (PKCS #11 v3.0, mechanism CKM_RSA_AES_KEY_WRAP): a fresh AES-256 key goes under RSA-OAEP with
 *   SHA-256 and no label, the key itself under that one. Layout: OAEP block (as long as the modulus) ‖ AES-KWP bytes.
 * Invariant: what opens was not changed on the way; an empty key is refused in both directions.
 */
import { Buffer } from "node:buffer";
import { aeskwp } from "@noble/ciphers/aes.js";
import { secretBytes, wipe, type SecretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import type { Material } from "./material.ts";
import type { PublicCipherKey } from "./public-cipher-key.ts";
import { randomSecret } from "./random.ts";
import type { WrappingKey } from "./wrapping-key.ts";

/** The longest key that is wrapped: an RSA-4096 private key takes a seventh of it. */
export const KEY_BYTES_MAX = 16 * 1024;

const KEK_BYTES = 32;
const KWP_BLOCK_BYTES = 8;
const KWP_BYTES_MIN = 16;
const KWP_BYTES_MAX = KEY_BYTES_MAX + KWP_BLOCK_BYTES;

/** Opens a 32-byte key-encryption key for use. */
export function openAesKwp({ bytes: kek }: Pick<Material, "bytes">): WrappingKey {
  return {
    wrap(keyBytes) {
      if (keyBytes.length === 0 || keyBytes.length > KEY_BYTES_MAX) {
        throw new KeysteadError("invalid_body", { detail: "a key of this length is not wrapped" });
      }
      return Buffer.from(aeskwp(kek).encrypt(keyBytes));
    },
    unwrap(wrapped) {
      const { length } = wrapped;
      if (length < KWP_BYTES_MIN || length > KWP_BYTES_MAX || length % KWP_BLOCK_BYTES !== 0)
        return undefined;
      try {
        const keyBytes = aeskwp(kek).decrypt(wrapped);
        return keyBytes.length === 0 ? undefined : secretBytes(keyBytes);
      } catch {
        return undefined;
      }
    },
  };
}

/** Wraps 1 to KEY_BYTES_MAX bytes to an RSA key. Throws `invalid_body` for other lengths. */
export function wrapToRsa(key: PublicCipherKey, keyBytes: Uint8Array): Buffer {
  const kek = randomSecret(KEK_BYTES);
  try {
    return Buffer.concat([key.encrypt(kek), openAesKwp({ bytes: kek }).wrap(keyBytes)]);
  } finally {
    wipe(kek);
  }
}

/** The way back; undefined for anything that was not wrapped to this key. Rejects with `key_public_only`, `busy`. */
export async function unwrapWithRsa(
  key: PublicCipherKey,
  wrapped: Uint8Array,
): Promise<SecretBytes | undefined> {
  const kek = await key.decrypt(wrapped.subarray(0, key.ciphertextBytes));
  if (kek === undefined) return undefined;
  try {
    if (kek.length !== KEK_BYTES) return undefined;
    return openAesKwp({ bytes: kek }).unwrap(wrapped.subarray(key.ciphertextBytes));
  } finally {
    wipe(kek);
  }
}
