/**
 * A document's bytes on the disk, and the names that are used beside them.
 *
 *     file = nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)
 *     AAD  = "keystead-docstore/1" ‖ for project, collection, id: length (4, big-endian) ‖ UTF-8
 *
 * The AAD is not stored: a file opens in its own place only. Bundoc's own files have none.
 *
 * Invariant: a nonce is random and never used twice by choice; nothing of a document leaves before its tag was checked.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from "node:crypto";

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What a file has beside its document. */
export const OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES;
export const DEK_BYTES = 32;

/** Where a document is; its names are checked, and its project's is folded. */
export interface DocumentPlace {
  readonly project: string;
  readonly collection: string;
  readonly id: string;
}

/** The additional data of a document: another for every place. */
export function documentAad({ project, collection, id }: DocumentPlace): Buffer {
  return lengthPrefixed("keystead-docstore/1", project, collection, id);
}

/** The additional data of a wrapped key: another for every project and version. */
export function wrappedDekAad(project: string, version: number): Buffer {
  return lengthPrefixed("keystead-docstore-dek/1", project, String(version));
}

/** The file of a document. */
export function sealDocument(dek: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, dek, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/**
 * A file's document; undefined where it does not open, for whatever reason.
 * @param aad none for Bundoc's own files
 */
export function openDocument(
  dek: Uint8Array,
  aad: Uint8Array | undefined,
  file: Uint8Array,
): Buffer | undefined {
  if (file.length < OVERHEAD_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, dek, file.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  if (aad !== undefined) decipher.setAAD(aad);
  decipher.setAuthTag(file.subarray(file.length - TAG_BYTES));
  const plaintext = decipher.update(file.subarray(NONCE_BYTES, file.length - TAG_BYTES));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

/** Random letters for the name of a file that is nobody else's. */
export function randomName(): string {
  return randomBytes(12).toString("hex");
}

/** A name of a fixed length for a document, which tells nothing of it. */
export function placeHash(place: DocumentPlace): string {
  return createHash("sha256").update(documentAad(place)).digest("hex");
}

export function sha256(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}

/** Whether two hashes are the same, in a time that does not tell where they differ. */
export function sameHash(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function lengthPrefixed(purpose: string, ...fields: readonly string[]): Buffer {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([Buffer.from(purpose, "utf8"), ...parts]);
}
