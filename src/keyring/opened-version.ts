/**
 * A version's material opened for use, by the family of its algorithm.
 * Invariant: the material stays inside the opened key; what a version can do is said by its `family`.
 */
import type { OpenedKey } from "../crypto/provider.ts";
import type { NonceCounter } from "./nonce-counter.ts";

export type OpenedVersion = OpenedKey & {
  readonly version: number;
  /** For ciphers whose nonces are counted. */
  readonly nonces: NonceCounter | undefined;
};

export type CipherVersion = Extract<OpenedVersion, { readonly family: "cipher" }>;
