/**
 * Signing and verifying with keys.
 * Invariant: a signature is good only by a version that may still verify; where none is named, the newest few are tried,
 * with a turn of the event loop between two tries.
 */
import type { SignatureOptions, Signed } from "../crypto/signing-key.ts";
import { KeysteadError } from "../errors.ts";
import { assertOpening, assertUse, firstOpening, makingVersion, openedAs } from "./key-use.ts";
import { latestVersion, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";

/** Versions that a signature is tried against where it names none. */
export const VERSIONS_TRIED_MAX = 16;

export interface SignInput {
  readonly signed: Signed;
  readonly options: SignatureOptions;
}

export interface VerifyInput extends SignInput {
  readonly signature: Uint8Array;
  /** Asks this version only. */
  readonly version: number | undefined;
}

export interface Signature {
  readonly version: number;
  readonly signature: Uint8Array;
}

export interface Verdict {
  readonly valid: boolean;
  readonly version: number;
}

/** Signs with the key's latest version, or the one asked for. Without a promise where everything is at hand. */
export function sign(
  keyring: Keyring,
  key: Key,
  { signed, options }: SignInput,
  wanted?: number,
): Signature | Promise<Signature> {
  assertUse(key, "sign", "signature");
  if (key.publicOnly) throw new KeysteadError("key_public_only");
  const version = makingVersion(key, wanted);
  const opened = openedAs(keyring, key, version, "signature");
  const signature =
    opened instanceof Promise
      ? opened.then((found) => found.key.sign(signed, options))
      : opened.key.sign(signed, options);
  return signature instanceof Promise
    ? signature.then((bytes) => ({ version, signature: bytes }))
    : { version, signature };
}

/** Whether a version of the key made the signature. */
export async function verify(
  keyring: Keyring,
  key: Key,
  { signed, signature, options, version }: VerifyInput,
): Promise<Verdict> {
  assertUse(key, "verify", "signature");
  if (version !== undefined) assertOpening(key, version);
  const tried = async (candidate: number): Promise<Verdict | undefined> => {
    const opened = await openedAs(keyring, key, candidate, "signature");
    const isValid = await opened.key.verify(signed, signature, options);
    return isValid ? { valid: true, version: candidate } : undefined;
  };
  const found =
    version === undefined ? await firstOpening(key, VERSIONS_TRIED_MAX, tried) : await tried(version);
  return found ?? { valid: false, version: version ?? latestVersion(key) };
}
