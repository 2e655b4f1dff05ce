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

/** Milliseconds that tries hold a turn for, together. */
const SLICE_MS = 2;

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

/**
 * What the newest versions of a key give, one after the other, for something that does not say which version made it:
 * the first that gives anything; undefined where none does. Between two tries the event loop has its turn.
 * @param triedMax so many versions are looked at; those that may not open are passed over
 */
export async function firstOpening<T>(
  key: Key,
  triedMax: number,
  attempt: (version: number) => Promise<T | undefined>,
): Promise<T | undefined> {
  const oldest = Math.max(1, key.versions.length - triedMax + 1);
  let hasTried = false;
  for (let version = key.versions.length; version >= oldest; version--) {
    if (!mayOpen(key, version)) continue;
    if (hasTried) await nextTurn();
    hasTried = true;
    const given = await attempt(version);
    if (given !== undefined) return given;
  }
  return undefined;
}

let sliceEndMs = 0;
let isCounting = false;

/** Waits for a turn of the event loop that was not held for a slice by those who waited as well. */
async function nextTurn(): Promise<void> {
  do {
    await new Promise((resolve) => setImmediate(resolve));
    if (isCounting) continue;
    isCounting = true;
    sliceEndMs = performance.now() + SLICE_MS;
    setImmediate(() => {
      isCounting = false;
    });
  } while (performance.now() >= sliceEndMs);
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
