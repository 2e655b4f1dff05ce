/** What an opened key of a key agreement can do. Invariant: the material stays inside the closures. */
import type { SecretBytes } from "../bytes.ts";
import type { PublicPart } from "./asymmetric-key.ts";

export interface AgreementKey extends PublicPart {
  /** False where only the public part was imported. */
  readonly canAgree: boolean;
  /**
   * The secret that this key and the holder of the peer's key share: 32 bytes, not yet a key (RFC 7748 §6.1 has it
   * derived). Undefined for bytes that are no public key of the kind, and for one that gives the same to everybody.
   * @param peer the public key's own bytes, or its SPKI
   * Throws `key_public_only`.
   */
  agree(peer: Uint8Array): SecretBytes | undefined;
}
