/**
 * Where a command's bytes come from: the command line, a file, or standard input.
 * Invariant: bytes arrive exactly as they are, and no more of them than a request can hold; no secret has to be typed into
 * a command line.
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { UsageError } from "./usage-error.ts";

/** More than any request of the service takes. */
const INPUT_BYTES_MAX = 4 * 1024 * 1024;

/** A file or standard input could not be read, or does not hold what it should: exit code 5. */
export class InputFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InputFailed";
  }
}

export interface InputSource {
  /** What stands on the command line; `-` is standard input. */
  readonly value?: string | undefined;
  /** A file's path; `-` is standard input. */
  readonly file?: string | undefined;
  /** What is read, for the people at a terminal: "the plaintext". */
  readonly what: string;
  /** More than this is refused; what one request can hold unless set. */
  readonly bytesMax?: number;
}

/** The bytes of a value, of a file, or (with neither, or with `-`) of standard input. */
export async function readInput({ value, file, what, bytesMax }: InputSource): Promise<Buffer> {
  if (value !== undefined && file !== undefined) {
    throw new UsageError(`${what} comes from the command line or from a file, not from both`);
  }
  if (value !== undefined && value !== "-") return Buffer.from(value, "utf8");
  if (file !== undefined && file !== "-") return readInputFile(file, what, bytesMax);
  return readStandardInput(what, bytesMax);
}

/** As `readInput`, for text in which white space at the ends means nothing: base64, hexadecimal, PEM. */
export async function readTextInput(source: InputSource): Promise<string> {
  return (await readInput(source)).toString("utf8").trim();
}

/** A whole file. */
export function readInputFile(path: string, what: string, bytesMax = INPUT_BYTES_MAX): Buffer {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const parts: Buffer[] = [];
    let total = 0;
    for (;;) {
      const part = Buffer.alloc(64 * 1024);
      const length = readSync(descriptor, part);
      if (length === 0) return Buffer.concat(parts);
      total += length;
      if (total > bytesMax) throw tooLarge(what);
      parts.push(part.subarray(0, length));
    }
  } catch (error) {
    if (error instanceof InputFailed) throw error;
    throw new InputFailed(`the file for ${what} cannot be read`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

async function readStandardInput(what: string, bytesMax = INPUT_BYTES_MAX): Promise<Buffer> {
  if (process.stdin.isTTY) {
    process.stderr.write(
      `keystead: reading ${what} from the terminal, where it can be seen; end with Ctrl-D\n`,
    );
  }
  const parts: Buffer[] = [];
  let total = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    total += part.length;
    if (total > bytesMax) throw tooLarge(what);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function tooLarge(what: string): InputFailed {
  return new InputFailed(`${what} is larger than the service takes`);
}
