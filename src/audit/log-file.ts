/**
 * The file at the audit log's path: what may stand there, and how it is opened.
 * Invariant: only a regular file is opened, by its own name and without waiting (a pipe would hold the process until
 * somebody reads it; a link would make rotation rename the link); a file that is no audit log is left as it was.
 */
import { Buffer } from "node:buffer";
import { closeSync, constants, fchmod, fstat, lstatSync, open, openSync, readSync, close } from "node:fs";
import { promisify } from "node:util";
import { StartRefused } from "../start-refused.ts";

const fs = {
  open: promisify(open),
  fstat: promisify(fstat),
  fchmod: promisify(fchmod),
  close: promisify(close),
};

const APPEND_FLAGS =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** What nobody but the owner and, reading, the owner's group may do with the log. */
const MODE_TAKEN_AWAY = 0o027;
/** How every entry's line begins. */
const LINE_START = Buffer.from('{"action":');

/** Opens (and where needed makes, 0600) the log for appending. Other users lose what an older file's mode gave them. */
export async function openLogFile(path: string): Promise<number> {
  const fd = await fs.open(path, APPEND_FLAGS, 0o600);
  try {
    const stats = await fs.fstat(fd);
    if (!stats.isFile()) throw new Error("the audit log's path does not lead to a file");
    // Somebody else's file keeps its mode.
    if ((stats.mode & MODE_TAKEN_AWAY) !== 0)
      await fs.fchmod(fd, stats.mode & 0o777 & ~MODE_TAKEN_AWAY).catch(() => undefined);
    return fd;
  } catch (error) {
    await fs.close(fd);
    throw error;
  }
}

/** Throws StartRefused where something else than an audit log, or nothing, stands at the path. */
export function refuseUnfitLog(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const refuse = (why: string): never => {
    throw new StartRefused(`KEYSTEAD_AUDIT_LOG cannot be opened for writing at ${path}: ${why}`);
  };
  if (stats.isDirectory()) refuse("it is a folder");
  if (stats.isSymbolicLink()) refuse("it is a symbolic link; name the file that it leads to");
  if (!stats.isFile()) refuse("it is a pipe or a device, not a file");
  if (!beginsLikeLog(path)) refuse("it is another program's file; nothing was changed");
}

/** A file that a failing machine left may begin with zeros instead of its lines. */
function beginsLikeLog(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const start = Buffer.alloc(LINE_START.length);
    const count = readSync(fd, start, 0, start.length, 0);
    return start[0] === 0 || start.subarray(0, count).equals(LINE_START.subarray(0, count));
  } finally {
    closeSync(fd);
  }
}
