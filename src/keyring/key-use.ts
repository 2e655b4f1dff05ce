/**
 * What every use of a key asks first: is it allowed in the key's state, is the key of the right kind, may this version be
 * used for it.
 * Invariant: no material is opened for a use that state, purpose or version forbid; nothing here waits where key and
 * version are at hand.
 */
import { KeysteadError } from "../errors.ts";
import { assertAllowed, type KeyUse } from "./key-states.ts";
import { keyAlgorithm, latestVersion, oldestMakingVersion, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";
import type { OpenedVersion } from "./opened-version.ts";

type Family = OpenedVersion["family"];
type OfFamily<F extends Family> = Extract<OpenedVersion, { readonly family: F }>;

/** Throws where the key's state or kind does not allow the use. */
export function assertUse(key: Key, use: KeyUse, ...families: readonly Family[]): void {
  assertAllowed(key.state, use);
  if (!families.includes(keyAlgorithm(key).family)) throw new KeysteadError("key_usage");
}

/**
 * The version that makes something new: the latest, unless another is asked for.
 * Throws `key_version_not_found`, `key_version_disabled`, `key_version_too_old`.
 */
export function makingVersion(key: Key, wanted: number | undefined): number {
  const version = wanted ?? latestVersion(key);
  assertVersion(key, version, oldestMakingVersion(key));
  return version;
}

/** Throws where a version may not open or verify what it made. */
export function assertOpening(key: Key, version: number): void {
  assertVersion(key, version, key.minDecryptionVersion ?? 1);
}

/** Whether a version may open or verify what it made. */
export function mayOpen(key: Key, version: number): boolean {
  const record = key.versions[version - 1];
  return (
    record?.version === version && record.state !== "disabled" && version >= (key.minDecryptionVersion ?? 1)
  );
}

function assertVersion(key: Key, version: number, oldest: number): void {
  // Versions are counted from 1 and never removed.
  const record = key.versions[version - 1];
  if (record?.version !== version) throw new KeysteadError("key_version_not_found");
  if (version < oldest) throw new KeysteadError("key_version_too_old");
  if (record.state === "disabled") throw new KeysteadError("key_version_disabled");
}

/** A version opened as one of a family. Throws `key_usage`. Without a promise where it is at hand. */
export function openedAs<F extends Family>(
  keyring: Keyring,
  key: Key,
  version: number,
  family: F,
): OfFamily<F> | Promise<OfFamily<F>> {
  const opened = keyring.version(key, version);
  return opened instanceof Promise
    ? opened.then((found) => ofFamily(found, family))
    : ofFamily(opened, family);
}

function ofFamily<F extends Family>(opened: OpenedVersion | undefined, family: F): OfFamily<F> {
  if (opened === undefined) throw new KeysteadError("key_version_not_found");
  if (opened.family !== family) throw new KeysteadError("key_usage");
  return opened as OfFamily<F>;
}
