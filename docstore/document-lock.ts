/**
 * One writer at a time for a document, across all processes that share the data folder: a folder that only one can fill.
 *
 *     projects/{project}/locks/{sha256 of the place}.lock/{random}   holds `host pid`
 *
 * Readers take no lock. A lock is held for one write. One whose process is gone (as far as this machine can tell), or that is
 * older than `staleMs`, is what a killed process left, and is broken. Whoever was merely slow notices: a holder asks `isMine`
 * directly before it changes anything.
 *
 * Invariant: a lock is taken away by its own random name: whoever judged one to be left takes that one away or none, however
 * late. While `isMine` says so, nobody else holds the lock.
 */
import { mkdir, readFile, readlink, rename, rm, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomName } from "./document-cipher.ts";
import { DocStoreError } from "./doc-store-error.ts";
import { isAbsent, isCode, isFileThere, namesIn, TEMPORARY_PREFIX } from "./durable-file.ts";

/** A write takes milliseconds; a disk that is busy with others', seconds. */
const STALE_MS = 30_000;
/** How long a writer waits for another's lock. */
const WAIT_MS = 60_000;
const POLL_MS = 5;
const LOCK_SUFFIX = ".lock";
const UNKNOWN_HOST = "unknown";

export interface HeldLock {
  /** Whether the lock is still this holder's. */
  isMine(): Promise<boolean>;
}

/** What a lock is made with; the defaults are for the real world. */
export interface LockTimes {
  readonly staleMs: number;
  readonly waitMs: number;
}

const lockTimes: LockTimes = { staleMs: STALE_MS, waitMs: WAIT_MS };

/**
 * Does `work` under the lock of this name.
 * @throws DocStoreError `busy` where another process keeps it
 */
export async function withLock<T>(
  folder: string,
  name: string,
  work: (lock: HeldLock) => Promise<T>,
  times: LockTimes = lockTimes,
): Promise<T> {
  const path = lockPath(folder, name);
  const token = randomName();
  const giveUpAt = performance.now() + times.waitMs;
  for (let isFree = true; !isFree || !(await take(path, token));) {
    const holder = await holderOf(path);
    isFree = holder === undefined || (await breakStale(path, holder, times.staleMs));
    if (performance.now() >= giveUpAt) throw new DocStoreError("busy");
    if (!isFree) await pause(POLL_MS);
  }
  const takenAt = performance.now();
  const isMine = async (): Promise<boolean> =>
    // Half of the time after which others may break it: their clock and this one both count.
    performance.now() - takenAt < times.staleMs / 2 && (await isFileThere(join(path, token)));
  try {
    return await work({ isMine });
  } finally {
    // What is done is done: a lock that cannot be taken away is broken by whoever comes next.
    await breakLock(path, token).catch(() => undefined);
  }
}

/** Waits until every lock that is held now was released: who takes one later sees what is there now. */
export async function awaitHolders(folder: string, times: LockTimes = lockTimes): Promise<void> {
  const giveUpAt = performance.now() + times.waitMs;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const holder = await holderOf(path);
    while (holder !== undefined && (await holderOf(path)) === holder) {
      if (await breakStale(path, holder, times.staleMs)) break;
      if (performance.now() >= giveUpAt) throw new DocStoreError("busy");
      await pause(POLL_MS);
    }
  }
}

/** Where the lock of a name is. */
export function lockPath(folder: string, name: string): string {
  return join(folder, name + LOCK_SUFFIX);
}

/** Takes away the lock of this token; another's that lies there stays. */
export async function breakLock(path: string, token: string): Promise<void> {
  try {
    await unlink(join(path, token));
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  // Refused where somebody has taken it meanwhile; an empty one is free.
  await rmdir(path).catch(() => undefined);
}

/**
 * The folder has its token from its first moment on: a process that is killed here leaves no lock that nobody can tell of. No
 * folder takes the place of one that holds something.
 */
async function take(path: string, token: string): Promise<boolean> {
  const temporary = join(dirname(path), TEMPORARY_PREFIX + randomName());
  await mkdir(temporary, { mode: 0o700 });
  try {
    await writeFile(join(temporary, token), `${await ownHost()} ${process.pid}`, { flag: "wx", mode: 0o600 });
    await rename(temporary, path);
    return true;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Windows says EPERM, of an empty folder too: breakLock leaves none.
    if (isCode(error, "ENOTEMPTY", "EEXIST") || (process.platform === "win32" && isCode(error, "EPERM")))
      return false;
    throw error;
  }
}

/** The token of a lock; undefined where nobody holds it. */
async function holderOf(path: string): Promise<string | undefined> {
  return (await namesIn(path))[0];
}

/** Takes away a lock that nobody can hold any more; false where somebody may. */
async function breakStale(path: string, token: string, staleMs: number): Promise<boolean> {
  const file = join(path, token);
  try {
    const { mtimeMs } = await stat(file);
    if (Date.now() - mtimeMs <= staleMs && !(await isLeftByTheDead(file))) return false;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw error;
  }
  await breakLock(path, token);
  return true;
}

async function isLeftByTheDead(file: string): Promise<boolean> {
  const [host, pid] = (await readFile(file, "utf8")).split(" ");
  if (host === undefined || host === UNKNOWN_HOST || host !== (await ownHost())) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return isCode(error, "ESRCH");
  }
}

let host: Promise<string> | undefined;

/** What tells whether a process id means the same process here: this boot and this PID namespace, where the system says. */
function ownHost(): Promise<string> {
  host ??= Promise.all([
    readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    readlink("/proc/self/ns/pid"),
  ]).then(
    ([boot, namespace]) => `${boot.trim()}/${namespace}`,
    () => UNKNOWN_HOST,
  );
  return host;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
