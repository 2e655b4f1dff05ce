/**
 * Reads an audit log from its end: what the last start left behind.
 * Looks through the log and through its renamed predecessors (`<log>.1`, `<log>-20260101`, …; not compressed ones),
 * newest first, in pieces: neither the size of a file nor the length of a line decides how much memory that takes.
 * Invariant: nothing here changes what the files say but for a torn last line, which no answer ever waited for: it is
 * cut off.
 */
import { Buffer } from "node:buffer";
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseLine, type AuditEntry } from "./entry.ts";

const CHUNK_BYTES = 1 << 20;
const NEWLINE = 0x0a;
/** Far beyond any entry: names and counts are short. */
const LINE_BYTES_MAX = 1 << 20;

/** Cuts off what stands after the last line end. Returns how many bytes that was. */
export function cutTornLine(path: string): number {
  if (!existsSync(path)) return 0;
  const fd = openSync(path, "r+");
  try {
    const { size } = fstatSync(fd);
    let end = size;
    while (end > 0) {
      const start = Math.max(0, end - CHUNK_BYTES);
      const newline = readChunk(fd, start, end).lastIndexOf(NEWLINE);
      if (newline !== -1) {
        end = start + newline + 1;
        break;
      }
      end = start;
    }
    if (end < size) ftruncateSync(fd, end);
    return size - end;
  } finally {
    closeSync(fd);
  }
}

/** Makes durable what stands in a file that another process wrote. */
export function flushFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export interface FoundEntry {
  readonly entry: AuditEntry & { readonly sequence: number };
  readonly file: string;
}

/** The entries of a log and its predecessors, newest first. */
export function* entriesBackward(path: string): Generator<FoundEntry> {
  yield* entriesOf(path);
  // Looked for only now: most starts find all they want in the log itself.
  for (const file of predecessors(path)) yield* entriesOf(file);
}

function* entriesOf(file: string): Generator<FoundEntry> {
  for (const line of linesBackward(file)) {
    const entry = parseLine(line);
    if (entry !== undefined) yield { entry, file };
  }
}

function lastEntry(file: string): FoundEntry["entry"] | undefined {
  // A loop that is left closes the file.
  for (const { entry } of entriesOf(file)) return entry;
  return undefined;
}

/**
 * The renamed files, newest first: by the numbers of their last entries, since the times of files change when they are
 * copied, and with the clock. Their times decide between entries of different names of the node.
 */
function predecessors(path: string): string[] {
  const folder = dirname(path);
  const name = basename(path);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((other) => other.startsWith(name) && other !== name && !/\.(gz|xz|zst|bz2)$/.test(other))
    .map((other) => join(folder, other))
    .flatMap((file) => {
      // A link may lead nowhere, and what rotates may remove a file meanwhile.
      const stats = statSync(file, { throwIfNoEntry: false });
      if (stats?.isFile() !== true) return [];
      return [{ file, mtimeMs: stats.mtimeMs, last: lastEntry(file) }];
    })
    .sort((a, b) =>
      a.last !== undefined && a.last.node === b.last?.node
        ? b.last.sequence - a.last.sequence
        : b.mtimeMs - a.mtimeMs,
    )
    .map(({ file }) => file);
}

/** The lines of a file from its last one, without those that are too long to be an entry's. */
function* linesBackward(file: string): Generator<string> {
  if (!existsSync(file)) return;
  const fd = openSync(file, "r");
  try {
    let end = fstatSync(fd).size;
    // What is known of the line that begins before `end`; undefined where it is too long already.
    let rest: Buffer | undefined = Buffer.alloc(0);
    while (end > 0) {
      const start = Math.max(0, end - CHUNK_BYTES);
      const chunk = readChunk(fd, start, end);
      end = start;
      let until = chunk.length;
      for (
        let newline = chunk.lastIndexOf(NEWLINE);
        newline !== -1;
        newline = newline === 0 ? -1 : chunk.lastIndexOf(NEWLINE, newline - 1)
      ) {
        const line = joined(chunk.subarray(newline + 1, until), rest);
        if (line !== undefined && line.length > 0) yield line.toString("utf8");
        rest = Buffer.alloc(0);
        until = newline;
      }
      rest = joined(chunk.subarray(0, until), rest);
    }
    if (rest !== undefined && rest.length > 0) yield rest.toString("utf8");
  } finally {
    closeSync(fd);
  }
}

function joined(bytes: Buffer, rest: Buffer | undefined): Buffer | undefined {
  if (rest === undefined || bytes.length + rest.length > LINE_BYTES_MAX) return undefined;
  return rest.length === 0 ? bytes : Buffer.concat([bytes, rest]);
}

/** The bytes from `start` to `end`; fewer where the file ends before. */
function readChunk(fd: number, start: number, end: number): Buffer {
  const chunk = Buffer.alloc(end - start);
  let done = 0;
  while (done < chunk.length) {
    const count = readSync(fd, chunk, done, chunk.length - done, start + done);
    if (count === 0) break;
    done += count;
  }
  return chunk.subarray(0, done);
}
