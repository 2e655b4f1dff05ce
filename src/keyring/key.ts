/**
 * A key as it is remembered while in use: its sealed record opened, its versions opened on demand.
 * Invariant: a Key is immutable; a change makes a new one at the next revision. The record, which gates every use, comes
 * from under the seal and is never taken from a plain column.
 */
import { algorithmOf, type Algorithm, type KeyType } from "../crypto/catalogue.ts";
import type { CipherKey } from "../crypto/cipher-key.ts";
import type { SigningKey } from "../crypto/signing-key.ts";
import type { NonceCounter } from "./nonce-counter.ts";
import type { KeyState } from "./key-states.ts";

export interface KeyVersionRecord {
  readonly version: number;
  readonly createdAt: string;
}

/** What is sealed for a key, under its id and revision. */
export interface KeyRecord {
  readonly name: string;
  readonly type: KeyType;
  readonly state: KeyState;
  readonly createdAt: string;
  readonly revokedAt?: string;
  /** Raw material may be handed to callers with `kms:export_key`; such a key never encrypts on the server. */
  readonly exportable: boolean;
  /** True where only the public part was imported. */
  readonly publicOnly: boolean;
  /** In ascending order; the last is the one that encrypts and signs. */
  readonly versions: readonly KeyVersionRecord[];
}

export interface Key extends KeyRecord {
  readonly id: string;
  readonly projectId: string;
  readonly revision: number;
}

/** An opened version of a cipher key. */
export interface CipherVersion {
  readonly purpose: "encrypt";
  readonly version: number;
  readonly cipher: CipherKey;
  /** Undefined where the nonces need no counting. */
  readonly nonces: NonceCounter | undefined;
}

/** An opened version of a signing key. */
export interface SigningVersion {
  readonly purpose: "sign";
  readonly version: number;
  readonly signing: SigningKey;
}

export type OpenedVersion = CipherVersion | SigningVersion;

/** The number of the version that encrypts and signs. */
export function latestVersion(key: KeyRecord): number {
  return key.versions.at(-1)?.version ?? 0;
}

export function keyAlgorithm(key: KeyRecord): Algorithm {
  return algorithmOf(key.type);
}
