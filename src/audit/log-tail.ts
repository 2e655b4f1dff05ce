/**
 * Reads an audit log from its end: what the last start left behind.
 * Looks through the log and through its renamed predecessors (`<log>.1`, `<log>-20260101`, …; not compressed ones),
 * newest first. Invariant: nothing here changes what the files say but for a torn last line, which no answer ever waited
 * for: it is cut off.
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

/** Cuts off what stands after the last line end. Returns how many bytes that was. */
export function cutTornLine(path: string): number {
  if (!existsSync(path)) return 0;
  const fd = openSync(path, "r+");
  try {
    const { size } = fstatSync(fd);
    let end = size;
    const chunk = Buffer.alloc(CHUNK_BYTES);
    while (end > 0) {
      const start = Math.max(0, end - CHUNK_BYTES);
      const count = readSync(fd, chunk, 0, end - start, start);
      const newline = chunk.subarray(0, count).lastIndexOf(NEWLINE);
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
  for (const file of [path, ...predecessors(path)]) {
    for (const line of linesBackward(file)) {
      const entry = parseLine(line);
      if (entry !== undefined) yield { entry, file };
    }
  }
}

function predecessors(path: string): string[] {
  const folder = dirname(path);
  const name = basename(path);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((other) => other.startsWith(name) && other !== name && !/\.(gz|xz|zst|bz2)$/.test(other))
    .map((other) => join(folder, other))
    .filter((other) => statSync(other).isFile())
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
}

function* linesBackward(file: string): Generator<string> {
  if (!existsSync(file)) return;
  const fd = openSync(file, "r");
  try {
    let end = fstatSync(fd).size;
    let rest = Buffer.alloc(0);
    while (end > 0) {
      const start = Math.max(0, end - CHUNK_BYTES);
      const chunk = Buffer.alloc(end - start);
      readSync(fd, chunk, 0, chunk.length, start);
      end = start;
      let bytes = Buffer.concat([chunk, rest]);
      for (let newline = bytes.lastIndexOf(NEWLINE); newline !== -1; newline = bytes.lastIndexOf(NEWLINE)) {
        if (newline + 1 < bytes.length) yield bytes.toString("utf8", newline + 1);
        bytes = bytes.subarray(0, newline);
      }
      rest = bytes;
    }
    if (rest.length > 0) yield rest.toString("utf8");
  } finally {
    closeSync(fd);
  }
}
