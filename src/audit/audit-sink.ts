/**
 * Where the audit log's bytes go: a file opened for appending.
 * Writes go straight into the page cache: 10 µs for the lines of a turn, against 150 µs of CPU through the thread pool. When
 * the kernel makes one wait, those of the next seconds take the pool, so that a slow disk does not stop the event loop.
 * Invariant: what a failed write left of its lines is cut off before anything else is written; a failed flush to disk, of
 * the file or of the folder that names it, is reported as FlushFailed and never tried again. Flushing, opening anew and
 * closing run one after the other, and a file is left behind only when the disk has all of it: so a flush of the new
 * file stands for what went into the old one as well.
 */
import { Buffer } from "node:buffer";
import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  open,
  stat,
  write,
  writeSync,
  type Stats,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { openLogFile } from "./log-file.ts";

const fs = { open: promisify(open), close: promisify(close), stat: promisify(stat) };

/** The calls by which a disk fails, so that tests can let one fail. */
export interface Disk {
  writeSync(fd: number, bytes: Buffer, offset: number, length: number): number;
  fstat(fd: number): Promise<Stats>;
  ftruncate(fd: number, size: number): Promise<void>;
  fdatasync(fd: number): Promise<void>;
  /** Of a folder. */
  fsync(fd: number): Promise<void>;
}

export const realDisk: Disk = {
  writeSync,
  fstat: promisify(fstat),
  ftruncate: promisify(ftruncate),
  fdatasync: promisify(fdatasync),
  fsync: promisify(fsync),
};

/** What file systems say that have no flush for folders. */
const UNSUPPORTED = ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

/** A write that took longer than this was made to wait, by the disk or by another process that had the processor. */
const SLOW_WRITE_MS = 5;
/** So many in this time are the disk's doing. */
const SLOW_WRITES = 3;
const SLOW_WINDOW_MS = 1000;
/** For how long writes then take the thread pool. */
const SLOW_PERIOD_MS = 5000;

export interface AuditSink {
  /** Appends all of the text, or throws with nothing of it left behind. Never called beside itself or `reopen`. */
  write(text: string): Promise<void>;
  /** Makes everything written so far durable. Throws FlushFailed. */
  sync(): Promise<void>;
  /** Opens the path anew, after another program has renamed the file. */
  reopen(): Promise<void>;
  /** True where the path no longer leads to the open file. */
  wasMoved(): Promise<boolean>;
  close(): Promise<void>;
}

/** The disk refused to keep what it had taken: what was acknowledged may be gone, so the process must end. */
export class FlushFailed extends Error {
  constructor(cause: unknown) {
    super("the audit log could not be flushed to disk", { cause });
    this.name = "FlushFailed";
  }
}

/** Opens (0600) the log at `path`. */
export async function openFileSink(path: string, disk: Disk = realDisk): Promise<AuditSink> {
  const sink = new FileSink(path, disk);
  await sink.reopen();
  return sink;
}

/** A sink that keeps nothing: dev mode without an audit log. */
export const nullSink: AuditSink = {
  write: async () => Promise.resolve(),
  sync: async () => Promise.resolve(),
  reopen: async () => Promise.resolve(),
  wasMoved: async () => Promise.resolve(false),
  close: async () => Promise.resolve(),
};

class FileSink implements AuditSink {
  readonly #path: string;
  readonly #disk: Disk;
  #fd: number | undefined;
  /** How many bytes of lines that were refused stand at the end of the file. */
  #tornBytes = 0;
  /** When the last slow writes were. */
  #slowWrites: number[] = [];
  #slowUntil = 0;
  /** The last of what runs one after the other; never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Kept, because a second try would succeed without the disk having anything. */
  #flushFailed: FlushFailed | undefined;

  constructor(path: string, disk: Disk) {
    this.#path = path;
    this.#disk = disk;
  }

  async write(text: string): Promise<void> {
    const fd = this.#fd;
    if (fd === undefined) throw new Error("the audit log is not open");
    await this.#repair(fd);
    const bytes = Buffer.from(text, "utf8");
    let done = 0;
    try {
      while (done < bytes.length) done += await this.#writeOnce(fd, bytes, done);
    } catch (error) {
      this.#tornBytes = done;
      await this.#repair(fd).catch(() => undefined);
      throw error;
    }
  }

  sync(): Promise<void> {
    return this.#serially(() => this.#flush());
  }

  reopen(): Promise<void> {
    return this.#serially(() => this.#reopen());
  }

  async wasMoved(): Promise<boolean> {
    const fd = this.#fd;
    if (fd === undefined) return true;
    const here = await this.#disk.fstat(fd);
    try {
      const there = await fs.stat(this.#path);
      // Opened anew meanwhile: what was asked of the old file says nothing about this one.
      if (this.#fd !== fd) return false;
      return there.ino !== here.ino || there.dev !== here.dev;
    } catch {
      return true;
    }
  }

  close(): Promise<void> {
    return this.#serially(async () => {
      const fd = this.#fd;
      if (fd === undefined) return;
      try {
        await this.#flush();
      } finally {
        this.#fd = undefined;
        await fs.close(fd);
      }
    });
  }

  /** A descriptor must not be closed, and perhaps given to another file, while another call still uses it. */
  #serially(work: () => Promise<void>): Promise<void> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  async #flush(): Promise<void> {
    if (this.#flushFailed !== undefined) throw this.#flushFailed;
    if (this.#fd === undefined) return;
    try {
      await this.#disk.fdatasync(this.#fd);
    } catch (cause) {
      this.#flushFailed = new FlushFailed(cause);
      throw this.#flushFailed;
    }
  }

  async #reopen(): Promise<void> {
    const next = await openLogFile(this.#path);
    try {
      // Nobody comes back to the old file, so it must be whole and on the disk before it is left.
      if (this.#fd !== undefined) await this.#repair(this.#fd);
      await this.#flush();
      await this.#flushFolder();
    } catch (error) {
      await fs.close(next);
      throw error;
    }
    const before = this.#fd;
    this.#fd = next;
    // The disk has it all: what closing could still report changes nothing.
    if (before !== undefined) await fs.close(before).catch(() => undefined);
  }

  /** Makes durable that the file is there: a flush of the file alone need not keep its name. */
  async #flushFolder(): Promise<void> {
    const folder = await fs.open(dirname(this.#path), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await this.#disk.fsync(folder);
    } catch (cause) {
      if (cause instanceof Error && UNSUPPORTED.includes(String((cause as NodeJS.ErrnoException).code)))
        return;
      this.#flushFailed = new FlushFailed(cause);
      throw this.#flushFailed;
    } finally {
      await fs.close(folder);
    }
  }

  #writeOnce(fd: number, bytes: Buffer, offset: number): number | Promise<number> {
    const startedAt = performance.now();
    if (startedAt < this.#slowUntil) return writeOnPool(fd, bytes, offset);
    const count = this.#disk.writeSync(fd, bytes, offset, bytes.length - offset);
    const now = performance.now();
    if (now - startedAt > SLOW_WRITE_MS) this.#noteSlowWrite(now);
    return count;
  }

  #noteSlowWrite(now: number): void {
    const recent = this.#slowWrites.filter((at) => at > now - SLOW_WINDOW_MS);
    this.#slowWrites = [...recent, now];
    if (this.#slowWrites.length >= SLOW_WRITES) this.#slowUntil = now + SLOW_PERIOD_MS;
  }

  /** By what stands there now: another program may have cut the file since. */
  async #repair(fd: number): Promise<void> {
    if (this.#tornBytes === 0) return;
    const { size } = await this.#disk.fstat(fd);
    await this.#disk.ftruncate(fd, Math.max(0, size - this.#tornBytes));
    this.#tornBytes = 0;
  }
}

function writeOnPool(fd: number, bytes: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, offset, bytes.length - offset, null, (error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}
