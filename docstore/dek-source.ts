/**
 * Where a project's data encryption keys (DEKs) come from: the two forms. Each is a row of the same four calls on the key
 * service; what of it is noted beside the data, and cached, is project-keys.ts's.
 *
 * `wrapped`: the service makes a DEK and encrypts it under the key `{project}-kek`, bound to project and version; the
 * encrypted DEK lies beside the data. `exported`, which is Bundoc's: the service's key `{project}-dek` is the DEK itself.
 *
 * Invariant: the names of keys come from the project's name, never from a file; a DEK of another project or version does not open.
 */
import type { KeysteadClient } from "../sdk/client.ts";
import { KeysteadApiError } from "../sdk/api-error.ts";
import { KeysteadConnectionError } from "../sdk/connection-error.ts";
import { KeysteadCredentialError } from "../sdk/credential-error.ts";
import { DEK_BYTES, wrappedDekAad } from "./document-cipher.ts";
import { DocStoreError } from "./doc-store-error.ts";

export const dekForms = ["wrapped", "exported"] as const;
export type DekForm = (typeof dekForms)[number];

export interface NewDek {
  readonly version: number;
  readonly key: Uint8Array;
  /** Base64; in the wrapped form only. */
  readonly wrappedDek?: string;
}

export interface DekSource {
  readonly form: DekForm;
  /** The name of the service's key for a project. */
  keyName(project: string): string;
  /**
   * A DEK that is newer than all that are noted.
   * @param noted the newest that is noted; 0 for a project that has none, whose key is made where it is not there
   */
  make(project: string, noted: number): Promise<NewDek>;
  /** A DEK that was made before. */
  open(project: string, version: number, wrappedDek: string | undefined): Promise<Uint8Array>;
}

/** Both forms wait this long for the key service: who has a cold project shall hear soon that it is. */
const CALL = { timeoutMs: 5000 } as const;
const ALGORITHM = "AES-256-GCM";

/** The source of a form, over a client of the key service. */
export function dekSource(form: DekForm, client: KeysteadClient): DekSource {
  return form === "wrapped" ? wrappedDeks(client) : exportedDeks(client);
}

function wrappedDeks(client: KeysteadClient): DekSource {
  const keyName = (project: string): string => `${project}-kek`;
  return {
    form: "wrapped",
    keyName,
    async make(project, noted) {
      const version = noted + 1;
      const aad = wrappedDekAad(project, version);
      const generate = (): ReturnType<KeysteadClient["key"]["generateDataKey"]> =>
        client.key.generateDataKey(keyName(project), { ...CALL, bytes: DEK_BYTES, aad });
      const { plaintext, ciphertext } = await madeOnce(client, keyName(project), noted, false, generate);
      return { version, key: checkedDek(plaintext), wrappedDek: ciphertext };
    },
    async open(project, version, wrappedDek) {
      if (wrappedDek === undefined) throw new DocStoreError("key_damaged");
      const { plaintext } = await asked(() =>
        client.key.decrypt(keyName(project), wrappedDek, { ...CALL, aad: wrappedDekAad(project, version) }),
      );
      return checkedDek(plaintext);
    },
  };
}

function exportedDeks(client: KeysteadClient): DekSource {
  const keyName = (project: string): string => `${project}-dek`;
  const fetchDek = async (name: string, version?: number): Promise<NewDek> => {
    const answer = await client.key.export(name, { ...CALL, format: "raw", version });
    if (answer.algorithm !== ALGORITHM || answer.isWrapped) throw new DocStoreError("key_unusable");
    return { version: answer.version, key: checkedDek(answer.keyMaterial) };
  };
  return {
    form: "exported",
    keyName,
    make: (project, noted) =>
      madeOnce(client, keyName(project), noted, true, () => fetchDek(keyName(project))),
    async open(project, version) {
      return (await asked(() => fetchDek(keyName(project), version))).key;
    },
  };
}

/** Asks for a DEK; where the project is new and the service has no key for it, makes that first. */
async function madeOnce<T>(
  client: KeysteadClient,
  name: string,
  noted: number,
  exportable: boolean,
  fetchDek: () => Promise<T>,
): Promise<T> {
  try {
    return await fetchDek();
  } catch (error) {
    if (noted > 0 || !isApiError(error, "key_not_found")) throw docStoreErrorOf(error);
  }
  return asked(async () => {
    try {
      await client.key.create(name, { ...CALL, type: "aes-256", exportable });
    } catch (error) {
      // Another store was first: both go on with the same key.
      if (!isApiError(error, "key_exists")) throw error;
    }
    return fetchDek();
  });
}

async function asked<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw docStoreErrorOf(error);
  }
}

/** What a failed call on the key service means for a document. */
export function docStoreErrorOf(error: unknown): DocStoreError {
  if (error instanceof DocStoreError) return error;
  // A token that could not be had: of a service that does not answer, or from one that refuses.
  if (error instanceof KeysteadCredentialError)
    return new DocStoreError(isAway(error.cause) ? "key_service_unavailable" : "key_refused", error);
  if (!(error instanceof KeysteadApiError)) return new DocStoreError("key_service_unavailable", error);
  if (isAway(error)) return new DocStoreError("key_service_unavailable", error);
  switch (error.code) {
    case "key_not_found":
      return new DocStoreError("key_gone", error);
    case "decryption_failed":
    case "key_version_not_found":
      return new DocStoreError("key_damaged", error);
    case "key_not_exportable":
      return new DocStoreError("key_unusable", error);
  }
  return new DocStoreError([401, 403, 404].includes(error.status) ? "key_refused" : "key_unusable", error);
}

/** Whether a call failed for a reason that another time, or another server, does not have. */
function isAway(error: unknown): boolean {
  if (error instanceof KeysteadConnectionError) return true;
  return error instanceof KeysteadApiError && (error.status >= 500 || error.status === 429);
}

function isApiError(error: unknown, code: string): boolean {
  return error instanceof KeysteadApiError && error.code === code;
}

function checkedDek(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== DEK_BYTES) throw new DocStoreError("key_unusable");
  return bytes;
}
