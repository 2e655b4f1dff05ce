/**
 * Message authentication codes with keys.
 * Invariant: a code is compared in constant time; it is good only by a version that may still verify.
 */
import type { Buffer } from "node:buffer";
import { assertOpening, assertUse, makingVersion, mayOpen, openedAs } from "./key-use.ts";
import { latestVersion, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";
import { VERSIONS_TRIED_MAX, type Verdict } from "./signature-use.ts";

export interface MacInput {
  readonly message: Uint8Array;
}

export interface VerifyMacInput extends MacInput {
  readonly mac: Uint8Array;
  /** Asks this version only. */
  readonly version: number | undefined;
}

export interface Mac {
  readonly version: number;
  readonly mac: Buffer;
}

/** The code of a message under the key's latest version, or the one asked for. */
export async function mac(keyring: Keyring, key: Key, { message }: MacInput, wanted?: number): Promise<Mac> {
  assertUse(key, "mac", "mac");
  const version = makingVersion(key, wanted);
  const opened = await openedAs(keyring, key, version, "mac");
  return { version, mac: await opened.key.mac(message) };
}

/** Whether a version of the key made the code. */
export async function verifyMac(
  keyring: Keyring,
  key: Key,
  { message, mac: code, version }: VerifyMacInput,
): Promise<Verdict> {
  assertUse(key, "verify_mac", "mac");
  if (version !== undefined) assertOpening(key, version);
  const newest = key.versions.slice(-VERSIONS_TRIED_MAX).map((record) => record.version);
  const candidates =
    version === undefined ? newest.reverse().filter((candidate) => mayOpen(key, candidate)) : [version];
  for (const candidate of candidates) {
    const opened = await openedAs(keyring, key, candidate, "mac");
    if (await opened.key.verify(message, code)) return { valid: true, version: candidate };
  }
  return { valid: false, version: version ?? latestVersion(key) };
}
