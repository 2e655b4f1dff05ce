/** What an opened key-encryption key can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";
import type { SecretBytes } from "../bytes.ts";

export interface WrappingKey {
  /** Wraps 1 to KEY_BYTES_MAX bytes. Throws `invalid_body` for other lengths. */
  wrap(keyBytes: Uint8Array): Buffer;
  /** The way back; undefined for anything that this key did not wrap. */
  unwrap(wrapped: Uint8Array): SecretBytes | undefined;
}
