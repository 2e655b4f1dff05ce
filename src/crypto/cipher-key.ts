/** What an opened key of an authenticated cipher can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";

export interface CipherKey {
  /** Length in bytes of the nonce that stands before the ciphertext. */
  readonly nonceBytes: number;
  /** Encrypts under a fresh random nonce: `headroomBytes` blank bytes ‖ nonce ‖ ciphertext ‖ tag. */
  encrypt(plaintext: Uint8Array, aad: Uint8Array | undefined, headroomBytes: number): Buffer;
  /** Decrypts nonce ‖ ciphertext ‖ tag; undefined for anything that this key and context did not make. */
  decrypt(message: Uint8Array, aad: Uint8Array | undefined): Buffer | undefined;
}
