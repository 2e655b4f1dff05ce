/**
 * Message authentication codes with keys.
 * Invariant: a code is compared in constant time; it is good only by a version that may still verify; where
 * none is named, the newest few are tried, with a turn of the event loop between two tries.
 */
import type { Buffer } from "node:buffer";
import { assertOpening, assertUse, firstOpening, makingVersion, openedAs } from "./key-use.ts";
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

/**
 * The code of a message under the key's latest version, or the one asked for. Without a promise where everything is at
 * hand.
 */
export function mac(keyring: Keyring, key: Key, { message }: MacInput, wanted?: number): Mac | Promise<Mac> {
  assertUse(key, "mac", "mac");
  const version = makingVersion(key, wanted);
  const opened = openedAs(keyring, key, version, "mac");
  const made =
    opened instanceof Promise ? opened.then((found) => found.key.mac(message)) : opened.key.mac(message);
  return made instanceof Promise ? made.then((bytes) => ({ version, mac: bytes })) : { version, mac: made };
}

/** Whether a version of the key made the code. */
export async function verifyMac(
  keyring: Keyring,
  key: Key,
  { message, mac: code, version }: VerifyMacInput,
): Promise<Verdict> {
  assertUse(key, "verify_mac", "mac");
  if (version !== undefined) assertOpening(key, version);
  const tried = async (candidate: number): Promise<Verdict | undefined> => {
    const opened = openedAs(keyring, key, candidate, "mac");
    // Worked out at once where it is at hand, so that a batch knows what its items take.
    const { key: one } = opened instanceof Promise ? await opened : opened;
    return (await one.verify(message, code)) ? { valid: true, version: candidate } : undefined;
  };
  const found =
    version === undefined ? await firstOpening(key, VERSIONS_TRIED_MAX, tried) : await tried(version);
  return found ?? { valid: false, version: version ?? latestVersion(key) };
}
