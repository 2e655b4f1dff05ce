/**
 * The binary form of a batch.
 * Request layout, item after item: context length (4 bytes big-endian) ‖ context ‖ data length (4) ‖ data. No context has
 * length 0.
 * Answer layout, in the order of the items: status (1 byte: 0 done, 1 refused) ‖ length (4 bytes big-endian) ‖ the result,
 * or the error's code in ASCII.
 * Invariant: an answer that does not hold exactly one whole frame an item is an error.
 */
import { Buffer } from "node:buffer";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadItemError } from "./item-error.ts";

const LENGTH_BYTES = 4;
const DONE = 0;
const REFUSED = 1;

export interface BulkItem {
  readonly aad?: string | Uint8Array | undefined;
  readonly data: string | Uint8Array;
}

/** The request's body. */
export function framesOf(items: readonly BulkItem[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (const { aad = "", data } of items) {
    for (const value of [aad, data]) {
      const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
      const length = Buffer.allocUnsafe(LENGTH_BYTES);
      length.writeUInt32BE(bytes.length);
      parts.push(length, bytes);
    }
  }
  return Buffer.concat(parts);
}

/** Each item's result, or why it failed. Throws KeysteadConnectionError for what is no such answer. */
export function resultsOf(answer: Uint8Array, count: number): (Uint8Array | KeysteadItemError)[] {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  const results: (Uint8Array | KeysteadItemError)[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at + 1 + LENGTH_BYTES;
    if (start > bytes.length) throw misshapen();
    const status = bytes[at];
    at = start + bytes.readUInt32BE(at + 1);
    if (at > bytes.length) throw misshapen();
    const value = bytes.subarray(start, at);
    if (status === DONE) results.push(value);
    else if (status === REFUSED) results.push(new KeysteadItemError(value.toString("latin1")));
    else throw misshapen();
  }
  if (results.length !== count) throw misshapen();
  return results;
}

function misshapen(): KeysteadConnectionError {
  return new KeysteadConnectionError("unexpected_answer", "The server's answer does not fit the batch");
}
