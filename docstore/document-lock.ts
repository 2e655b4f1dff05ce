/**
 * One writer at a time for a document, across all processes that share the data folder: a file that only one can make.
 *
 *     projects/{project}/locks/{sha256 of the place}   holds `host pid random`
 *
 * Readers take no lock. A lock is held for one write. One whose process is gone (as far as this machine can tell), or that is
 * older than `staleMs`, is what a killed process left, and is broken. Whoever was merely slow notices: a holder asks `isMine`
 * directly before it changes anything.
 *
 * Invariant: while `isMine` says so, nobody else holds the lock.
 */
import { link, readFile, readlink, rename, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomName } from "./document-cipher.ts";
import { DocStoreError } from "./doc-store-error.ts";
import { isAbsent, isCode, namesIn, TEMPORARY_PREFIX } from "./durable-file.ts";

/** A write takes milliseconds; a disk that is busy with others', seconds. */
const STALE_MS = 30_000;
/** How long a writer waits for another's lock. */
const WAIT_MS = 60_000;
const POLL_MS = 5;
const BROKEN_PREFIX = ".broken-";
const UNKNOWN_HOST = "unknown";

export interface HeldLock {
  /** Whether the lock is still this holder's. Throws nothing. */
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
  const path = join(folder, name);
  const token = `${await ownHost()} ${process.pid} ${randomName()}`;
  const giveUpAt = performance.now() + times.waitMs;
  while (!(await take(path, token))) {
    if (await breakStale(path, times.staleMs)) continue;
    if (performance.now() >= giveUpAt) throw new DocStoreError("busy");
    await pause(POLL_MS);
  }
  const takenAt = performance.now();
  const isMine = async (): Promise<boolean> =>
    // Half of the time after which others may break it: their clock and this one both count.
    performance.now() - takenAt < times.staleMs / 2 && (await holderOf(path)) === token;
  try {
    return await work({ isMine });
  } finally {
    if ((await holderOf(path)) === token) await unlink(path).catch(() => undefined);
  }
}

/** Waits until every lock that is held now was released: who takes one later sees what is there now. */
export async function awaitHolders(folder: string, times: LockTimes = lockTimes): Promise<void> {
  const giveUpAt = performance.now() + times.waitMs;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const holder = await holderOf(path);
    while (holder !== undefined && (await holderOf(path)) === holder) {
      if (await breakStale(path, times.staleMs)) break;
      if (performance.now() >= giveUpAt) throw new DocStoreError("busy");
      await pause(POLL_MS);
    }
  }
}

/** The file has its token from its first moment on: a process that is killed here leaves no lock that nobody can tell of. */
async function take(path: string, token: string): Promise<boolean> {
  const temporary = join(dirname(path), TEMPORARY_PREFIX + randomName());
  await writeFile(temporary, token, { flag: "wx", mode: 0o600 });
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

/** The token in a lock; undefined where there is none. */
async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Takes away a lock that nobody can hold any more. */
async function breakStale(path: string, staleMs: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs <= staleMs && !(await isLeftByTheDead(path))) return false;
    // Of several that come here at once, one renames it; a fresh lock that is caught so is missed by its holder in isMine.
    const broken = join(dirname(path), BROKEN_PREFIX + randomName());
    await rename(path, broken);
    await unlink(broken);
    return true;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw error;
  }
}

async function isLeftByTheDead(path: string): Promise<boolean> {
  const [host, pid] = ((await holderOf(path)) ?? "").split(" ");
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
