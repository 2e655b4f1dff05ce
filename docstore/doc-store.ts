/**
 * JSON documents on disk, encrypted at rest under keys of Keystead, a key for each project.
 *
 *     const store = new DocStore({ data: "./data", client: new KeysteadClient({ url, token }) });
 *     await store.put("shop", "orders", "42", { total: 99 });
 *     const order = await store.get("shop", "orders", "42");
 *
 * Calls reject with a DocStoreError. Any number of processes may share a data folder.
 *
 * Invariant: nothing is ever written in clear; a document that is acknowledged is on the disk, whole, whatever happens then;
 * a document opens in its own project, collection and place only.
 */
import { Buffer } from "node:buffer";
import type { KeysteadClient } from "../sdk/client.ts";
import { dekCacheDefaults, type DekCacheOptions } from "../sdk/dek-cache.ts";
import { dekSource, type DekForm } from "./dek-source.ts";
import {
  documentAad,
  openDocument,
  OVERHEAD_BYTES,
  sealDocument,
  type DocumentPlace,
} from "./document-cipher.ts";
import { DocumentFiles } from "./document-files.ts";
import { checkName, foldProject } from "./document-name.ts";
import { DocStoreError, onStorage, type DocStoreErrorCode } from "./doc-store-error.ts";
import { ProjectKeys, writeLimits, type WriteLimits } from "./project-keys.ts";
import { reencryptProject, type ReencryptOptions, type ReencryptResult } from "./reencryption.ts";

const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;
const LIST_LIMIT_DEFAULT = 100;
export const LIST_LIMIT_MAX = 1000;
/** How often a read that meets a change begins again. */
const READS_MAX = 5;
const movedCodes: ReadonlySet<DocStoreErrorCode> = new Set([
  "document_unreadable",
  "key_damaged",
  "key_gone",
]);

export interface DocStoreOptions {
  /** The folder that holds everything; it is made where it is not there. */
  readonly data: string;
  /** The key service, in the Keystead project whose keys the store uses. */
  readonly client: KeysteadClient;
  /**
   * `wrapped` unless set: a project's key is made and wrapped by the service, and its wrapped form lies beside the data.
   * `exported`: the service hands it out, as Bundoc has it today.
   */
  readonly form?: DekForm | undefined;
  /** 15 minutes and 1000 keys unless set. */
  readonly cache?: Partial<DekCacheOptions> | undefined;
  /** 16 MiB unless set, as JSON in UTF-8. */
  readonly documentBytesMax?: number | undefined;
  /** After how many writes a key is spent; 2³² unless set. */
  readonly writes?: Partial<WriteLimits> | undefined;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

export interface PutOptions {
  /** Replaces nothing. */
  readonly onlyIfAbsent?: boolean | undefined;
}

export interface ListOptions {
  /** 100 unless set, at most 1000. */
  readonly limit?: number | undefined;
  /** The `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

export interface NamesPage {
  readonly names: readonly string[];
  /** Absent on the last page. */
  readonly nextCursor?: string;
}

export class DocStore {
  readonly #files: DocumentFiles;
  readonly #keys: ProjectKeys;
  readonly #documentBytesMax: number;

  constructor(options: DocStoreOptions) {
    const { data, client, form = "wrapped", documentBytesMax = DOCUMENT_BYTES_MAX } = options;
    this.#documentBytesMax = documentBytesMax;
    this.#files = new DocumentFiles(data, documentBytesMax + OVERHEAD_BYTES);
    const cache = { ...dekCacheDefaults, ...options.cache };
    const limits = { ...writeLimits, ...options.writes };
    this.#keys = new ProjectKeys(this.#files, dekSource(form, client), cache, limits);
  }

  /**
   * Stores a document in the place of the one before, if there is one. The last writer's is there, whole. False where it was
   * not stored, since it should be `onlyIfAbsent`.
   */
  async put(
    project: string,
    collection: string,
    id: string,
    document: Json,
    options: PutOptions = {},
  ): Promise<boolean> {
    // What JSON has no form for gives undefined.
    const text = JSON.stringify(document) as string | undefined;
    if (text === undefined) throw new DocStoreError("invalid_document");
    return this.#put(placeOf(project, collection, id), Buffer.from(text, "utf8"), options);
  }

  /** As `put`, for a document that is JSON text already: it comes back as it is, numbers of any length included. */
  async putText(
    project: string,
    collection: string,
    id: string,
    text: string,
    options: PutOptions = {},
  ): Promise<boolean> {
    const place = placeOf(project, collection, id);
    // Half of a surrogate pair has no form in UTF-8, and would come back as something else.
    if (!text.isWellFormed()) throw new DocStoreError("invalid_document");
    try {
      JSON.parse(text);
    } catch {
      throw new DocStoreError("invalid_document");
    }
    return this.#put(place, Buffer.from(text, "utf8"), options);
  }

  /** The document; undefined where there is none. Throws `document_unreadable` for one that was tampered with. */
  async get(project: string, collection: string, id: string): Promise<Json | undefined> {
    const text = await this.getText(project, collection, id);
    return text === undefined ? undefined : (JSON.parse(text) as Json);
  }

  /** The document's JSON text; undefined where there is none. */
  async getText(project: string, collection: string, id: string): Promise<string | undefined> {
    const place = placeOf(project, collection, id);
    return onStorage(() => this.#read(place));
  }

  /** Removes a document; false where there is none. Needs no key. */
  async delete(project: string, collection: string, id: string): Promise<boolean> {
    const place = placeOf(project, collection, id);
    return onStorage(async () => {
      // A document that is not there makes no folders.
      if ((await this.#files.collections(place.project)).length === 0) return false;
      return this.#files.change(place, (document) => document.remove());
    });
  }

  /** One page of a collection's documents, by the order of their names. No document is opened: it needs no key. */
  async list(project: string, collection: string, options: ListOptions = {}): Promise<NamesPage> {
    const [folded, name] = [foldProject(project), checkName(collection)];
    return pageOf(await onStorage(() => this.#files.ids(folded, name)), options);
  }

  /** One page of a project's collections. */
  async collections(project: string, options: ListOptions = {}): Promise<NamesPage> {
    const folded = foldProject(project);
    return pageOf(await onStorage(() => this.#files.collections(folded)), options);
  }

  /**
   * Makes a new key for the project's documents (in the exported form: takes up the newest version of the service's key), and
   * gives its version. Writes go under it at once; what is there stays readable. `reencrypt` moves it over.
   */
  async advanceKey(project: string): Promise<number> {
    const folded = foldProject(project);
    return onStorage(() => this.#keys.advance(folded));
  }

  /** The versions of keys that the project's documents may be under, the newest first; none for a new project. */
  async keyVersions(project: string): Promise<number[]> {
    const folded = foldProject(project);
    return onStorage(() => this.#keys.versions(folded));
  }

  /**
   * Encrypts every document that is under an older key anew, under the newest one, and forgets the older ones when no document
   * needs them. Reads and writes go on meanwhile, in any process. Run again after an interruption, it goes on.
   * @throws DocStoreError `documents_unreadable` after all that open are done, where some do not
   */
  async reencrypt(project: string, options: ReencryptOptions = {}): Promise<ReencryptResult> {
    const folded = foldProject(project);
    return onStorage(() => reencryptProject(this.#files, this.#keys, folded, options));
  }

  /** Wipes every key that is in memory. The store can be used on. */
  close(): void {
    this.#keys.clear();
  }

  async #read(place: DocumentPlace): Promise<string | undefined> {
    let seen: Buffer | undefined;
    for (let reads = 1; ; reads++) {
      const file = await this.#files.read(place);
      if (file === undefined) return undefined;
      try {
        return (await this.#open(place, file)).toString("utf8");
      } catch (error) {
        // Its key may have gone while it was read, since it is under another one now: then the file has changed.
        const mayHaveMoved = error instanceof DocStoreError && movedCodes.has(error.code);
        if (!mayHaveMoved || reads === READS_MAX || seen?.equals(file) === true) throw error;
      }
      seen = file;
    }
  }

  async #put(place: DocumentPlace, plaintext: Buffer, options: PutOptions): Promise<boolean> {
    if (plaintext.length > this.#documentBytesMax) throw new DocStoreError("document_too_large");
    return onStorage(() => this.#write(place, plaintext, options));
  }

  async #write(
    place: DocumentPlace,
    plaintext: Buffer,
    { onlyIfAbsent = false }: PutOptions,
  ): Promise<boolean> {
    // A key that has to be fetched is fetched before the document is locked.
    await this.#keys.prepare(place.project);
    return this.#files.change(place, async (document) => {
      if (onlyIfAbsent && (await document.isThere())) return false;
      const { result: file } = await this.#keys.useToWrite(place.project, plaintext.length, (key) =>
        sealDocument(key, documentAad(place), plaintext),
      );
      return onlyIfAbsent ? document.create(file) : (await document.replace(file)) || undefined;
    });
  }

  async #open(place: DocumentPlace, file: Buffer): Promise<Buffer> {
    const versions = await this.#keys.versions(place.project);
    if (versions.length === 0) throw new DocStoreError("key_gone");
    const aad = documentAad(place);
    let failure: Error | undefined;
    for (const version of versions) {
      try {
        const plaintext = await this.#keys.use(place.project, version, file.length, (key) =>
          openDocument(key, aad, file),
        );
        if (plaintext !== undefined) return plaintext;
      } catch (error) {
        // It may be under another one, which can be had.
        failure ??= error as Error;
      }
    }
    throw failure ?? new DocStoreError("document_unreadable");
  }
}

function placeOf(project: string, collection: string, id: string): DocumentPlace {
  return { project: foldProject(project), collection: checkName(collection), id: checkName(id) };
}

/** @throws DocStoreError `invalid_cursor` */
function pageOf(names: readonly string[], { limit = LIST_LIMIT_DEFAULT, cursor }: ListOptions): NamesPage {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX)
    throw new DocStoreError("invalid_cursor");
  if (cursor !== undefined) {
    try {
      checkName(cursor);
    } catch {
      throw new DocStoreError("invalid_cursor");
    }
  }
  const rest = cursor === undefined ? names : names.filter((name) => name > cursor);
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  return { names: page, ...(rest.length > limit && last !== undefined ? { nextCursor: last } : {}) };
}
