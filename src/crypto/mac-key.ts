/** What an opened key of a message authentication code can do. Invariant: the material stays inside the closures. */
import type { Buffer } from "node:buffer";

export interface MacKey {
  readonly macBytes: number;
  /** The code over a message, never shortened. */
  mac(message: Uint8Array): Buffer;
  /** Whether the code is the message's, in time that does not depend on where they differ. */
  verify(message: Uint8Array, mac: Uint8Array): boolean;
}
