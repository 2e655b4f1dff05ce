/**
 * Keys between storage and use: sealing and opening of key records, version material and nonce counts.
 * Invariant: every sealed value is bound to its project, key and revision or version; what a plain column says is checked
 * against the opened record, so that an edited or swapped row fails closed.
 */
import { decodeMaterial, encodeMaterial, type Material } from "../crypto/material.ts";
import type { Providers } from "../crypto/providers.ts";
import { KeysteadError } from "../errors.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { sliceOf, type IsVisible, type Slice } from "../storage/slice.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { keyAlgorithm, keyDueAt, type Key, type KeyHandle, type KeyRecord } from "./key.ts";
import type { OpenedVersion } from "./opened-version.ts";
import { NonceCounter } from "./nonce-counter.ts";

export class KeyStore {
  readonly #store: Store;
  readonly #barrier: Barrier;
  /** Replaces the catalogue's nonce limit: tests cannot draw 2³² nonces. */
  readonly #noncesMax: number | undefined;
  /** Where keys are made and opened. */
  readonly providers: Providers;

  constructor(store: Store, barrier: Barrier, noncesMax: number | undefined, providers: Providers) {
    this.#store = store;
    this.#barrier = barrier;
    this.#noncesMax = noncesMax;
    this.providers = providers;
  }

  /** The key of this id or name in the project, or undefined. */
  async find(
    projectId: string,
    by: { readonly id: string } | { readonly name: string },
  ): Promise<Key | undefined> {
    const [row] = await this.#store.select({ from: "keys", where: { project_id: projectId, ...by } });
    return row === undefined ? undefined : this.#open(row);
  }

  /** Whether a name leads to a key. */
  async hasName(projectId: string, name: string): Promise<boolean> {
    return (await this.#store.select({ from: "keys", where: { project_id: projectId, name } })).length > 0;
  }

  /**
   * The id that begins like this, for a prefix long enough to have one key in the whole database; undefined where that key
   * is not in the project.
   */
  async idWithPrefix(projectId: string, prefix: string): Promise<string | undefined> {
    const [row] = await this.#store.select({ from: "keys", orderBy: "id", after: prefix, limit: 1 });
    return row?.project_id === projectId && row.id.startsWith(prefix) ? row.id : undefined;
  }

  /** A stretch of a project's keys in the byte order of their names. */
  async list(projectId: string, afterName: string, rows: number, isVisible: IsVisible): Promise<Slice<Key>> {
    const where = { project_id: projectId };
    const found = await this.#store.select({
      from: "keys",
      where,
      orderBy: "name",
      after: afterName,
      limit: rows,
    });
    return sliceOf(found, rows, isVisible, (row) => this.#open(row));
  }

  /** The writes that make a new key with its first version. */
  insert(key: Key, material: Material): Write[] {
    return [{ insert: "keys", row: this.#rowOf(key) }, ...this.insertVersion(key, 1, material)];
  }

  /** The writes that move a key to its next revision. */
  update(key: Key): Write[] {
    const { name, revision, due_at, sealed } = this.#rowOf(key);
    const where = { id: key.id, revision: key.revision - 1 };
    return [{ update: "keys", where, set: { name, revision, due_at, sealed } }];
  }

  /** The writes that add a version's material. */
  insertVersion(key: Key, version: number, material: Material): Write[] {
    const createdAt = key.versions.find((record) => record.version === version)?.createdAt ?? key.createdAt;
    const row = {
      key_id: key.id,
      version,
      created_at: createdAt,
      sealed: this.#barrier.seal(materialPlace(key, version), encodeMaterial(material)),
      usage_sealed: this.#sealUsage(key, version, 0, 0),
      usage_revision: 0,
    };
    return [{ insert: "key_versions", row }];
  }

  /** The writes that take a key's material away. */
  removeVersions(key: Key): Write[] {
    return [{ delete: "key_versions", where: { key_id: key.id }, expect: "any" }];
  }

  /** Keys whose time came after another one by their rows, earliest first; not opened, so that a bad record hides no other. */
  async due(now: string, after: string, rows: number): Promise<(KeyHandle & { readonly dueAt: string })[]> {
    const found = await this.#store.select({ from: "keys", orderBy: "due_at", after, limit: rows });
    return found.flatMap(({ id, project_id: projectId, due_at: dueAt }) =>
      dueAt !== null && dueAt <= now ? [{ id, projectId, dueAt }] : [],
    );
  }

  /** The material of one version; undefined where the key has no such version. */
  async material(key: Key, version: number): Promise<Material | undefined> {
    if (!key.versions.some((record) => record.version === version)) return undefined;
    const row = await this.#versionRow(key, version);
    return decodeMaterial(this.#barrier.open(materialPlace(key, version), row.sealed));
  }

  /** One version opened for use; undefined where the key has no such version. */
  async openVersion(key: Key, version: number): Promise<OpenedVersion | undefined> {
    const material = await this.material(key, version);
    if (material === undefined) return undefined;
    const algorithm = keyAlgorithm(key);
    const max = algorithm.family === "cipher" ? algorithm.noncesMax : undefined;
    const noncesMax = max === undefined ? undefined : (this.#noncesMax ?? max);
    const nonces = noncesMax === undefined ? undefined : await this.#nonceCounter(key, version, noncesMax);
    // Spelt out member by member, so that all opened versions have one shape.
    const opened = await this.providers.of(key.provider).open(key, material);
    return { ...opened, version, nonces };
  }

  async #nonceCounter(key: Key, version: number, noncesMax: number): Promise<NonceCounter> {
    const { reserved } = await this.#usage(key, version);
    return new NonceCounter({
      noncesMax,
      reserved,
      reserve: (to) => this.#reserveNonces(key, version, to, noncesMax),
    });
  }

  async #reserveNonces(
    key: Key,
    version: number,
    wanted: number,
    noncesMax: number,
  ): Promise<{ from: number; to: number }> {
    for (;;) {
      const { reserved, revision } = await this.#usage(key, version);
      // Where another process reserved meanwhile, the block is added after its own.
      const to = Math.min(Math.max(wanted, reserved), noncesMax);
      const next = revision + 1;
      const set = { usage_sealed: this.#sealUsage(key, version, to, next), usage_revision: next };
      try {
        const where = { key_id: key.id, version, usage_revision: revision };
        await this.#store.commit([{ update: "key_versions", where, set }]);
        return { from: reserved, to };
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
      }
    }
  }

  async #usage(key: Key, version: number): Promise<{ reserved: number; revision: number }> {
    const { usage_sealed: sealed, usage_revision: revision } = await this.#versionRow(key, version);
    const { reserved } = this.#barrier.openJson<{ reserved: number }>(
      usagePlace(key, version, revision),
      sealed,
    );
    return { reserved, revision };
  }

  #sealUsage(key: Key, version: number, reserved: number, revision: number): Uint8Array {
    return this.#barrier.sealJson(usagePlace(key, version, revision), { reserved });
  }

  async #versionRow(key: Key, version: number): Promise<Schema["key_versions"]> {
    const [row] = await this.#store.select({ from: "key_versions", where: { key_id: key.id, version } });
    if (row === undefined)
      throw new KeysteadError("internal_error", { cause: new Error("a key version's row is gone") });
    return row;
  }

  #rowOf(key: Key): Schema["keys"] {
    const { id, projectId, revision, ...record } = key;
    const sealed = this.#barrier.sealJson(keyPlace(projectId, id, revision), record satisfies KeyRecord);
    return {
      id,
      project_id: projectId,
      name: key.name,
      revision,
      created_at: key.createdAt,
      due_at: keyDueAt(key),
      sealed,
    };
  }

  #open(row: Schema["keys"]): Key {
    const { id, project_id: projectId, revision } = row;
    const record = this.#barrier.openJson<KeyRecord>(keyPlace(projectId, id, revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a key's row was renamed outside the service"),
      });
    }
    return { ...record, id, projectId, revision };
  }
}

/** Where a key's record belongs. */
export function keyPlace(project: string, id: string, revision: number): RecordPlace {
  return { project, kind: "key", id, revision, field: "record" };
}

/** Where a version's material belongs. */
export function materialPlace(key: KeyHandle, version: number): RecordPlace {
  return { project: key.projectId, kind: "key-version", id: key.id, revision: version, field: "material" };
}

/** Where a version's nonce count belongs; it has a revision of its own. */
export function usagePlace(key: KeyHandle, version: number, revision: number): RecordPlace {
  return { project: key.projectId, kind: "key-usage", id: `${key.id}/${version}`, revision, field: "nonces" };
}
