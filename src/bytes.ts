/**
 * Strict text encodings, constant-time equality and wiping of byte strings.
 * Invariant: a decoder accepts exactly one text for each byte string (RFC 4648 §3.5, §4, §5, §8: canonical
 * padding bits, no white space, no foreign characters) and answers `undefined` to everything else.
 */
import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";

declare const secret: unique symbol;
declare const sealed: unique symbol;

/** Key material or a secret value in the clear: never logged, never put into an error. */
export type SecretBytes = Buffer & { readonly [secret]: true };
/** Bytes that the barrier or a wrapping key has sealed: safe to store. */
export type SealedBytes = Uint8Array & { readonly [sealed]: true };

/** Marks bytes as secret; the caller vouches that they are handled as such from here on. */
export function secretBytes(bytes: Uint8Array): SecretBytes {
  return asBuffer(bytes) as SecretBytes;
}

/** Marks bytes as sealed; only what sealed them, or what read them back from storage, may say so. */
export function sealedBytes(bytes: Uint8Array): SealedBytes {
  return bytes as SealedBytes;
}

/** A Buffer over the same memory. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Standard base64 with padding (RFC 4648 §4), or undefined. */
export function decodeBase64(text: string): Buffer | undefined {
  const { length } = text;
  // White space is all that the strict decoder passes over: then the bytes do not fill what the length promises.
  if (length % 4 !== 0) return undefined;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  // Into a buffer that is there already: an array of the decoder's own costs three times as much to make one of.
  const bytes = Buffer.allocUnsafe((length / 4) * 3 - padding);
  try {
    return (bytes as unknown as Base64Target).setFromBase64(text, strictBase64).written === bytes.length
      ? bytes
      : undefined;
  } catch {
    return undefined;
  }
}

/** As ECMAScript has it; one platform's own types have an older form. */
interface Base64Target {
  setFromBase64(
    text: string,
    options: typeof strictBase64,
  ): { readonly read: number; readonly written: number };
}

const strictBase64 = { lastChunkHandling: "strict" } as const;

/** URL-safe base64 without padding (RFC 4648 §5), or undefined. */
export function decodeBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}

/** Hexadecimal of either letter case (RFC 4648 §8), or undefined. */
export function decodeHex(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "hex");
  return bytes.toString("hex") === text.toLowerCase() ? bytes : undefined;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of well-formed UTF-8 (a byte order mark is kept as it is), or undefined. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Equality whose time depends on the lengths alone. */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Overwrites bytes that are no longer needed. Copies that the runtime made are out of reach. */
export function wipe(...secrets: Uint8Array[]): void {
  for (const bytes of secrets) bytes.fill(0);
}

/**
 * Joins fields so that no two different lists give the same bytes: each field is preceded by its length in
 * bytes as 4 bytes big-endian. Used for additional authenticated data and for keyed hashes.
 */
export function lengthPrefixed(...fields: (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const field of fields) {
    const bytes = typeof field === "string" ? Buffer.from(field, "utf8") : field;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}
