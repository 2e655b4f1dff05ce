/**
 * Data encryption keys that are handed out: their holders encrypt with them by themselves, for a few minutes at a time.
 * A version is `in-use` while it is the newest that may make something new, `deprecated` after that, and `retired` where
 * it was disabled or lies below the key's least version for decryption.
 * Invariant: a retired version is not handed out, nor any version of a key whose state forbids its export; only keys that
 * were made for it are.
 */
import type { SecretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import { assertAllowed } from "./key-states.ts";
import { assertOpening, mayOpen } from "./key-use.ts";
import { latestVersion, oldestMakingVersion, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";

export type DekState = "in-use" | "deprecated" | "retired";

/** One version of a data encryption key in its holder's hands. */
export interface Dek {
  readonly version: number;
  /** 32 bytes. */
  readonly bytes: SecretBytes;
}

/** What a holder gets: the version that it asked for, and the one to encrypt with. */
export interface DekPair {
  readonly decryptWith: Dek;
  readonly encryptWith: Dek;
}

/**
 * Hands out a version and the one in use; without a promise where both are at hand.
 * Throws what the key's and the version's state forbid.
 * @param wanted undefined asks for the one in use
 */
export function handOut(keyring: Keyring, key: Key, wanted: number | undefined): DekPair | Promise<DekPair> {
  if (key.dek !== true || !key.exportable) throw new KeysteadError("key_not_exportable");
  assertAllowed(key.state, "export");
  const current = versionInUse(key);
  if (wanted !== undefined) assertOpening(key, wanted);
  if (current === undefined) throw new KeysteadError("key_version_disabled");
  const encryptWith = dekOf(keyring, key, current);
  const decryptWith = wanted === undefined || wanted === current ? encryptWith : dekOf(keyring, key, wanted);
  return encryptWith instanceof Promise || decryptWith instanceof Promise
    ? Promise.all([decryptWith, encryptWith]).then(([asked, inUse]) => ({
        decryptWith: asked,
        encryptWith: inUse,
      }))
    : { decryptWith, encryptWith };
}

/** The version to encrypt with; undefined where every one is retired. */
export function versionInUse(key: Key): number | undefined {
  const oldest = oldestMakingVersion(key);
  for (let version = latestVersion(key); version >= oldest; version--)
    if (mayOpen(key, version)) return version;
  return undefined;
}

/** What has become of a version. */
export function dekState(key: Key, version: number): DekState {
  if (!mayOpen(key, version)) return "retired";
  return version === versionInUse(key) ? "in-use" : "deprecated";
}

function dekOf(keyring: Keyring, key: Key, version: number): Dek | Promise<Dek> {
  const bytes = keyring.dekBytes(key, version);
  return bytes instanceof Promise ? bytes.then((loaded) => ({ version, bytes: loaded })) : { version, bytes };
}
