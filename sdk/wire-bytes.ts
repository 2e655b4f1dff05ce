/**
 * Bytes on the wire: text goes as text, bytes go as base64, and what comes back is held to canonical base64.
 * Invariant: bytes that were damaged on the way are an error, never other bytes.
 */
import { Buffer } from "node:buffer";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadInputError } from "./input-error.ts";

/** The member of a request that carries a text or bytes: `{ name }` or `{ name_b64 }`; none for undefined. */
export function bytesField(name: string, value: string | Uint8Array | undefined): Record<string, string> {
  if (value === undefined) return {};
  // Text goes as it is, so that the service itself refuses what has no UTF-8.
  return typeof value === "string" ? { [name]: value } : { [`${name}_b64`]: toBase64(value) };
}

/** Standard base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** Base64 as it is, or the base64 of bytes. */
export function base64Of(value: string | Uint8Array): string {
  return typeof value === "string" ? value : toBase64(value);
}

/** The bytes of an answer's base64 member. Throws KeysteadConnectionError for what is no base64. */
export function fromBase64(text: unknown): Uint8Array {
  const bytes = typeof text === "string" ? Buffer.from(text, "base64") : undefined;
  if (bytes?.toString("base64") !== text || bytes === undefined) {
    throw new KeysteadConnectionError("unexpected_answer", "The server's answer holds damaged base64");
  }
  return bytes;
}

/** Bytes as they are, or the UTF-8 of a text. Throws KeysteadInputError for a text that has none. */
export function bytesOf(value: string | Uint8Array): Uint8Array {
  if (typeof value !== "string") return value;
  if (!value.isWellFormed()) {
    throw new KeysteadInputError("invalid_encoding", "A text holds half a character, which has no UTF-8");
  }
  return Buffer.from(value, "utf8");
}

/** The same bytes as a Buffer. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
