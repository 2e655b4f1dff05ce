/**
 * Bundoc's own files into a store. They lie under `{from}/projects/{project}/docs/`, as `{collection}/{id}` or as `{id}`,
 * and are `nonce (12) ‖ ciphertext ‖ tag (16)` under a version of the service's key `{project}-dek`, without additional data.
 * Invariant: Bundoc's files are only read; a document that the store has already is left as it is, so that an import that
 * was interrupted can be run again.
 */
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { KeysteadClient } from "../sdk/client.ts";
import type { DocStore } from "./doc-store.ts";
import { openDocument } from "./document-cipher.ts";
import { checkName, foldProject } from "./document-name.ts";
import { DocStoreError, onStorage } from "./doc-store-error.ts";
import { docStoreErrorOf } from "./dek-source.ts";
import { isAbsent, readFileIfThere } from "./durable-file.ts";

const FILE_BYTES_MAX = 64 * 1024 * 1024;

export interface BundocImportOptions {
  /** Bundoc's `data` folder. */
  readonly from: string;
  readonly project: string;
  /** Has the role `exporter`: it fetches the old key. */
  readonly exporter: KeysteadClient;
  /** Where documents go that lie in no collection; `documents` unless set. */
  readonly collection?: string | undefined;
  /** What is cut from the end of a file's name to make the document's, such as `.enc`. */
  readonly suffix?: string | undefined;
  /** Called after each file. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

export interface BundocImportResult {
  readonly imported: number;
  /** Documents that the store had already. */
  readonly kept: number;
  /**
   * Files, by their paths below `docs`, that the store does not take: by their name, or since another file of this run has the
   * same, or for their length; and those that do not open as JSON.
   */
  readonly refused: readonly string[];
}

type Outcome = "imported" | "kept" | "refused";

interface Found {
  readonly path: string;
  readonly collection: string;
  readonly id: string;
  readonly isFile: boolean;
}

/**
 * Imports one project.
 * @throws DocStoreError
 */
export function importBundoc(store: DocStore, options: BundocImportOptions): Promise<BundocImportResult> {
  return onStorage(() => importProject(store, options));
}

async function importProject(store: DocStore, options: BundocImportOptions): Promise<BundocImportResult> {
  const { from, exporter, suffix = "", onProgress } = options;
  const project = foldProject(options.project);
  const folder = join(from, "projects", project, "docs");
  const files = await filesIn(folder, checkName(options.collection ?? "documents"), suffix);
  const keys = await exportedKeys(exporter, `${project}-dek`);
  const counts: Record<Exclude<Outcome, "refused">, number> = { imported: 0, kept: 0 };
  const refused: string[] = [];
  const taken = new Set<string>();
  const importFile = async (file: Found): Promise<Outcome> => {
    const place = join(file.collection, file.id);
    if (!file.isFile || !isName(file.collection) || !isName(file.id) || taken.has(place)) return "refused";
    const text = await textOf(join(folder, file.path), keys);
    if (text === undefined) return "refused";
    try {
      const isNew = await store.putText(project, file.collection, file.id, text, { onlyIfAbsent: true });
      taken.add(place);
      return isNew ? "imported" : "kept";
    } catch (error) {
      if (error instanceof DocStoreError && error.code === "document_too_large") return "refused";
      throw error;
    }
  };
  try {
    for (const [i, file] of files.entries()) {
      const outcome = await importFile(file);
      if (outcome === "refused") refused.push(file.path);
      else counts[outcome]++;
      onProgress?.({ done: i + 1, total: files.length });
    }
  } finally {
    for (const key of keys) key.fill(0);
  }
  return { ...counts, refused };
}

async function filesIn(folder: string, collection: string, suffix: string): Promise<Found[]> {
  const found: Found[] = [];
  const idOf = (name: string): string =>
    name.endsWith(suffix) ? name.slice(0, name.length - suffix.length) : name;
  for (const entry of await entriesOf(folder)) {
    if (!entry.isDirectory()) {
      found.push({ path: entry.name, collection, id: idOf(entry.name), isFile: entry.isFile() });
      continue;
    }
    for (const inner of await entriesOf(join(folder, entry.name))) {
      const path = join(entry.name, inner.name);
      found.push({ path, collection: entry.name, id: idOf(inner.name), isFile: inner.isFile() });
    }
  }
  return found;
}

/** In the order of their names: of two files for one document, every run takes the same. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.sort(({ name: one }, { name: other }) => (one < other ? -1 : 1));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** Every version of the old key that may still be had, the newest first. */
async function exportedKeys(exporter: KeysteadClient, name: string): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  try {
    const latest = await exporter.key.export(name, { format: "raw" });
    keys.push(latest.keyMaterial);
    for (let version = latest.version - 1; version >= 1; version--) {
      try {
        keys.push((await exporter.key.export(name, { format: "raw", version })).keyMaterial);
      } catch (error) {
        // A version that is disabled or locked out opens nothing; anything else does stop the import.
        const { code } = docStoreErrorOf(error);
        if (code !== "key_unusable" && code !== "key_damaged") throw error;
      }
    }
    return keys;
  } catch (error) {
    for (const key of keys) key.fill(0);
    throw docStoreErrorOf(error);
  }
}

async function textOf(path: string, keys: readonly Uint8Array[]): Promise<string | undefined> {
  try {
    const file = await readFileIfThere(path, FILE_BYTES_MAX);
    if (file === undefined) return undefined;
    for (const key of keys) {
      const plaintext = openDocument(key, undefined, file);
      if (plaintext === undefined) continue;
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plaintext);
      JSON.parse(text);
      return text;
    }
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError || error instanceof DocStoreError))
      throw error;
  }
  return undefined;
}

function isName(name: string): boolean {
  try {
    return checkName(name) === name;
  } catch {
    return false;
  }
}
