/**
 * Encrypting and decrypting under keys.
 * Ciphertext layout: key version (4 bytes big-endian) ‖ what the algorithm makes: nonce (12, 16 or 24 bytes) ‖
 * ciphertext ‖ tag (16 or 32) for the AEAD ciphers, one block as long as the modulus for RSA-OAEP (RFC 8017 §7.1).
 * Invariant: every nonce is counted before it is drawn; every reason why something does not decrypt looks the same;
 * nothing here waits where key and version are at hand.
 */
import { Buffer } from "node:buffer";
import { asBuffer } from "../bytes.ts";
import { asKeysteadError, KeysteadError } from "../errors.ts";
import { assertOpening, assertUse, firstOpening, makingVersion, openedAs } from "./key-use.ts";
import { keyAlgorithm, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";
import type { CipherVersion } from "./opened-version.ts";

/** Bytes of the key version that stand before the rest. */
export const VERSION_BYTES = 4;

export interface Plaintext {
  readonly plaintext: Uint8Array;
  /** Context that must be given again to decrypt; it is not part of the ciphertext. */
  readonly aad: Uint8Array | undefined;
}

export interface Ciphertext {
  readonly ciphertext: Uint8Array;
  readonly aad: Uint8Array | undefined;
}

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

/**
 * Encrypts under the key's latest version, or the one asked for. Without a promise where everything is at hand.
 * Throws `key_exportable`, `key_usage`, the errors of states and versions, `invalid_body` for more than RSA takes.
 */
export function encrypt(
  keyring: Keyring,
  key: Key,
  input: Plaintext,
  version?: number,
): Encrypted | Promise<Encrypted> {
  assertEncrypts(key);
  const number = makingVersion(key, version);
  if (keyAlgorithm(key).family === "public-cipher") return encryptPublic(keyring, key, input, number);
  const opened = openedAs(keyring, key, number, "cipher");
  if (opened instanceof Promise) {
    return opened.then((found) => encryptLater(keyring, key, found, input, version));
  }
  return takesNonce(opened)
    ? encryptUnder(opened, input)
    : encryptLater(keyring, key, opened, input, version);
}

async function encryptLater(
  keyring: Keyring,
  key: Key,
  opened: CipherVersion,
  input: Plaintext,
  asked: number | undefined,
): Promise<Encrypted> {
  let current = key;
  let version = opened;
  while (!takesNonce(version)) {
    if (version.nonces?.isSpent(1) === true) {
      // A version that was asked for by its number has no successor to turn to.
      if (asked !== undefined) throw new KeysteadError("key_version_spent");
      current = await keyring.rotateSpent(current);
      assertEncrypts(current);
      version = await openedAs(keyring, current, makingVersion(current, undefined), "cipher");
    } else {
      await version.nonces?.reserve(1);
    }
  }
  return encryptUnder(version, input);
}

/** Counts a nonce, or says that none may be drawn now. */
function takesNonce({ nonces }: CipherVersion): boolean {
  return nonces === undefined || nonces.take(1);
}

function encryptUnder(
  { version, key }: CipherVersion,
  { plaintext, aad }: Plaintext,
): Encrypted | Promise<Encrypted> {
  const made = key.encrypt(plaintext, aad, VERSION_BYTES);
  return made instanceof Promise
    ? made.then((ciphertext) => encrypted(version, key.nonceBytes, ciphertext))
    : encrypted(version, key.nonceBytes, made);
}

function encrypted(version: number, nonceBytes: number, ciphertext: Buffer): Encrypted {
  ciphertext.writeUInt32BE(version);
  return { version, nonceBytes, ciphertext };
}

async function encryptPublic(
  keyring: Keyring,
  key: Key,
  { plaintext, aad }: Plaintext,
  version: number,
): Promise<Encrypted> {
  const opened = await openedAs(keyring, key, version, "public-cipher");
  const header = Buffer.alloc(VERSION_BYTES);
  header.writeUInt32BE(version);
  return {
    version,
    nonceBytes: 0,
    ciphertext: Buffer.concat([header, await opened.key.encrypt(plaintext, aad)]),
  };
}

/**
 * Decrypts what any version of the key encrypted in the same context.
 * Throws `decryption_failed`, and what state and version forbid.
 */
export function decrypt(
  keyring: Keyring,
  key: Key,
  { ciphertext, aad }: Ciphertext,
): Decrypted | Promise<Decrypted> {
  assertUse(key, "decrypt", "cipher", "public-cipher");
  const message = asBuffer(ciphertext);
  const version = message.length < VERSION_BYTES ? 0 : message.readUInt32BE(0);
  if (key.versions[version - 1] === undefined) throw new KeysteadError("decryption_failed");
  assertOpening(key, version);
  const body = message.subarray(VERSION_BYTES);
  if (keyAlgorithm(key).family === "public-cipher") return decryptPrivate(keyring, key, version, body, aad);
  const opened = openedAs(keyring, key, version, "cipher");
  return opened instanceof Promise
    ? opened.then((found) => decryptUnder(found, body, aad))
    : decryptUnder(opened, body, aad);
}

function decryptUnder(
  { version, key }: CipherVersion,
  body: Buffer,
  aad: Uint8Array | undefined,
): Decrypted | Promise<Decrypted> {
  const opened = key.decrypt(body, aad);
  return opened instanceof Promise
    ? opened.then((plaintext) => decrypted(version, plaintext))
    : decrypted(version, opened);
}

/** Versions of a cipher key, and of an RSA key, that a ciphertext which names none is tried with. */
const VERSIONS_TRIED_MAX = { cipher: 64, "public-cipher": 16 } as const;

/**
 * Decrypts what the algorithm alone made, without the version before it: with the version asked for, or with the newest
 * that opens it. Throws `decryption_failed`, and what state and version forbid.
 */
export async function decryptUnversioned(
  keyring: Keyring,
  key: Key,
  { ciphertext, aad }: Ciphertext,
  version: number | undefined,
): Promise<Decrypted> {
  assertUse(key, "decrypt", "cipher", "public-cipher");
  const { family } = keyAlgorithm(key);
  const header = Buffer.alloc(VERSION_BYTES);
  const withVersion = (tried: number): Ciphertext => {
    header.writeUInt32BE(tried);
    return { ciphertext: Buffer.concat([header, ciphertext]), aad };
  };
  if (version !== undefined) return decrypt(keyring, key, withVersion(version));
  const triedMax = family === "public-cipher" ? VERSIONS_TRIED_MAX[family] : VERSIONS_TRIED_MAX.cipher;
  const found = await firstOpening(key, triedMax, async (tried) => {
    try {
      return await decrypt(keyring, key, withVersion(tried));
    } catch (thrown) {
      if (asKeysteadError(thrown).code !== "decryption_failed") throw thrown;
      return undefined;
    }
  });
  if (found === undefined) throw new KeysteadError("decryption_failed");
  return found;
}

async function decryptPrivate(
  keyring: Keyring,
  key: Key,
  version: number,
  body: Buffer,
  aad: Uint8Array | undefined,
): Promise<Decrypted> {
  const opened = await openedAs(keyring, key, version, "public-cipher");
  if (key.publicOnly) throw new KeysteadError("key_public_only");
  return decrypted(version, await opened.key.decrypt(body, aad));
}

function decrypted(version: number, plaintext: Buffer | undefined): Decrypted {
  if (plaintext === undefined) throw new KeysteadError("decryption_failed");
  return { version, plaintext };
}

/** Throws where the key may not encrypt on the server, whatever its versions. */
export function assertEncrypts(key: Key): void {
  assertUse(key, "encrypt", "cipher", "public-cipher");
  // Whoever has the key draws nonces that cannot be counted here.
  if (key.exportable && keyAlgorithm(key).family === "cipher") throw new KeysteadError("key_exportable");
}
