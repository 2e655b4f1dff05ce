/**
 * Keys wrapped for their way from one place to another.
 * - AES-KWP (RFC 5649, NIST SP 800-38F §6.3) under a key-encryption key of 128 or 256 bits.
 *   Layout: 8 bytes of checked header, then the key padded to a multiple of 8, all under the permutation.
 * - AES-KW (RFC 3394, NIST SP 800-38F §6.2), the same without padding: for keys of 16 bytes on whose length 8 divides.
 * - RSA-OAEP and AES-KWP together (PKCS #11 v3.0, mechanism CKM_RSA_AES_KEY_WRAP): a fresh AES-256 key goes under RSA-OAEP with
 *   SHA-256 and no label, the key itself under that one. Layout: OAEP block (as long as the modulus) ‖ AES-KWP bytes.
 * Invariant: what opens was not changed on the way; an empty key is refused in both directions.
 */
import { Buffer } from "node:buffer";
import { aeskw, aeskwp } from "@noble/ciphers/aes.js";
import { secretBytes, wipe, type SecretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import type { Material } from "./material.ts";
import type { PublicCipherKey } from "./public-cipher-key.ts";
import { randomSecret } from "./random.ts";
import type { WrappingKey } from "./wrapping-key.ts";

/** The longest key that is wrapped: an RSA-4096 private key takes a seventh of it. */
export const KEY_BYTES_MAX = 16 * 1024;

/** An RSA key, in whichever place it encrypts. */
export interface WrappingTarget extends Pick<PublicCipherKey, "ciphertextBytes" | "decrypt"> {
  encrypt(plaintext: Uint8Array): Buffer | Promise<Buffer>;
}

const KEK_BYTES = 32;
const BLOCK_BYTES = 8;
const WRAPPED_BYTES_MAX = KEY_BYTES_MAX + BLOCK_BYTES;
const KWP_BYTES_MIN = 16;
/** The shortest key of AES-KW has two blocks. */
const KW_KEY_BYTES_MIN = 16;
const KW_BYTES_MIN = KW_KEY_BYTES_MIN + BLOCK_BYTES;

/** Opens a key-encryption key of 16 or 32 bytes for AES-KWP. */
export function openAesKwp({ bytes: kek }: Pick<Material, "bytes">): WrappingKey {
  return {
    wrap(keyBytes) {
      if (keyBytes.length === 0 || keyBytes.length > KEY_BYTES_MAX) throw notWrapped();
      return Buffer.from(aeskwp(kek).encrypt(keyBytes));
    },
    unwrap: (wrapped) => unwrapped(wrapped, KWP_BYTES_MIN, (bytes) => aeskwp(kek).decrypt(bytes)),
  };
}

/** Opens a key-encryption key of 16 or 32 bytes for AES-KW. */
export function openAesKw({ bytes: kek }: Pick<Material, "bytes">): WrappingKey {
  return {
    wrap(keyBytes) {
      const { length } = keyBytes;
      if (length < KW_KEY_BYTES_MIN || length > KEY_BYTES_MAX || length % BLOCK_BYTES !== 0)
        throw notWrapped();
      return Buffer.from(aeskw(kek).encrypt(keyBytes));
    },
    unwrap: (wrapped) => unwrapped(wrapped, KW_BYTES_MIN, (bytes) => aeskw(kek).decrypt(bytes)),
  };
}

function notWrapped(): KeysteadError {
  return new KeysteadError("invalid_body", { detail: "a key of this length is not wrapped" });
}

function unwrapped(
  wrapped: Uint8Array,
  bytesMin: number,
  decrypt: (bytes: Uint8Array) => Uint8Array,
): SecretBytes | undefined {
  const { length } = wrapped;
  if (length < bytesMin || length > WRAPPED_BYTES_MAX || length % BLOCK_BYTES !== 0) return undefined;
  try {
    const keyBytes = decrypt(wrapped);
    return keyBytes.length === 0 ? undefined : secretBytes(keyBytes);
  } catch {
    return undefined;
  }
}

/** Wraps 1 to KEY_BYTES_MAX bytes to an RSA key. Rejects with `invalid_body` for other lengths. */
export async function wrapToRsa(key: WrappingTarget, keyBytes: Uint8Array): Promise<Buffer> {
  const kek = randomSecret(KEK_BYTES);
  try {
    return Buffer.concat([await key.encrypt(kek), openAesKwp({ bytes: kek }).wrap(keyBytes)]);
  } finally {
    wipe(kek);
  }
}

/** The way back; undefined for anything that was not wrapped to this key. Rejects with `key_public_only`, `busy`. */
export async function unwrapWithRsa(
  key: WrappingTarget,
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
