/**
 * A version's material opened for use, by the family of its algorithm.
 * Invariant: the material stays inside the opened key's closures; what a version can do is said by its `family`.
 */
import type { Algorithm } from "../crypto/catalogue.ts";
import type { CipherKey } from "../crypto/cipher-key.ts";
import type { KemKey } from "../crypto/kem-key.ts";
import type { MacKey } from "../crypto/mac-key.ts";
import type { Material } from "../crypto/material.ts";
import type { PublicCipherKey } from "../crypto/public-cipher-key.ts";
import type { SigningKey } from "../crypto/signing-key.ts";
import type { WrappingKey } from "../crypto/wrapping-key.ts";
import type { NonceCounter } from "./nonce-counter.ts";

export type OpenedVersion =
  | CipherVersion
  | { readonly family: "public-cipher"; readonly version: number; readonly key: PublicCipherKey }
  | { readonly family: "signature"; readonly version: number; readonly key: SigningKey }
  | { readonly family: "mac"; readonly version: number; readonly key: MacKey }
  | { readonly family: "kem"; readonly version: number; readonly key: KemKey }
  | { readonly family: "wrap"; readonly version: number; readonly key: WrappingKey };

export interface CipherVersion {
  readonly family: "cipher";
  readonly version: number;
  readonly key: CipherKey;
  /** Undefined where the nonces need no counting. */
  readonly nonces: NonceCounter | undefined;
}

/** Opens material for use. */
export function openVersion(
  algorithm: Algorithm,
  material: Material,
  version: number,
  nonces: NonceCounter | undefined,
): OpenedVersion {
  switch (algorithm.family) {
    case "cipher":
      return { family: "cipher", version, key: algorithm.open(material), nonces };
    case "public-cipher":
      return { family: "public-cipher", version, key: algorithm.open(material) };
    case "signature":
      return { family: "signature", version, key: algorithm.open(material) };
    case "mac":
      return { family: "mac", version, key: algorithm.open(material) };
    case "kem":
      return { family: "kem", version, key: algorithm.open(material) };
    case "wrap":
      return { family: "wrap", version, key: algorithm.open(material) };
  }
}
