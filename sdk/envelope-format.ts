/**
 * The bytes of locally encrypted messages and streams, format 1. Integers are big-endian.
 *
 *     header   magic "KSE" (3) ‖ kind (1) ‖ length of the wrapped key (2) ‖ wrapped key
 *     message  header (kind 1) ‖ commitment (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
 *     stream   header (kind 2) ‖ salt (32) ‖ commitment (32) ‖ chunk ‖ chunk ‖ …
 *     chunk    ciphertext of 65,536 bytes, the last one of 1 to 65,536 (0 for an empty stream) ‖ tag (16)
 *
 * The wrapped key is the key service's ciphertext of a data key of 32 bytes, with the context as its additional data.
 *
 *     keys of messages     HKDF-SHA-512(data key, salt "", "keystead envelope 1 message" ‖ 0 ‖ SHA-256(context))
 *     keys of one stream   HKDF-SHA-512(data key, salt, "keystead envelope 1 stream" ‖ 0 ‖ SHA-256(context) ‖ SHA-256(aad))
 *     of each              the first 32 bytes are the AES-256-GCM key, the next 32 the commitment
 *
 * AES-GCM alone lets somebody who knows two keys make one ciphertext that opens under both (Dodis, Grubbs, Ristenpart,
 * Woodage: "Fast Message Franking", 2018; Albertini et al.: "How to Abuse and Fix Authenticated Encryption Without Key
 * Commitment", 2022). The commitment rules that out: it is the output of a collision-resistant function of data key and
 * context, and is compared before anything is decrypted.
 *
 * Messages of one data key share a key, so that a message costs no derivation; their nonces are random and the uses of a
 * data key are limited (NIST SP 800-38D, section 8.3). `aad` is GCM's additional data. Streams have a key of their own, so
 * that their nonces can count: chunk number (11) ‖ 1 for the last chunk and 0 for all others (1), which is the STREAM
 * construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
 * Misuse-Resistance", 2015): a chunk that is cut off, moved, doubled or added fails.
 *
 * The wrapped key is authenticated by the key service and bound by the commitment, and is in no other tag: it can be
 * replaced by another wrapping of the same data key without the message being touched.
 */
import { Buffer } from "node:buffer";
import { createHash, hkdfSync } from "node:crypto";
import { KeysteadDecryptionError } from "./envelope-error.ts";

export const KIND_MESSAGE = 1;
export const KIND_STREAM = 2;
export type EnvelopeKind = typeof KIND_MESSAGE | typeof KIND_STREAM;

export const KEY_BYTES = 32;
export const COMMITMENT_BYTES = 32;
export const SALT_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const CHUNK_BYTES = 65_536;
/** Magic, kind and length: what stands before the wrapped key. */
export const PREFIX_BYTES = 6;
/** Far above any ciphertext of 32 bytes. */
export const WRAPPED_BYTES_MAX = 4096;

export interface DerivedKeys {
  readonly key: Buffer;
  readonly commitment: Buffer;
}

/** Magic ‖ kind ‖ length ‖ wrapped key. */
export function headerOf(kind: EnvelopeKind, wrapped: Uint8Array): Buffer {
  if (wrapped.length === 0 || wrapped.length > WRAPPED_BYTES_MAX) {
    throw new RangeError("A wrapped key has 1 to 4096 bytes");
  }
  const header = Buffer.alloc(PREFIX_BYTES + wrapped.length);
  header.write("KSE", "latin1");
  header[3] = kind;
  header.writeUInt16BE(wrapped.length, 4);
  header.set(wrapped, PREFIX_BYTES);
  return header;
}

/**
 * The length of the header that begins with these bytes; undefined where they are too few to say.
 * @throws KeysteadDecryptionError for bytes that begin no header of the kind
 */
export function headerBytesOf(kind: EnvelopeKind, bytes: Buffer): number | undefined {
  if (bytes.length < PREFIX_BYTES) return undefined;
  const isOurs = bytes[0] === 0x4b && bytes[1] === 0x53 && bytes[2] === 0x45 && bytes[3] === kind;
  const wrappedBytes = bytes.readUInt16BE(4);
  if (!isOurs || wrappedBytes === 0 || wrappedBytes > WRAPPED_BYTES_MAX) throw new KeysteadDecryptionError();
  return PREFIX_BYTES + wrappedBytes;
}

/** The keys of all messages of a data key. */
export function messageKeys(dataKey: Uint8Array, context: Uint8Array): DerivedKeys {
  return derive(dataKey, "", [Buffer.from("keystead envelope 1 message\0", "latin1"), digest(context)]);
}

/** The keys of one stream. */
export function streamKeys(
  dataKey: Uint8Array,
  salt: Uint8Array,
  context: Uint8Array,
  aad: Uint8Array,
): DerivedKeys {
  const label = Buffer.from("keystead envelope 1 stream\0", "latin1");
  return derive(dataKey, salt, [label, digest(context), digest(aad)]);
}

function derive(dataKey: Uint8Array, salt: Uint8Array | string, info: readonly Uint8Array[]): DerivedKeys {
  const bytes = hkdfSync("sha512", dataKey, salt, Buffer.concat(info), KEY_BYTES + COMMITMENT_BYTES);
  const derived = Buffer.from(bytes);
  return { key: derived.subarray(0, KEY_BYTES), commitment: derived.subarray(KEY_BYTES) };
}

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
