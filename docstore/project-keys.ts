/**
 * A project's keys: which versions there are, which one writes, and the few that are in memory.
 *
 *     keys/{version}.json    {"form":"wrapped","wrapped_dek":"…"} or {"form":"exported"}; made once, never changed
 *     keys/{version}.writes  how many writes are reserved under the version, in blocks
 *
 * The highest version writes. A version's note goes when no document needs it. Random nonces of 96 bits allow 2³² writes under
 * one key: a process reserves them in blocks before it writes, and what a crash leaves of a block is not used.
 *
 * Invariant: a project has one key of a version, whoever makes it first, in whichever process: it is used from its note's
 * being on the disk on. A note says nothing that is trusted: the service opens a DEK for its own project and version only,
 * and a note of the other form is refused.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { DekCache, type DekCacheOptions } from "../sdk/dek-cache.ts";
import type { DekForm, DekSource, NewDek } from "./dek-source.ts";
import type { DocumentFiles } from "./document-files.ts";
import { withLock } from "./document-lock.ts";
import { DocStoreError } from "./doc-store-error.ts";
import { createFile, namesIn, readFileIfThere, removeFile, replaceFile } from "./durable-file.ts";

const NOTE_BYTES_MAX = 64 * 1024;

/** How many writes a DEK serves; for tests also smaller. */
export interface WriteLimits {
  /** The bound for random nonces (NIST SP 800-38D §8.3). */
  readonly writesMax: number;
  readonly blockSize: number;
}

export const writeLimits: WriteLimits = { writesMax: 2 ** 32, blockSize: 2 ** 16 };

interface DekNote {
  readonly form: DekForm;
  readonly wrapped_dek?: string;
}

export class ProjectKeys {
  readonly #files: DocumentFiles;
  readonly #source: DekSource;
  readonly #cache: DekCache;
  readonly #limits: WriteLimits;
  /** What this process makes or reserves now, by project. */
  readonly #underWay = new Map<string, Promise<unknown>>();
  /** Writes that are reserved and not used, by project and version. */
  readonly #reserved = new Map<string, number>();

  constructor(files: DocumentFiles, source: DekSource, cache: DekCacheOptions, limits: WriteLimits) {
    this.#files = files;
    this.#source = source;
    this.#cache = new DekCache(cache);
    this.#limits = limits;
  }

  /** The versions that documents may be under, the newest first. */
  async versions(project: string): Promise<number[]> {
    return (await namesIn(this.#folder(project)))
      .map((name) => Number(/^([1-9][0-9]{0,8})\.json$/.exec(name)?.[1]))
      .filter((version) => !Number.isNaN(version))
      .sort((one, other) => other - one);
  }

  /** Sees to it that the project has a key, and that it can be had. */
  async prepare(project: string): Promise<void> {
    const [newest] = await this.versions(project);
    if (newest === undefined) await this.#once(project, () => this.#makeFirst(project));
    else await this.use(project, newest, 0, () => undefined);
  }

  /** Does `work` with a DEK. It must not keep the key. */
  use<T>(project: string, version: number, bytes: number, work: (key: Uint8Array) => T): Promise<T> {
    const fetchDek = async (): Promise<{ readonly key: Uint8Array }> => {
      const { wrapped_dek: wrappedDek } = await this.#note(project, version);
      return { key: await this.#source.open(project, version, wrappedDek) };
    };
    return this.#cache.use(cacheId(project, version), bytes, fetchDek, ({ key }) => work(key));
  }

  /** Does `work`, which encrypts once, with the newest DEK, and says which one that is. */
  async useToWrite<T>(
    project: string,
    bytes: number,
    work: (key: Uint8Array) => T,
  ): Promise<{ readonly version: number; readonly result: T }> {
    const version = await this.#reserve(project);
    return { version, result: await this.use(project, version, bytes, work) };
  }

  /** Makes a new DEK, or takes up the service's newest: writes go under it from now on. */
  async advance(project: string): Promise<number> {
    const [newest] = await this.versions(project);
    return this.#make(project, newest ?? 0);
  }

  /** Forgets the DEKs that came before this version: no document may need them. */
  async forgetBefore(project: string, version: number): Promise<number> {
    const older = (await this.versions(project)).filter((noted) => noted < version);
    for (const old of older) {
      await removeFile(join(this.#folder(project), `${old}.json`));
      await removeFile(this.#writesPath(project, old));
      this.#cache.drop(cacheId(project, old));
      this.#reserved.delete(cacheId(project, old));
    }
    return older.length;
  }

  /** Forgets every DEK that is in memory. */
  clear(): void {
    this.#cache.clear();
  }

  #folder(project: string): string {
    return join(this.#files.projectFolder(project), "keys");
  }

  #writesPath(project: string, version: number): string {
    return join(this.#folder(project), `${version}.writes`);
  }

  async #makeFirst(project: string): Promise<number> {
    const hasDocuments = await this.#hasDocuments(project);
    // Meanwhile somebody may have been first.
    const [newest] = await this.versions(project);
    if (newest !== undefined) return newest;
    if (hasDocuments) throw new DocStoreError("key_gone");
    return this.#make(project, 0);
  }

  async #hasDocuments(project: string): Promise<boolean> {
    for (const collection of await this.#files.collections(project)) {
      if ((await this.#files.ids(project, collection)).length > 0) return true;
    }
    return false;
  }

  async #make(project: string, noted: number): Promise<number> {
    const made = await this.#source.make(project, noted);
    if (made.version <= noted) {
      made.key.fill(0);
      return noted;
    }
    const folder = await this.#files.makeFolder(project, "keys");
    if (await createFile(join(folder, `${made.version}.json`), noteOf(this.#source.form, made))) {
      // It is used at once: there is no need to ask for it again.
      await this.#cache.use(
        cacheId(project, made.version),
        0,
        () => Promise.resolve({ key: made.key }),
        () => undefined,
      );
    } else {
      made.key.fill(0);
    }
    return made.version;
  }

  async #note(project: string, version: number): Promise<DekNote> {
    const bytes = await readFileIfThere(join(this.#folder(project), `${version}.json`), NOTE_BYTES_MAX);
    if (bytes === undefined) throw new DocStoreError("key_damaged");
    let note: unknown;
    try {
      note = JSON.parse(bytes.toString("utf8"));
    } catch {
      throw new DocStoreError("key_damaged");
    }
    const { form, wrapped_dek: wrappedDek } = (note ?? {}) as Partial<Record<keyof DekNote, unknown>>;
    const own = this.#source.form;
    if (form !== own) {
      throw new DocStoreError(form === "wrapped" || form === "exported" ? "wrong_form" : "key_damaged");
    }
    return { form: own, ...(typeof wrappedDek === "string" ? { wrapped_dek: wrappedDek } : {}) };
  }

  /** The version for one write, which is counted. */
  async #reserve(project: string): Promise<number> {
    for (;;) {
      const [version] = await this.versions(project);
      if (version === undefined) {
        await this.prepare(project);
        continue;
      }
      const id = cacheId(project, version);
      const left = this.#reserved.get(id) ?? 0;
      if (left > 0) {
        this.#reserved.set(id, left - 1);
        return version;
      }
      await this.#once(project, () => this.#reserveBlock(project, version));
    }
  }

  async #reserveBlock(project: string, version: number): Promise<void> {
    const id = cacheId(project, version);
    if ((this.#reserved.get(id) ?? 0) > 0) return;
    const { writesMax, blockSize } = this.#limits;
    const path = this.#writesPath(project, version);
    const locks = await this.#files.makeFolder(project, "locks");
    const spent = await withLock(locks, `writes-${version}`, async (lock) => {
      const text = (await readFileIfThere(path, NOTE_BYTES_MAX))?.toString("latin1") ?? "0";
      if (!/^[0-9]{1,12}$/.test(text)) throw new DocStoreError("key_damaged");
      const count = Number(text);
      if (count + blockSize > writesMax) return true;
      // A lost lock reserves nothing: the caller comes again.
      if (await replaceFile(path, Buffer.from(String(count + blockSize), "latin1"), () => lock.isMine())) {
        this.#reserved.set(id, blockSize);
      }
      return false;
    });
    // A wrapped DEK is followed by another; an exported key is somebody else's too, and rotates on command only.
    if (!spent) return;
    if (this.#source.form === "exported") throw new DocStoreError("key_spent");
    await this.#make(project, version);
  }

  /** What many ask for at once for a project is done once. */
  #once<T>(project: string, work: () => Promise<T>): Promise<T> {
    const underWay = this.#underWay.get(project);
    if (underWay !== undefined) return underWay as Promise<T>;
    const mine = work().finally(() => {
      this.#underWay.delete(project);
    });
    this.#underWay.set(project, mine);
    return mine;
  }
}

function cacheId(project: string, version: number): string {
  return `${project}/${version}`;
}

function noteOf(form: DekForm, { wrappedDek }: NewDek): Buffer {
  const note: DekNote = { form, ...(wrappedDek === undefined ? {} : { wrapped_dek: wrappedDek }) };
  return Buffer.from(`${JSON.stringify(note)}\n`, "utf8");
}
