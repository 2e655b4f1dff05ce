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
import { BATCH_ITEMS_MAX } from "../../service/batch-operations.ts";
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
  read(frame: Frame): I;
  result(result: O): Buffer;
}

export class BinaryBatch<I, O> {
  readonly name: string;
  readonly count: number;
  readonly #frames: readonly Frame[];
  readonly #options: BinaryBatchOptions<I, O>;
  readonly #results: Buffer[];

  /** Throws `invalid_body`, `payload_too_large`. */
  constructor(name: string, bytes: Uint8Array, options: BinaryBatchOptions<I, O>) {
    this.name = name;
    this.#frames = framesOf(asBuffer(bytes));
    this.count = this.#frames.length;
    this.#options = options;
    this.#results = new Array<Buffer>(2 * this.count);
  }

  item(index: number): I {
    const frame = this.#frames[index];
    if (frame === undefined) throw new KeysteadError("invalid_body");
    if (frame.data.length > this.#options.dataBytesMax || (frame.aad?.length ?? 0) > AAD_BYTES_MAX) {
      throw new KeysteadError("payload_too_large");
    }
    return this.#options.read(frame);
  }

  done(index: number, result: O | KeysteadError): void {
    const failed = result instanceof KeysteadError;
    const bytes = failed ? Buffer.from(result.code, "latin1") : this.#options.result(result);
    const header = Buffer.allocUnsafe(1 + LENGTH_BYTES);
    header[0] = failed ? REFUSED : DONE;
    header.writeUInt32BE(bytes.length, 1);
    this.#results[2 * index] = header;
    this.#results[2 * index + 1] = bytes;
  }

  /** The whole answer. */
  answer(): Buffer<ArrayBuffer> {
    return Buffer.concat(this.#results);
  }
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
