/**
 * What the document store refuses or cannot do.
 * Invariant: the message is a constant of this file: no name, no document and no key is in it; what lay below is in `cause`.
 */

/** Code → what it means. A document that does not open says the same for every reason. */
export const docStoreErrors = {
  invalid_project: "A project's name is 1 to 63 letters, digits and `-`, beginning with a letter or digit",
  invalid_name:
    "The name of a collection or document is 1 to 120 letters, digits, `.`, `_` and `-`, and does not begin with `.`",
  invalid_document: "The document is not JSON",
  invalid_cursor: "The cursor is none of this list, or the limit is no number from 1 to 1000",
  document_too_large: "The document is larger than the store takes",
  document_unreadable: "The document does not open: it was changed or moved, or belongs to another key",
  key_service_unavailable:
    "The key service does not answer, and the project's key is not in memory: nothing was read or written",
  key_refused: "The key service refuses the project's key to this store's account",
  key_unusable: "The key service has the project's key, but its state does not allow its use",
  key_gone: "The project has documents, but its key is gone",
  key_damaged:
    "What is noted beside the project's documents about its key was changed, or belongs to another",
  key_spent: "The project's key has encrypted as much as it may: rotate it",
  wrong_form: "The project's documents are encrypted in the other form, exported or wrapped",
  documents_unreadable: "Some documents do not open under any of the project's keys: the old keys are kept",
  busy: "Another process keeps the document locked",
  storage_unavailable: "A file or folder of the store cannot be read or written",
} as const;

export type DocStoreErrorCode = keyof typeof docStoreErrors;

export class DocStoreError extends Error {
  readonly code: DocStoreErrorCode;

  constructor(code: DocStoreErrorCode, cause?: unknown) {
    super(docStoreErrors[code], cause === undefined ? undefined : { cause });
    this.name = "DocStoreError";
    this.code = code;
  }
}

/** The code of the operating system, such as `ENOSPC`, of what failed on a file; undefined for anything else. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return typeof code === "string" && typeof syscall === "string" ? code : undefined;
}

/**
 * Does `work`; a file or folder that fails it is `storage_unavailable`, since the system's own message names the file.
 * @throws DocStoreError
 */
export async function onStorage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw systemCodeOf(error) === undefined ? error : new DocStoreError("storage_unavailable", error);
  }
}
