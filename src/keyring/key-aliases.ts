/**
 * Further names of keys: an alias is unique within its project and its scheme (the API whose name it is).
 * A row's id is HMAC-SHA-256, under a secret of the service's own, over the length-prefixed project, scheme and name; its
 * sealed record says which key it leads to, and is bound to that id. The key's own record lists its aliases.
 * Invariant: no column says a name, and a row leads to a key only while the key's record lists it, so that a row that was
 * put back, or put in another's place, leads nowhere.
 */
import { Buffer } from "node:buffer";
import { lengthPrefixed } from "../bytes.ts";
import { hmacSha256 } from "../crypto/digest.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { ServiceSecrets } from "../seal/service-secrets.ts";
import type { Store, Write } from "../storage/store.ts";

const CACHE_ENTRIES = 20_000;

/** The scheme of the names that public keys have by themselves: RFC 7638 thumbprints, one a version. */
export const THUMBPRINT = "jwk-thumbprint";
/** Names that may be added to a key, a scheme. */
export const ALIASES_MAX = 64;

/** A name to be given to a key. */
export interface NewAlias {
  /** The API whose name it is. */
  readonly scheme: string;
  readonly text: string;
  /** Keeps the text in the key's sealed record, to be shown again; false keeps its keyed hash alone. */
  readonly isShown: boolean;
  /** The one version that it names; absent: the key, whichever version is the latest. */
  readonly version?: number | undefined;
}

/** A name as the record of its key lists it. */
export interface KeyAlias {
  readonly scheme: string;
  /** The row's id, base64. */
  readonly id: string;
  readonly text?: string;
  readonly version?: number;
}

/** Where an alias leads. */
export interface AliasTarget {
  readonly id: string;
  readonly keyId: string;
}

export class KeyAliases {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #secrets: ServiceSecrets;
  /** By project, scheme and text: whether it still holds is asked of the key's own record each time. */
  readonly #targets: RecordCache<AliasTarget>;

  constructor(store: Store, barrier: Barrier, secrets: ServiceSecrets) {
    this.#store = store;
    this.#barrier = barrier;
    this.#secrets = secrets;
    this.#targets = new RecordCache({ entriesMax: CACHE_ENTRIES, ageMsMax: recordAgeMsMax(store) });
  }

  /** The alias as a key's record lists it. */
  async listed(projectId: string, { scheme, text, isShown, version }: NewAlias): Promise<KeyAlias> {
    const id = await this.#idOf(projectId, scheme, text);
    return { scheme, id, ...(isShown ? { text } : {}), ...(version === undefined ? {} : { version }) };
  }

  /**
   * Where a name leads; undefined where nothing has it.
   * @param holds asked of what is remembered: where it says no, the database is asked
   */
  async target(
    projectId: string,
    scheme: string,
    text: string,
    holds: (target: AliasTarget) => Promise<boolean>,
  ): Promise<AliasTarget | undefined> {
    const handle = `${projectId}/${scheme}/${text}`;
    const known = this.#targets.peek(handle);
    if (known !== undefined && (await holds(known))) return known;
    this.#targets.forget(handle);
    const target = await this.#targets.get(handle, async () =>
      this.find(projectId, await this.#idOf(projectId, scheme, text)),
    );
    return target !== undefined && (await holds(target)) ? target : undefined;
  }

  /** The target of a listed alias, read from the database; undefined where it is free. */
  async find(projectId: string, id: string): Promise<AliasTarget | undefined> {
    const [row] = await this.#store.select({ from: "key_aliases", where: { id: Buffer.from(id, "base64") } });
    if (row === undefined || row.project_id !== projectId) return undefined;
    const { keyId } = this.#barrier.openJson<{ keyId: string }>(keyAliasPlace(projectId, id), row.sealed);
    return { id, keyId };
  }

  /** The write that makes an alias of a key. */
  insert(projectId: string, keyId: string, { id }: KeyAlias): Write {
    const sealed = this.#barrier.sealJson(keyAliasPlace(projectId, id), { keyId });
    const row = { id: Buffer.from(id, "base64"), project_id: projectId, key_id: keyId, sealed };
    return { insert: "key_aliases", row };
  }

  /** The write that takes one alias away. */
  remove(keyId: string, { id }: KeyAlias): Write {
    return {
      delete: "key_aliases",
      where: { id: Buffer.from(id, "base64"), key_id: keyId },
      expect: "any",
    };
  }

  /** The write that takes all aliases of a key away. */
  removeAll(keyId: string): Write {
    return { delete: "key_aliases", where: { key_id: keyId }, expect: "any" };
  }

  async #idOf(projectId: string, scheme: string, text: string): Promise<string> {
    const secret = await this.#secrets.get("key-aliases");
    return hmacSha256(secret, lengthPrefixed("keystead/key-alias/v1", projectId, scheme, text)).toString(
      "base64",
    );
  }
}

export function keyAliasPlace(projectId: string, id: string): RecordPlace {
  return { project: projectId, kind: "key-alias", id, revision: 1, field: "record" };
}
