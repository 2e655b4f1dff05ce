/**
 * What stands between the keyring and the algorithms: a provider makes keys, takes them in, opens them for use and destroys
 * them. `software-provider.ts` is the one that is always there; docs/provider.md shows how to write another.
 * A provider's material is kept sealed and given back as it came. For a provider whose keys never leave it (a hardware
 * security module) it is form `handle`: bytes that name the key to the provider and mean nothing to anybody else.
 * Invariant: what keys there are, of which families, purposes and nonce limits, is the catalogue's alone to say; a provider
 * serves some of them or all. Whether a key may be used is asked before the provider is.
 */
import type { Buffer } from "node:buffer";
import type { SecretBytes } from "../bytes.ts";
import type { AgreementKey } from "./agreement-key.ts";
import type { PublicPart } from "./asymmetric-key.ts";
import type { KeyPurpose, KeyType } from "./catalogue.ts";
import type { CipherKey } from "./cipher-key.ts";
import type { KemKey } from "./kem-key.ts";
import type { MacKey } from "./mac-key.ts";
import type { ExportedMaterial, ImportedKey, KeyFormat, Material } from "./material.ts";
import type { PublicCipherKey } from "./public-cipher-key.ts";
import type { ShownKey } from "./shown-key.ts";
import type { SigningKey } from "./signing-key.ts";
import type { WrappingKey } from "./wrapping-key.ts";

/** What is known of a key before it is opened: its row of the catalogue. */
export interface KeyKind {
  readonly type: KeyType;
  readonly purpose: KeyPurpose;
}

export interface ProviderCapability extends KeyKind {
  /** Whether keys of this kind are taken in from outside. */
  readonly imports: boolean;
}

/** Errors: a KeysteadError passes as it is; anything else that is thrown becomes `provider_unavailable`. */
export interface CryptoProvider {
  /** Lower-case letters, digits and `-`, at most 32. It stands in the record of each of its keys, for good. */
  readonly name: string;
  readonly capabilities: readonly ProviderCapability[];
  /** Fresh material. */
  generate(kind: KeyKind): Material | Promise<Material>;
  /** Material from outside; form `spki` where only a public part came. Throws `invalid_key_material`. */
  import(kind: KeyKind, imported: ImportedKey): Material | Promise<Material>;
  /** Opens material for use, once for many uses: what costs time belongs here. */
  open(kind: KeyKind, material: Material): OpenedKey | Promise<OpenedKey>;
  /** The key in a format. Absent where no key ever leaves: then none is made exportable. */
  exportKey?(
    kind: KeyKind,
    material: Material,
    format: KeyFormat,
  ): ExportedMaterial | Promise<ExportedMaterial>;
  /** Removes what the provider keeps for the material; absent where it keeps nothing. A second time is no error. */
  destroy?(kind: KeyKind, material: Material): void | Promise<void>;
  /** Frees what the provider holds; it is not used afterwards. */
  close?(): void | Promise<void>;
}

/** A key opened for use; its family is its catalogue row's. What is at hand answers at once, what is not by a promise. */
export type OpenedKey =
  | { readonly family: "cipher"; readonly key: CipherHandle }
  | { readonly family: "public-cipher"; readonly key: PublicCipherHandle }
  | { readonly family: "signature"; readonly key: SigningKey }
  | { readonly family: "mac"; readonly key: MacHandle }
  | { readonly family: "kem"; readonly key: KemKey }
  | { readonly family: "agreement"; readonly key: AgreementHandle }
  | { readonly family: "wrap"; readonly key: WrappingHandle }
  | { readonly family: "shown"; readonly key: ShownKey };

type Soon<T> = T | Promise<T>;

/** As CipherKey. The nonce is the provider's to draw: fresh, random, of the type's length. */
export interface CipherHandle extends Pick<CipherKey, "nonceBytes"> {
  encrypt(plaintext: Uint8Array, aad: Uint8Array | undefined, headroomBytes: number): Soon<Buffer>;
  decrypt(message: Uint8Array, aad: Uint8Array | undefined): Soon<Buffer | undefined>;
}

/** As PublicCipherKey. */
export interface PublicCipherHandle
  extends PublicPart, Pick<PublicCipherKey, "canDecrypt" | "plaintextBytesMax" | "ciphertextBytes"> {
  encrypt(plaintext: Uint8Array, label?: Uint8Array): Soon<Buffer>;
  decrypt(ciphertext: Uint8Array, label?: Uint8Array): Promise<SecretBytes | undefined>;
}

/** As MacKey. */
export interface MacHandle extends Pick<MacKey, "macBytes"> {
  mac(message: Uint8Array): Soon<Buffer>;
  verify(message: Uint8Array, mac: Uint8Array): Soon<boolean>;
}

/** As AgreementKey. */
export interface AgreementHandle extends PublicPart, Pick<AgreementKey, "canAgree"> {
  agree(peer: Uint8Array): Soon<SecretBytes | undefined>;
}

/** As WrappingKey. */
export interface WrappingHandle {
  wrap(...args: Parameters<WrappingKey["wrap"]>): Soon<Buffer>;
  unwrap(wrapped: Uint8Array): Soon<SecretBytes | undefined>;
}
