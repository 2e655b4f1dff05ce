/** What an opened key of a signature algorithm can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";

export interface SigningKey {
  /** False where only the public part was imported: such a key verifies and does not sign. */
  readonly canSign: boolean;
  /** Signs the SHA-256 digest (32 bytes) of a message. */
  signDigest(digest: Uint8Array): Uint8Array;
  /** Signs a message, hashed with SHA-256 inside. */
  signMessage(message: Uint8Array): Uint8Array;
  /** Whether a signature over a SHA-256 digest is good. Never throws for a malformed signature. */
  verifyDigest(digest: Uint8Array, signature: Uint8Array): boolean;
  /** Whether a signature over a message is good. Never throws for a malformed signature. */
  verifyMessage(message: Uint8Array, signature: Uint8Array): boolean;
  /** The public part as SubjectPublicKeyInfo (RFC 5280 §4.1), DER. */
  publicKeyDer(): Buffer;
}
