/** What an opened key of a key encapsulation mechanism can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";
import type { SecretBytes } from "../bytes.ts";
import type { PublicPart } from "./asymmetric-key.ts";

export interface Encapsulated {
  /** For whoever asked: 32 bytes that the holder of the private key can have from the ciphertext. */
  readonly sharedSecret: SecretBytes;
  readonly ciphertext: Buffer;
}

export interface KemKey extends PublicPart {
  /** False where only the public part was imported: such a key encapsulates and does not decapsulate. */
  readonly canDecapsulate: boolean;
  readonly ciphertextBytes: number;
  /** A fresh shared secret, and the ciphertext that carries it to the holder of the private key. */
  encapsulate(): Promise<Encapsulated>;
  /**
   * The shared secret of a ciphertext; undefined for one of another length. A ciphertext of the right length that this
   * key's public part did not make gives another secret and no error: that is how the mechanism rejects (FIPS 203 §6.3).
   * Throws `key_public_only`.
   */
  decapsulate(ciphertext: Uint8Array): Promise<SecretBytes | undefined>;
}
