/**
 * Messages under a data key that is there: the layout is in envelope-format.ts.
 * Invariant: nothing opened is given out before its tag was checked; a nonce is drawn for each message.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomFillSync } from "node:crypto";
import type { CachedDek } from "./dek-cache.ts";
import { KeysteadDecryptionError } from "./envelope-error.ts";
import { headerOf, KEY_BYTES, KIND_MESSAGE, messageKeys, NONCE_BYTES, TAG_BYTES } from "./envelope-format.ts";
import { bytesOf } from "./wire-bytes.ts";

/** What is encrypted in one go, so that a long plaintext does not take twice its length. */
const PIECE_BYTES = 2 ** 20;
const ALGORITHM = "aes-256-gcm";
const options = { authTagLength: TAG_BYTES };

export interface EnvelopeDek extends CachedDek {
  readonly wrapped: Uint8Array;
  readonly context: Uint8Array;
  /** What every message of this data key begins with: header ‖ commitment. */
  readonly prefix: Buffer;
  readonly messageKey: Buffer;
}

/** A data key, with what is derived from it once. Throws KeysteadDecryptionError for what is none. */
export function dekOf(key: Uint8Array, wrapped: Buffer, context: Uint8Array): EnvelopeDek {
  if (key.length !== KEY_BYTES) throw new KeysteadDecryptionError();
  const derived = messageKeys(key, context);
  const prefix = Buffer.concat([headerOf(KIND_MESSAGE, wrapped), derived.commitment]);
  return { key, wrapped, context, prefix, messageKey: derived.key, wipe: () => derived.key.fill(0) };
}

/** Encrypts one message. */
export function seal(
  dek: EnvelopeDek,
  plaintext: Uint8Array,
  aad: string | Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { prefix, messageKey } = dek;
  const nonce = randomNonce();
  const cipher = createCipheriv(ALGORITHM, messageKey, nonce, options);
  if (aad.length > 0) cipher.setAAD(bytesOf(aad));
  let at = prefix.length + NONCE_BYTES;
  // Not of the shared pool: what others have in it would go wherever this one's memory goes.
  const message = Buffer.allocUnsafeSlow(at + plaintext.length + TAG_BYTES);
  message.set(prefix);
  message.set(nonce, prefix.length);
  for (let from = 0; from < plaintext.length; from += PIECE_BYTES) {
    const piece = plaintext.length <= PIECE_BYTES ? plaintext : plaintext.subarray(from, from + PIECE_BYTES);
    message.set(cipher.update(piece), at);
    at += piece.length;
  }
  cipher.final();
  message.set(cipher.getAuthTag(), at);
  return message;
}

/**
 * Opens one message.
 * @throws KeysteadDecryptionError
 */
export function open(dek: EnvelopeDek, message: Buffer, aad: string | Uint8Array): Uint8Array<ArrayBuffer> {
  // The commitment is no secret, so that the time of the comparison tells nothing.
  if (!beginsWith(message, dek.prefix)) throw new KeysteadDecryptionError();
  return openBody(dek, message, aad);
}

/** As `open`, for a message that was found to begin with the data key's prefix. */
export function openBody(
  { prefix, messageKey }: EnvelopeDek,
  message: Buffer,
  aad: string | Uint8Array,
): Uint8Array<ArrayBuffer> {
  const from = prefix.length + NONCE_BYTES;
  const to = message.length - TAG_BYTES;
  if (to < from) throw new KeysteadDecryptionError();
  // Copied and not cut out: a view of its own for each costs as much as a quarter of all the rest. Nothing runs between.
  message.copy(openedNonce, 0, prefix.length, from);
  message.copy(openedTag, 0, to);
  const decipher = createDecipheriv(ALGORITHM, messageKey, openedNonce, options);
  if (aad.length > 0) decipher.setAAD(bytesOf(aad));
  decipher.setAuthTag(openedTag);
  const plaintext = decipher.update(message.subarray(from, to));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw new KeysteadDecryptionError();
  }
  return plaintext;
}

const openedNonce = Buffer.alloc(NONCE_BYTES);
const openedTag = Buffer.alloc(TAG_BYTES);
const nonces = Buffer.alloc(NONCE_BYTES * 256);
let noncesUsed = nonces.length;

/** Random, and drawn many at once: to ask for each costs as much as to encrypt. Valid until the next call. */
function randomNonce(): Buffer {
  if (noncesUsed === nonces.length) {
    randomFillSync(nonces);
    noncesUsed = 0;
  }
  const nonce = nonces.subarray(noncesUsed, noncesUsed + NONCE_BYTES);
  noncesUsed += NONCE_BYTES;
  return nonce;
}

/** Whether bytes begin with others. */
export function beginsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}
