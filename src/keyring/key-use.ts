/**
 * What callers do with keys: encrypt, decrypt, sign, verify.
 * Ciphertext layout: key version (4 bytes big-endian) ‖ nonce (12 for aes-256, 24 for xaes-256) ‖ ciphertext ‖ tag (16).
 * Invariant: the key's state and purpose are asked before every use; every reason why something does not decrypt looks
 * the same; nothing here waits where key and version are at hand.
 */
import type { Buffer } from "node:buffer";
import { asBuffer } from "../bytes.ts";
import type { Signed } from "../crypto/signing-key.ts";
import { KeysteadError } from "../errors.ts";
import { assertUsable, type KeyUse } from "./key-states.ts";
import type { Keyring } from "./keyring.ts";
import {
  keyAlgorithm,
  latestVersion,
  type CipherVersion,
  type Key,
  type OpenedVersion,
  type SigningVersion,
} from "./key.ts";

/** Bytes of the key version that stand before the nonce. */
export const VERSION_BYTES = 4;

/** Versions that a signature is tried against where it names none. */
export const VERSIONS_TRIED_MAX = 16;

export interface Encrypted {
  readonly version: number;
  readonly nonceBytes: number;
  /** The whole ciphertext, in the layout above. */
  readonly ciphertext: Buffer;
}

export interface Decrypted {
  readonly version: number;
  readonly plaintext: Buffer;
}

export type { Signed };

/** Encrypts under the key's latest version. Without a promise where everything is at hand. */
export function encrypt(
  keyring: Keyring,
  key: Key,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
): Encrypted | Promise<Encrypted> {
  assertEncrypts(key);
  const opened = keyring.version(key, latestVersion(key));
  if (opened instanceof Promise) {
    return opened.then((version) => encryptLater(keyring, key, cipherVersion(version), plaintext, aad));
  }
  const version = cipherVersion(opened);
  return takesNonce(version)
    ? encryptUnder(version, plaintext, aad)
    : encryptLater(keyring, key, version, plaintext, aad);
}

async function encryptLater(
  keyring: Keyring,
  key: Key,
  opened: CipherVersion,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
): Promise<Encrypted> {
  let current = key;
  let version = opened;
  while (!takesNonce(version)) {
    if (version.nonces?.isSpent(1) === true) {
      current = await keyring.rotateSpent(current);
      assertEncrypts(current);
      version = cipherVersion(await keyring.version(current, latestVersion(current)));
    } else {
      await version.nonces?.reserve(1);
    }
  }
  return encryptUnder(version, plaintext, aad);
}

/** Counts a nonce, or says that none may be drawn now. */
function takesNonce({ nonces }: CipherVersion): boolean {
  return nonces === undefined || nonces.take(1);
}

function encryptUnder(
  { version, cipher }: CipherVersion,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
): Encrypted {
  const ciphertext = cipher.encrypt(plaintext, aad, VERSION_BYTES);
  ciphertext.writeUInt32BE(version);
  return { version, nonceBytes: cipher.nonceBytes, ciphertext };
}

/** Decrypts what any version of the key encrypted in the same context. Throws `decryption_failed`. */
export function decrypt(
  keyring: Keyring,
  key: Key,
  ciphertext: Uint8Array,
  aad: Uint8Array | undefined,
): Decrypted | Promise<Decrypted> {
  assertPurpose(key, "decrypt");
  const message = asBuffer(ciphertext);
  const version = message.length < VERSION_BYTES ? 0 : message.readUInt32BE(0);
  const found = keyring.version(key, version);
  return found instanceof Promise
    ? found.then((opened) => decryptUnder(opened, message, aad))
    : decryptUnder(found, message, aad);
}

function decryptUnder(
  opened: OpenedVersion | undefined,
  message: Buffer,
  aad: Uint8Array | undefined,
): Decrypted {
  if (opened === undefined) throw new KeysteadError("decryption_failed");
  const plaintext = cipherVersion(opened).cipher.decrypt(message.subarray(VERSION_BYTES), aad);
  if (plaintext === undefined) throw new KeysteadError("decryption_failed");
  return { version: opened.version, plaintext };
}

/** Signs with the key's latest version. */
export async function sign(
  keyring: Keyring,
  key: Key,
  signed: Signed,
): Promise<{ version: number; signature: Uint8Array }> {
  assertPurpose(key, "sign");
  if (key.publicOnly) throw new KeysteadError("key_public_only");
  const opened = signingVersion(await keyring.version(key, latestVersion(key)));
  return { version: opened.version, signature: await opened.signing.sign(signed) };
}

/**
 * Whether a version of the key made the signature.
 * @param version asks that version only; without it the newest VERSIONS_TRIED_MAX are tried, the latest first
 */
export async function verify(
  keyring: Keyring,
  key: Key,
  signed: Signed,
  signature: Uint8Array,
  version?: number,
): Promise<{ valid: boolean; version: number }> {
  assertPurpose(key, "verify");
  const newest = key.versions.slice(-VERSIONS_TRIED_MAX).map((record) => record.version);
  const versions = version === undefined ? newest.reverse() : [version];
  for (const [tried, candidate] of versions.entries()) {
    // Each try may take a millisecond: between two the event loop has its turn.
    if (tried > 0) await new Promise((resolve) => setImmediate(resolve));
    const opened = await keyring.version(key, candidate);
    if (opened === undefined) throw new KeysteadError("key_version_not_found");
    const { signing } = signingVersion(opened);
    const valid = await signing.verify(signed, signature);
    if (valid) return { valid, version: candidate };
  }
  return { valid: false, version: version ?? latestVersion(key) };
}

function assertPurpose(key: Key, use: KeyUse): void {
  assertUsable(key.state, use);
  const wanted = use === "encrypt" || use === "decrypt" ? "encrypt" : "sign";
  if (keyAlgorithm(key).purpose !== wanted) throw new KeysteadError("key_usage");
}

function assertEncrypts(key: Key): void {
  assertPurpose(key, "encrypt");
  if (key.exportable) throw new KeysteadError("key_exportable");
}

function cipherVersion(opened: OpenedVersion | undefined): CipherVersion {
  if (opened?.purpose !== "encrypt") throw new KeysteadError("key_usage");
  return opened;
}

function signingVersion(opened: OpenedVersion | undefined): SigningVersion {
  if (opened?.purpose !== "sign") throw new KeysteadError("key_usage");
  return opened;
}
