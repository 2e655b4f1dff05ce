/** What an opened key of a public-key cipher can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";
import type { SecretBytes } from "../bytes.ts";
import type { PublicPart } from "./asymmetric-key.ts";

export interface PublicCipherKey extends PublicPart {
  /** False where only the public part was imported: such a key encrypts and does not decrypt. */
  readonly canDecrypt: boolean;
  readonly plaintextBytesMax: number;
  readonly ciphertextBytes: number;
  /** Throws `invalid_body` for a plaintext longer than `plaintextBytesMax`. */
  encrypt(plaintext: Uint8Array, label?: Uint8Array): Buffer;
  /**
   * Undefined for anything that was not encrypted to this key with this label.
   * Rejects with `key_public_only`, `busy`.
   */
  decrypt(ciphertext: Uint8Array, label?: Uint8Array): Promise<SecretBytes | undefined>;
}
