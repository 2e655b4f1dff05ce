/**
 * Moves a project's documents to its newest key, while they are read and written.
 *
 * 1. Whoever was writing when the newest key came is waited for: later writes are under that key, or a newer one.
 * 2. Document after document, under its lock: one that opens under the newest key stays; any other is encrypted anew, read back
 *    from the disk, opened, and only then takes the place of the old one.
 * 3. When every document opened, the older keys are forgotten.
 *
 * Invariant: at any moment each document opens under a key that is noted; a document that was written meanwhile is not undone.
 */
import { documentAad, openDocument, sealDocument, type DocumentPlace } from "./document-cipher.ts";
import type { DocumentFiles, LockedDocument } from "./document-files.ts";
import { awaitHolders } from "./document-lock.ts";
import { DocStoreError } from "./doc-store-error.ts";
import type { ProjectKeys } from "./project-keys.ts";

export interface ReencryptOptions {
  /** Called after each document. */
  readonly onProgress?: ((progress: ReencryptProgress) => void) | undefined;
  /** Stops between two documents. */
  readonly signal?: AbortSignal | undefined;
}

export interface ReencryptProgress {
  readonly done: number;
  readonly total: number;
}

export interface ReencryptResult {
  /** The version that every document is under now. */
  readonly version: number;
  readonly documents: number;
  /** How many of them were under an older key. */
  readonly reencrypted: number;
  /** How many older keys are forgotten. */
  readonly forgotten: number;
}

type Outcome = "stays" | "reencrypted" | "unreadable" | "gone";

/** @throws DocStoreError `documents_unreadable` at the end, where some documents open under no key */
export async function reencryptProject(
  files: DocumentFiles,
  keys: ProjectKeys,
  project: string,
  { onProgress, signal }: ReencryptOptions,
): Promise<ReencryptResult> {
  const [version, ...older] = await keys.versions(project);
  if (version === undefined) return { version: 0, documents: 0, reencrypted: 0, forgotten: 0 };
  await awaitHolders(files.locksFolder(project));
  const places: DocumentPlace[] = [];
  for (const collection of await files.collections(project)) {
    for (const id of await files.ids(project, collection)) places.push({ project, collection, id });
  }
  let cause: unknown;
  const onUnreadable = (error: unknown): void => {
    cause ??= error;
  };
  const counts: Record<Outcome, number> = { stays: 0, reencrypted: 0, unreadable: 0, gone: 0 };
  for (const [i, place] of places.entries()) {
    signal?.throwIfAborted();
    counts[await reencryptDocument(files, keys, place, version, older, onUnreadable)]++;
    onProgress?.({ done: i + 1, total: places.length });
  }
  if (counts.unreadable > 0) throw new DocStoreError("documents_unreadable", cause);
  const forgotten = await keys.forgetBefore(project, version);
  const { reencrypted, stays } = counts;
  return { version, documents: reencrypted + stays, reencrypted, forgotten };
}

function reencryptDocument(
  files: DocumentFiles,
  keys: ProjectKeys,
  place: DocumentPlace,
  version: number,
  older: readonly number[],
  onUnreadable: (error: unknown) => void,
): Promise<Outcome> {
  const aad = documentAad(place);
  const opens = (file: Uint8Array, under: number): Promise<Buffer | undefined> =>
    keys.use(place.project, under, file.length, (key) => openDocument(key, aad, file));
  return files.change(place, async (document: LockedDocument): Promise<Outcome | undefined> => {
    const file = await document.read().catch((error: unknown) => {
      if (error instanceof DocStoreError) return "unreadable" as const;
      throw error;
    });
    if (file === undefined) return "gone";
    if (file === "unreadable") return file;
    const newest = await keys.versions(place.project);
    // Those that came since are newer, and stay noted.
    for (const under of newest.filter((noted) => noted >= version)) {
      const plaintext = await opens(file, under);
      if (plaintext === undefined) continue;
      plaintext.fill(0);
      return "stays";
    }
    for (const under of older) {
      const plaintext = await opens(file, under).catch((error: unknown) => {
        // It may be under another one, which can be had; a service that is away may have this one later.
        if (!(error instanceof DocStoreError) || error.code === "key_service_unavailable") throw error;
        onUnreadable(error);
        return undefined;
      });
      if (plaintext === undefined) continue;
      try {
        return (await rewrite(keys, place, document, plaintext)) ? "reencrypted" : undefined;
      } finally {
        plaintext.fill(0);
      }
    }
    return "unreadable";
  });
}

/** False where the lock was lost: nothing was changed. */
async function rewrite(
  keys: ProjectKeys,
  place: DocumentPlace,
  document: LockedDocument,
  plaintext: Buffer,
): Promise<boolean> {
  const aad = documentAad(place);
  const { version, result: sealed } = await keys.useToWrite(place.project, plaintext.length, (key) =>
    sealDocument(key, aad, plaintext),
  );
  return document.replace(sealed, async (written) => {
    const reopened = await keys.use(place.project, version, written.length, (key) =>
      openDocument(key, aad, written),
    );
    if (reopened?.equals(plaintext) !== true) throw new DocStoreError("document_unreadable");
    reopened.fill(0);
  });
}
