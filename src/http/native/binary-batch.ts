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
  const frames = framesOf(asBuffer(bytes));
  const results = new Array<Buffer | KeysteadError>(frames.length);
  return {
    name,
    count: frames.length,
    item(index) {
      const frame = frames[index];
      if (frame === undefined) throw misshapen();
      if (frame.data.length > dataBytesMax || (frame.aad?.length ?? 0) > AAD_BYTES_MAX) {
        throw new KeysteadError("payload_too_large");
      }
      return read(frame);
    },
    done(index, result) {
      results[index] = result instanceof KeysteadError ? result : bytesOf(result);
    },
    answer: () => answerOf(results),
  };
}

function answerOf(results: readonly (Buffer | KeysteadError)[]): Buffer<ArrayBuffer> {
  const sizes = results.map((result) =>
    result instanceof KeysteadError ? result.code.length : result.length,
  );
  const total = sizes.reduce((sum, size) => sum + size, results.length * (1 + LENGTH_BYTES));
  const out = Buffer.allocUnsafeSlow(total);
  let at = 0;
  for (const [i, result] of results.entries()) {
    const size = sizes[i] ?? 0;
    out[at] = result instanceof KeysteadError ? REFUSED : DONE;
    at = out.writeUInt32BE(size, at + 1);
    if (result instanceof KeysteadError) out.write(result.code, at, "latin1");
    else out.set(result, at);
    at += size;
  }
  return out;
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let at = 0;
  const field = (): Buffer => {
    if (at + LENGTH_BYTES > bytes.length) throw misshapen();
    const end = at + LENGTH_BYTES + bytes.readUInt32BE(at);
    if (end > bytes.length) throw misshapen();
    const value = bytes.subarray(at + LENGTH_BYTES, end);
    at = end;
    return value;
  };
  while (at < bytes.length) {
    if (frames.length === BATCH_ITEMS_MAX) {
      throw new KeysteadError("payload_too_large", { detail: `at most ${BATCH_ITEMS_MAX} items` });
    }
    const aad = field();
    frames.push({ aad: aad.length === 0 ? undefined : aad, data: field() });
  }
  if (frames.length === 0) throw misshapen();
  return frames;
}

function misshapen(): KeysteadError {
  return new KeysteadError("invalid_body", { detail: "the frames do not fit the body" });
}
