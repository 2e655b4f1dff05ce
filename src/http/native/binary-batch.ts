/**
 * The binary form of a batch, for bulk encryption and decryption without base64 and JSON.
 * Request layout, item after item: context length (4 bytes big-endian) ‖ context ‖ data length (4) ‖ data. No context has
 * length 0.
 * Answer layout, in the order of the items: status (1 byte: 0 done, 1 refused) ‖ length (4 bytes big-endian) ‖ the result,
 * or the error's code in ASCII.
 * Invariant: the frames are held to the body's length and to the count before anything is done; no byte may be left over.
 */
import { Buffer } from "node:buffer";
import { asBuffer } from "../../bytes.ts";
import { KeysteadError } from "../../errors.ts";
import { BATCH_ITEMS_MAX, type BatchInput } from "../../service/batch-operations.ts";
import { AAD_BYTES_MAX } from "./fields.ts";

const LENGTH_BYTES = 4;
const DONE = 0;
const REFUSED = 1;

export interface Frame {
  readonly aad: Buffer | undefined;
  readonly data: Buffer;
}

export interface BinaryBatchOptions<I, O> {
  readonly dataBytesMax: number;
  readonly read: (frame: Frame) => I;
  /** The bytes of a result. */
  readonly result: (result: O) => Buffer;
}

/** A batch as it came in frames, with room for its results. */
export interface BinaryBatch<I, O> extends BatchInput<I, O> {
  /** The whole answer, when all is done. */
  answer(): Buffer<ArrayBuffer>;
}

/** Makes a batch of a body in frames. Throws `invalid_body`, `payload_too_large`. */
export function binaryBatch<I, O>(
  name: string,
  bytes: Uint8Array,
  { dataBytesMax, read, result: bytesOf }: BinaryBatchOptions<I, O>,
): BinaryBatch<I, O> {
  const body = asBuffer(bytes);
  const starts = startsOf(body);
  const results = new Array<Buffer | KeysteadError>(starts.length);
  return {
    name,
    count: starts.length,
    item(index) {
      const start = starts[index];
      if (start === undefined) throw misshapen();
      const aadEnd = start + LENGTH_BYTES + body.readUInt32BE(start);
      const dataStart = aadEnd + LENGTH_BYTES;
      const dataEnd = dataStart + body.readUInt32BE(aadEnd);
      const aadBytes = aadEnd - start - LENGTH_BYTES;
      if (dataEnd - dataStart > dataBytesMax || aadBytes > AAD_BYTES_MAX)
        throw new KeysteadError("payload_too_large");
      const aad = aadBytes === 0 ? undefined : body.subarray(start + LENGTH_BYTES, aadEnd);
      return read({ aad, data: body.subarray(dataStart, dataEnd) });
    },
    done(index, result) {
      results[index] = result instanceof KeysteadError ? result : bytesOf(result);
    },
    answer: () => answerOf(results),
  };
}

function answerOf(results: readonly (Buffer | KeysteadError)[]): Buffer<ArrayBuffer> {
  let total = results.length * (1 + LENGTH_BYTES);
  for (const result of results) total += result instanceof KeysteadError ? result.code.length : result.length;
  const out = Buffer.allocUnsafeSlow(total);
  let at = 0;
  for (const result of results) {
    const isRefused = result instanceof KeysteadError;
    out[at] = isRefused ? REFUSED : DONE;
    at = out.writeUInt32BE(isRefused ? result.code.length : result.length, at + 1);
    if (isRefused) {
      at += out.write(result.code, at, "latin1");
    } else {
      out.set(result, at);
      at += result.length;
    }
  }
  return out;
}

/** Where each item begins. */
function startsOf(bytes: Buffer): number[] {
  const starts: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (starts.length === BATCH_ITEMS_MAX) {
      throw new KeysteadError("payload_too_large", { detail: `at most ${BATCH_ITEMS_MAX} items` });
    }
    starts.push(at);
    at = fieldEnd(bytes, fieldEnd(bytes, at));
  }
  if (starts.length === 0) throw misshapen();
  return starts;
}

/** Where a field ends that begins at `at` with its length. */
function fieldEnd(bytes: Buffer, at: number): number {
  if (at + LENGTH_BYTES > bytes.length) throw misshapen();
  const end = at + LENGTH_BYTES + bytes.readUInt32BE(at);
  if (end > bytes.length) throw misshapen();
  return end;
}

function misshapen(): KeysteadError {
  return new KeysteadError("invalid_body", { detail: "the frames do not fit the body" });
}
