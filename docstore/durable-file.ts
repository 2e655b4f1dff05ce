/**
 * Files that are there whole or not at all, whatever ends the process or the machine's power.
 * Invariant: what is written is on the disk, under its name, when the promise resolves; files are 0600 and folders 0700
 * whatever the umask. Temporary files begin with `.tmp-` and lie beside what they become.
 */
import { Buffer } from "node:buffer";
import { link, mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DocStoreError } from "./doc-store-error.ts";
import { randomName } from "./document-cipher.ts";

export const TEMPORARY_PREFIX = ".tmp-";
/** No write takes this long: an older temporary file is what a crash left. */
const LEFTOVER_MS = 15 * 60_000;
/** A block of most file systems. */
const PROOF_BYTES = 4096;

/** Puts `bytes` in the place of the file, if `mayReplace` still says so when all is ready. Returns whether it did. */
export async function replaceFile(
  path: string,
  bytes: Uint8Array,
  mayReplace: (temporaryPath: string) => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  const temporary = await writeTemporary(path, bytes);
  try {
    if (!(await mayReplace(temporary))) {
      await unlink(temporary);
      return false;
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/** Makes a file that nobody else has made, if `mayCreate` still says so when all is ready; false where somebody has. */
export async function createFile(
  path: string,
  bytes: Uint8Array,
  mayCreate: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  const temporary = await writeTemporary(path, bytes);
  try {
    if (!(await mayCreate())) return false;
    await link(temporary, path);
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await unlink(temporary).catch(() => undefined);
    // For who lost as well: what it builds upon is on the disk.
    await syncFolder(dirname(path));
  }
}

/** Removes a file; false where there is none. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/**
 * A file's bytes; undefined where there is none.
 * @throws DocStoreError `document_unreadable` for a file that is larger than it can be, before it is read
 */
export async function readFileIfThere(path: string, bytesMax: number): Promise<Buffer | undefined> {
  try {
    const handle = await open(path, "r");
    try {
      if ((await handle.stat()).size > bytesMax) throw new DocStoreError("document_unreadable");
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

export async function isFileThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** The names in a folder, without those of temporary files; none where there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith("."));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** Makes a folder below `root`, and those between and above, each synced into the one above. */
export async function makeFolders(root: string, ...names: readonly string[]): Promise<string> {
  let path = root;
  await makeRoot(path);
  for (const name of names) {
    path = join(path, name);
    await makeFolder(path);
  }
  return path;
}

/** Writes a file in a folder and removes it: whether there is room and leave to write. */
export async function proveWritable(folder: string): Promise<void> {
  await unlink(await writeTemporary(join(folder, "proof"), Buffer.alloc(PROOF_BYTES)));
}

/** Removes what writes, and locks, that did not end left in a folder. */
export async function removeLeftovers(folder: string, nowMs = Date.now()): Promise<void> {
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  for (const name of names) {
    if (!name.startsWith(TEMPORARY_PREFIX)) continue;
    const path = join(folder, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts !== undefined && nowMs - facts.mtimeMs > LEFTOVER_MS)
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === "string" && codes.includes(code);
}

export function isAbsent(error: unknown): boolean {
  return isCode(error, "ENOENT", "ENOTDIR");
}

async function writeTemporary(path: string, bytes: Uint8Array): Promise<string> {
  const temporary = join(dirname(path), TEMPORARY_PREFIX + randomName());
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(bytes);
    await handle.sync();
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  } finally {
    await handle.close();
  }
  return temporary;
}

/** Makes a folder and all above it. */
async function makeRoot(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) {
    // Another process may have made it a moment ago. Where the folder above cannot be opened, none of ours did.
    await syncFolder(dirname(path)).catch((error: unknown) => {
      if (!isCode(error, "EACCES", "EPERM")) throw error;
    });
    return;
  }
  await keepToOwner(path);
  const top = dirname(resolve(first));
  for (let above = dirname(resolve(path)); ; above = dirname(above)) {
    await syncFolder(above);
    if (above === top || above === dirname(above)) return;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
    await keepToOwner(path);
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  }
  // For who came second as well: what it builds upon is on the disk.
  await syncFolder(dirname(path));
}

async function keepToOwner(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.chmod(0o700);
  } finally {
    await handle.close();
  }
}

/** Windows syncs no folders. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
