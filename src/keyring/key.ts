/**
 * A key as it is remembered while in use: its sealed record opened, its versions opened on demand.
 * Invariant: a Key is immutable; a change makes a new one at the next revision. The record, which gates every use, comes
 * from under the seal and is never taken from a plain column.
 */
import { algorithmOf, type Algorithm, type KeyPurpose, type KeyType } from "../crypto/catalogue.ts";
import type { KeyAlias } from "./key-aliases.ts";
import type { KeyState, KeyVersionState } from "./key-states.ts";

export interface KeyVersionRecord {
  readonly version: number;
  readonly createdAt: string;
  /** Absent: enabled. */
  readonly state?: KeyVersionState;
}

/** A deletion that was asked for and can still be cancelled. */
export interface KeyDeletion {
  readonly requestedAt: string;
  readonly dueAt: string;
  /** The state to go back to. */
  readonly stateBefore: KeyState;
  /** Its names may be given to other keys already: it has them again after a cancellation where nobody took them. */
  readonly freedNames?: true;
}

/** What is sealed for a key, under its id and revision. */
export interface KeyRecord {
  /** Free again when the key is destroyed, or when a deletion freed it: the key is named `~` and its id then. */
  readonly name: string;
  readonly type: KeyType;
  /** What it was made for; fixed at creation. */
  readonly purpose: KeyPurpose;
  /** Who made its material and opens it; absent: the software provider. Fixed at creation. */
  readonly provider?: string;
  readonly state: KeyState;
  readonly createdAt: string;
  readonly revokedAt?: string;
  readonly destroyedAt?: string;
  /** The name that was freed. */
  readonly nameBefore?: string;
  /** Further names, of other APIs; those that a deletion freed stay listed until it is done. */
  readonly aliases?: readonly KeyAlias[];
  readonly deletion?: KeyDeletion;
  /** Raw material may be handed to callers with `kms:export_key`; such a key never encrypts on the server. */
  readonly exportable: boolean;
  /** Made to be handed out to its holders, who encrypt with it: it rotates by itself although it is exportable. */
  readonly dek?: true;
  /** True where only the public part was imported. */
  readonly publicOnly: boolean;
  readonly description?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Nothing new is made with a version below; absent: none is refused. */
  readonly minEncryptionVersion?: number;
  /** Up to this version the key was exportable: others drew nonces that nobody counted, so it never encrypts again. */
  readonly uncountedUpTo?: number;
  /** Nothing is opened or verified with a version below. */
  readonly minDecryptionVersion?: number;
  /** The key rotates by itself when its latest version is this old. */
  readonly rotationPeriodDays?: number;
  /** In ascending order; the last is the one that encrypts and signs. */
  readonly versions: readonly KeyVersionRecord[];
}

/** Where a key is found. */
export interface KeyHandle {
  readonly id: string;
  readonly projectId: string;
}

export interface Key extends KeyRecord, KeyHandle {
  readonly revision: number;
}

/** The number of the version that encrypts and signs. */
export function latestVersion(key: KeyRecord): number {
  return key.versions.at(-1)?.version ?? 0;
}

/** The oldest version that may still make something new. */
export function oldestMakingVersion(key: KeyRecord): number {
  const { minEncryptionVersion = 1, minDecryptionVersion = 1, uncountedUpTo = 0 } = key;
  return Math.max(minEncryptionVersion, minDecryptionVersion, uncountedUpTo + 1);
}

export function keyAlgorithm(key: KeyRecord): Algorithm {
  return algorithmOf(key.type, key.purpose);
}

const DAY_MS = 86_400_000;

/** When the key rotates by itself, as milliseconds; undefined where it does not. */
export function nextRotationMs(key: KeyRecord): number | undefined {
  const latest = key.versions.at(-1);
  if (key.rotationPeriodDays === undefined || latest === undefined || key.state !== "enabled")
    return undefined;
  return Date.parse(latest.createdAt) + key.rotationPeriodDays * DAY_MS;
}

/** When a job has something to do with the key, as ISO 8601; null where never. */
export function keyDueAt(key: KeyRecord): string | null {
  if (key.state === "pending_deletion") return key.deletion?.dueAt ?? null;
  const rotation = nextRotationMs(key);
  return rotation === undefined ? null : new Date(rotation).toISOString();
}
