/**
 * Key encapsulation with keys (FIPS 203).
 * Layout of an encapsulation: key version (4 bytes big-endian) ‖ the algorithm's ciphertext.
 * Invariant: as ML-KEM has it, a ciphertext of the right length always gives a shared secret; only one that the key's
 * maker encapsulated gives theirs.
 */
import { Buffer } from "node:buffer";
import { asBuffer } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import { VERSION_BYTES } from "./cipher-use.ts";
import { assertOpening, assertUse, makingVersion, openedAs } from "./key-use.ts";
import type { Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";

export interface Encapsulated {
  readonly version: number;
  readonly sharedSecret: Buffer;
  readonly ciphertext: Buffer;
}

export interface Decapsulated {
  readonly version: number;
  readonly sharedSecret: Buffer;
}

/** A fresh shared secret, and the ciphertext that gives it to whoever holds the key. */
export async function encapsulate(keyring: Keyring, key: Key, wanted?: number): Promise<Encapsulated> {
  assertUse(key, "encapsulate", "kem");
  const version = makingVersion(key, wanted);
  const opened = await openedAs(keyring, key, version, "kem");
  const { sharedSecret, ciphertext } = await opened.key.encapsulate();
  const header = Buffer.alloc(VERSION_BYTES);
  header.writeUInt32BE(version);
  return { version, sharedSecret, ciphertext: Buffer.concat([header, ciphertext]) };
}

/** The shared secret of an encapsulation. Throws `decryption_failed`. */
export async function decapsulate(keyring: Keyring, key: Key, ciphertext: Uint8Array): Promise<Decapsulated> {
  assertUse(key, "decapsulate", "kem");
  if (key.publicOnly) throw new KeysteadError("key_public_only");
  const message = asBuffer(ciphertext);
  const version = message.length < VERSION_BYTES ? 0 : message.readUInt32BE(0);
  if (key.versions[version - 1] === undefined) throw new KeysteadError("decryption_failed");
  assertOpening(key, version);
  const opened = await openedAs(keyring, key, version, "kem");
  const sharedSecret = await opened.key.decapsulate(message.subarray(VERSION_BYTES));
  if (sharedSecret === undefined) throw new KeysteadError("decryption_failed");
  return { version, sharedSecret };
}
