/**
 * Many values in one command: a file of lines in, one line a value out, in the same order.
 * Invariant: line n of the output belongs to line n of the input, whatever failed; what failed is an empty line and a remark
 * on standard error, or with `--json` an object with its error.
 */
import { Buffer } from "node:buffer";
import { BATCH_ITEMS_MAX, type ItemResult } from "../sdk/batch-calls.ts";
import { KeysteadItemError } from "../sdk/item-error.ts";
import { EXIT_INPUT, EXIT_NOT_VALID } from "./exit-code.ts";
import { readInput } from "./input.ts";
import type { Output } from "./output.ts";
import { UsageError } from "./usage-error.ts";

const BATCH_BYTES_MAX = 256 * 1024 * 1024;
/** Of the lines of one request: as base64, with what stands around them, they fit into 8 MiB. */
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
const LINE_BYTES_EXTRA = 128;
const LINE_FEED = 0x0a;

export interface LineBatch<T> {
  /** The file; `-` is standard input. */
  readonly path: string;
  /** What stands on a line: "the plaintexts". */
  readonly what: string;
  /** Bytes that each item costs beside its line: additional data, which is sent with each. */
  readonly itemBytes: number;
  readonly run: (lines: readonly Buffer[]) => Promise<readonly ItemResult<T>[]>;
  /** A result as one line, without a line end; an error where it is not one line. */
  readonly line: (result: T) => Uint8Array | KeysteadItemError;
  readonly json: (result: T) => unknown;
}

/** For what cannot stand on a line. */
export function notOneLine(): KeysteadItemError {
  return new KeysteadItemError("not_one_line", "The plaintext has more than one line; --json gives it");
}

/** Refuses what a batch has no place for. */
export function assertBatchAlone(others: readonly unknown[]): void {
  if (others.some((value) => value !== undefined)) {
    throw new UsageError(
      "--batch takes its values from the file and prints the results; leave the others out",
    );
  }
}

/** Runs a batch, request by request, and sets the exit code where an item failed. */
export async function runLineBatch<T>(output: Output, batch: LineBatch<T>): Promise<void> {
  const { path, what, itemBytes, run } = batch;
  const lines = linesOf(await readInput({ file: path, what, bytesMax: BATCH_BYTES_MAX }));
  let number = 0;
  let failed = 0;
  let undecryptable = 0;
  for (const part of partsOf(lines, itemBytes)) {
    const results = await run(part);
    for (const result of results) {
      number++;
      const shown = showResult(output, batch, result);
      await output.bytes(shown.bytes, undefined, shown.json);
      if (!(shown.error instanceof KeysteadItemError)) continue;
      failed++;
      if (shown.error.code === "decryption_failed") undecryptable++;
      output.remark(`line ${number}: ${shown.error.message} (${shown.error.code})`);
    }
  }
  if (failed > 0) process.exitCode = undecryptable === failed ? EXIT_NOT_VALID : EXIT_INPUT;
}

interface Shown {
  readonly bytes: Uint8Array;
  readonly json: unknown;
  readonly error: KeysteadItemError | undefined;
}

function showResult<T>(output: Output, { line, json }: LineBatch<T>, result: ItemResult<T>): Shown {
  if (result instanceof KeysteadItemError) return shownError(result);
  if (output.options.json) return { bytes: Buffer.alloc(0), json: json(result), error: undefined };
  const text = line(result);
  if (text instanceof KeysteadItemError) return shownError(text);
  return { bytes: Buffer.concat([text, Buffer.of(LINE_FEED)]), json: undefined, error: undefined };
}

function shownError(error: KeysteadItemError): Shown {
  const json = { error: { code: error.code, title: error.message } };
  return { bytes: Buffer.of(LINE_FEED), json, error };
}

/** The lines; a line end at the end of the file begins no further one. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(LINE_FEED, start);
    lines.push(bytes.subarray(start, end === -1 ? undefined : end));
    start = end === -1 ? bytes.length : end + 1;
  }
  return lines;
}

function* partsOf(lines: readonly Buffer[], itemBytes: number): Generator<Buffer[]> {
  let part: Buffer[] = [];
  let total = 0;
  for (const line of lines) {
    const cost = line.length + itemBytes + LINE_BYTES_EXTRA;
    if (part.length > 0 && (part.length === BATCH_ITEMS_MAX || total + cost > REQUEST_BYTES_MAX)) {
      yield part;
      part = [];
      total = 0;
    }
    part.push(line);
    total += cost;
  }
  if (part.length > 0) yield part;
}
