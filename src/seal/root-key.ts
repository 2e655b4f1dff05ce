/**
 * The root key as an operator writes it, and the static seal: it wraps the barrier keys and nothing else.
 * Accepted: `base64:` and 32 bytes in base64, 64 hexadecimal digits, or 32 characters taken as they are.
 * Wrapped layout: XAES-256-GCM (nonce 24 ‖ ciphertext 32 ‖ tag 16) under a key derived from the root by HKDF, with
 * length-prefixed additional data that names the purpose and the barrier version.
 * Invariant: the root key itself never encrypts anything and is never stored.
 */
import { Buffer } from "node:buffer";
import { decodeBase64, decodeHex, lengthPrefixed, sealedBytes, secretBytes, wipe } from "../bytes.ts";
import type { SealedBytes, SecretBytes } from "../bytes.ts";
import { deriveKey } from "../crypto/digest.ts";
import { openXaes256Gcm } from "../crypto/xaes-gcm.ts";

export const ROOT_KEY_BYTES = 32;

export interface ParsedRootKey {
  readonly key: SecretBytes;
  /** True for the raw form: 32 typed characters hold far less than 256 bits of chance. */
  readonly weakForm: boolean;
}

/** The 32 bytes that a setting's text stands for, or undefined where it is in none of the forms. */
export function parseRootKey(text: string): ParsedRootKey | undefined {
  if (text.startsWith("base64:")) return strongForm(decodeBase64(text.slice("base64:".length)));
  if (text.length === 2 * ROOT_KEY_BYTES) return strongForm(decodeHex(text));
  const raw = Buffer.from(text, "utf8");
  return raw.length === ROOT_KEY_BYTES ? { key: secretBytes(raw), weakForm: true } : undefined;
}

/** Who wraps the wrapping keys. The static seal is one way; others keep their key elsewhere. */
export interface Seal {
  wrapBarrierKey(version: number, key: SecretBytes): SealedBytes;
  /** The barrier key, or undefined where this root did not wrap it. */
  unwrapBarrierKey(version: number, wrapped: Uint8Array): SecretBytes | undefined;
  /** Wipes what this process holds of it. */
  close(): void;
}

/** A seal whose root key is held by this process. The root's bytes may be wiped afterwards. */
export function createStaticSeal(rootKey: SecretBytes): Seal {
  const wrappingKey = deriveKey(rootKey, "keystead/seal/v1/wrap-barrier-key", 32);
  const cipher = openXaes256Gcm(wrappingKey);
  let closed = false;
  const context = (version: number): Buffer => {
    // A wiped key is a known one.
    if (closed) throw new Error("the seal is closed");
    return lengthPrefixed("keystead/seal/v1", "barrier-key", String(version));
  };
  return {
    wrapBarrierKey: (version, key) => sealedBytes(cipher.encrypt(key, context(version), 0)),
    unwrapBarrierKey(version, wrapped) {
      const key = cipher.decrypt(wrapped, context(version));
      if (key === undefined) return undefined;
      if (key.length === 32) return secretBytes(key);
      wipe(key);
      return undefined;
    },
    close() {
      closed = true;
      wipe(wrappingKey);
    },
  };
}

function strongForm(bytes: Buffer | undefined): ParsedRootKey | undefined {
  return bytes?.length === ROOT_KEY_BYTES ? { key: secretBytes(bytes), weakForm: false } : undefined;
}
