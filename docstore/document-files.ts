/**
 * Where documents lie, and the way of their bytes to and from the disk; what the bytes are is not known here.
 *
 *     {data}/projects/{project}/docs/{collection}/{id}   a document
 *     {data}/projects/{project}/keys/                    what is noted of the project's keys (project-keys.ts)
 *     {data}/projects/{project}/locks/                   who writes what (document-lock.ts)
 *
 * Invariant: a change is made under the document's lock, and is on the disk when its promise resolves.
 */
import { join } from "node:path";
import { placeHash, type DocumentPlace } from "./document-cipher.ts";
import { withLock } from "./document-lock.ts";
import { fileNameOf, nameOfFile } from "./document-name.ts";
import { DocStoreError } from "./doc-store-error.ts";
import {
  createFile,
  isAbsent,
  isFileThere,
  makeFolders,
  namesIn,
  readFileIfThere,
  removeFile,
  removeLeftovers,
  replaceFile,
} from "./durable-file.ts";
import { WriteQueue } from "./write-queue.ts";

/** More at once would not make a disk faster, and each would take longer. */
const WRITES_AT_ONCE_MAX = 32;
const ATTEMPTS_MAX = 5;

/** What may be done while a document is locked. */
export interface LockedDocument {
  isThere(): Promise<boolean>;
  read(): Promise<Buffer | undefined>;
  /**
   * Puts these bytes in the document's place. False where the lock was lost meanwhile: nothing was changed.
   * @param check reads back what was written before it takes the place; throws where it is not right
   */
  replace(bytes: Uint8Array, check?: (written: Uint8Array) => Promise<void>): Promise<boolean>;
  /** Makes the document; false where there is one, undefined where the lock was lost. */
  create(bytes: Uint8Array): Promise<boolean | undefined>;
  /** Removes the document; undefined where the lock was lost. */
  remove(): Promise<boolean | undefined>;
}

export class DocumentFiles {
  readonly #data: string;
  readonly #fileBytesMax: number;
  readonly #queue = new WriteQueue(WRITES_AT_ONCE_MAX);
  /** Folders that this process has made or found. */
  readonly #made = new Set<string>();

  constructor(data: string, fileBytesMax: number) {
    this.#data = data;
    this.#fileBytesMax = fileBytesMax;
  }

  /** The bytes of a document; undefined where there is none. */
  read(place: DocumentPlace): Promise<Buffer | undefined> {
    return readFileIfThere(this.#path(place), this.#fileBytesMax);
  }

  /** Does `work` while nobody else, in no process, changes the document. `undefined` from it says that the lock was lost: again. */
  change<T>(place: DocumentPlace, work: (document: LockedDocument) => Promise<T | undefined>): Promise<T> {
    const name = placeHash(place);
    return this.#queue.run(name, async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          const done = await this.#locked(place, name, work);
          if (done !== undefined) return done;
        } catch (error) {
          // Somebody removed a folder that was there.
          if (!isAbsent(error) || attempt > 1) throw error;
          this.#made.clear();
        }
        if (attempt >= ATTEMPTS_MAX) throw new DocStoreError("busy");
      }
    });
  }

  /** The documents of a collection in the order of their names. */
  async ids(project: string, collection: string): Promise<string[]> {
    return namesOf(await namesIn(join(this.projectFolder(project), "docs", fileNameOf(collection))));
  }

  /** The collections of a project in the order of their names, those without documents too. */
  async collections(project: string): Promise<string[]> {
    return namesOf(await namesIn(join(this.projectFolder(project), "docs")));
  }

  /** A project's folder; it may not be there. */
  projectFolder(project: string): string {
    return join(this.#data, "projects", fileNameOf(project));
  }

  locksFolder(project: string): string {
    return join(this.projectFolder(project), "locks");
  }

  /** Makes a folder of a project where it is not there. */
  async makeFolder(project: string, ...names: readonly string[]): Promise<string> {
    const path = join(this.projectFolder(project), ...names);
    if (this.#made.has(path)) return path;
    await makeFolders(this.#data, "projects", fileNameOf(project), ...names);
    await removeLeftovers(path);
    this.#made.add(path);
    return path;
  }

  async #locked<T>(
    place: DocumentPlace,
    name: string,
    work: (document: LockedDocument) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const locks = await this.makeFolder(place.project, "locks");
    const path = this.#path(place);
    return withLock(locks, name, async (lock) =>
      work({
        isThere: () => isFileThere(path),
        read: () => this.read(place),
        replace: async (bytes, check) => {
          await this.makeFolder(place.project, "docs", fileNameOf(place.collection));
          return replaceFile(path, bytes, async (temporary) => {
            if (check !== undefined) {
              const written = await readFileIfThere(temporary, bytes.length);
              await check(written ?? new Uint8Array());
            }
            return lock.isMine();
          });
        },
        create: async (bytes) => {
          await this.makeFolder(place.project, "docs", fileNameOf(place.collection));
          // Right whatever became of the lock: the file system lets one make it.
          if (await createFile(path, bytes, () => lock.isMine())) return true;
          return (await isFileThere(path)) ? false : undefined;
        },
        remove: async () => ((await lock.isMine()) ? removeFile(path) : undefined),
      }),
    );
  }

  #path({ project, collection, id }: DocumentPlace): string {
    return join(this.projectFolder(project), "docs", fileNameOf(collection), fileNameOf(id));
  }
}

/** Sorted by their characters' codes; files that the store did not name are left out. */
function namesOf(fileNames: readonly string[]): string[] {
  return fileNames
    .map(nameOfFile)
    .filter((name) => name !== undefined)
    .sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
}
