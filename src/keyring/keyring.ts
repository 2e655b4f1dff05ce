/**
 * The keyring: makes keys, finds them, changes them, and hands out their opened versions.
 * Invariant: a change is committed with its audit entry at the next revision, or not at all; two concurrent rotations
 * make two versions. What is remembered is bounded, and dropped or replaced at the moment a change is durable.
 */
import { algorithmOf, purposesOf, type KeyPurpose, type KeyType } from "../crypto/catalogue.ts";
import type { ImportedKey, Material } from "../crypto/material.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { CommitChange } from "../audit/change.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { IsVisible, Slice } from "../storage/slice.ts";
import { StoreConflict, type Write } from "../storage/store.ts";
import type { KeyStore } from "./key-store.ts";
import { keyAlgorithm, latestVersion, nextRotationMs, type Key, type KeyHandle } from "./key.ts";
import { assertAllowed } from "./key-states.ts";
import {
  assertRotates,
  destroying,
  destroyingWithProject,
  updating,
  type KeyUpdate,
  type Step,
} from "./lifecycle.ts";
import type { OpenedVersion } from "./opened-version.ts";

/** Keys and opened versions that are remembered, each. */
const CACHE_ENTRIES = 20_000;
/** Tries of a change that keeps meeting changes of other processes. */
const CONFLICT_TRIES = 8;

const keyIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export interface KeySpec {
  readonly name: string;
  readonly type: KeyType;
  /** One of the type's purposes; its first where it is absent. */
  readonly purpose?: KeyPurpose | undefined;
  readonly exportable: boolean;
  readonly description?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly rotationPeriodDays?: number | undefined;
  /** The material to take in; fresh material is made where it is absent. */
  readonly imported?: ImportedKey | undefined;
}

export interface KeyringOptions {
  readonly keys: KeyStore;
  /** True where no other process changes the database. */
  readonly exclusive: boolean;
  /** The time, milliseconds: what is due is looked at by it. */
  readonly now: () => number;
  /** How a rotation that nobody asked for is committed: the nonces of a version are used up. */
  commitOwnRotation(key: Key): CommitChange;
}

export class Keyring {
  readonly keyCache: RecordCache<Key>;
  readonly versionCache: RecordCache<OpenedVersion>;
  readonly #options: KeyringOptions;
  /** The version that a remembered key encrypts with, without a look-up by text; it goes with the key. */
  readonly #latest = new WeakMap<Key, OpenedVersion>();
  readonly #changes = new SerialQueue();

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.keyCache = new RecordCache({
      entriesMax: CACHE_ENTRIES,
      ageMsMax: recordAgeMsMax(options),
    });
    // A version's material never changes; whether it may be used is asked of the key each time.
    this.versionCache = new RecordCache({ entriesMax: CACHE_ENTRIES, ageMsMax: undefined });
  }

  /** The key of this name or id. Throws `key_not_found`. Without a promise where it is at hand. */
  get(projectId: string, handle: string): Key | Promise<Key> {
    return this.keyCache.peek(cacheHandle(projectId, handle)) ?? this.#load(projectId, handle);
  }

  /** A stretch of the project's keys in the byte order of their names. */
  list(projectId: string, afterName: string, rows: number, isVisible: IsVisible): Promise<Slice<Key>> {
    return this.#options.keys.list(projectId, afterName, rows, isVisible);
  }

  /** Makes a key with its first version. Throws `key_exists`, `invalid_name`, `invalid_key_material`. */
  async create(projectId: string, spec: KeySpec, commit: CommitChange): Promise<Key> {
    // A name in the form of an id could stand for two keys at once.
    if (isKeyId(spec.name))
      throw new KeysteadError("invalid_name", { detail: "a name may not look like an id" });
    const purpose = spec.purpose ?? purposesOf(spec.type)[0];
    const algorithm = algorithmOf(spec.type, purpose);
    const material =
      spec.imported === undefined ? await algorithm.generate() : await algorithm.import(spec.imported);
    const createdAt = this.#nowText();
    const publicOnly = material.form === "spki";
    const { description, labels, rotationPeriodDays } = spec;
    if (rotationPeriodDays !== undefined) assertRotates({ exportable: spec.exportable, publicOnly });
    const key: Key = {
      id: randomId(),
      projectId,
      revision: 1,
      name: spec.name,
      type: spec.type,
      purpose,
      state: "enabled",
      createdAt,
      exportable: spec.exportable,
      publicOnly,
      ...(description === undefined ? {} : { description }),
      ...(labels === undefined ? {} : { labels }),
      ...(rotationPeriodDays === undefined ? {} : { rotationPeriodDays }),
      versions: [{ version: 1, createdAt }],
    };
    try {
      await commit(this.#options.keys.insert(key, material), { resource: `key:${key.name}`, version: 1 });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("key_exists") : error;
    }
    this.#remember(key);
    return key;
  }

  /**
   * Adds a version with fresh material, which encrypts and signs from then on.
   * @param isDue asked of the key as it is when the change is made; where it says no, the key is left as it is
   */
  async rotate(
    projectId: string,
    handle: string,
    commit: CommitChange,
    isDue: (key: Key) => boolean = () => true,
  ): Promise<Key> {
    // Made once: a try that lost against another writer uses it for the number after the winner's.
    let material: Material | undefined;
    return this.#change(projectId, handle, commit, async (key) => {
      if (!isDue(key)) return undefined;
      assertAllowed(key.state, "rotate");
      if (key.publicOnly) throw new KeysteadError("key_public_only");
      material ??= await keyAlgorithm(key).generate();
      return this.#withVersion({ ...key, revision: key.revision + 1 }, material);
    });
  }

  /** Rotates the key if its period is over; somebody may have done it meanwhile. */
  rotateDue(projectId: string, id: string, commit: CommitChange): Promise<Key> {
    return this.rotate(
      projectId,
      id,
      commit,
      (key) => (nextRotationMs(key) ?? Infinity) <= this.#options.now(),
    );
  }

  /**
   * Changes what a key's keepers may change. A cipher key that is exportable no more gets a fresh version with it: nonces
   * of the versions before were drawn elsewhere, uncounted.
   */
  update(projectId: string, handle: string, update: KeyUpdate, commit: CommitChange): Promise<Key> {
    const step = updating(update);
    let material: Material | undefined;
    return this.#change(projectId, handle, commit, async (key) => {
      const next = step(key, this.#options.now());
      if (next === key) return undefined;
      if (!key.exportable || next.exportable || keyAlgorithm(key).family !== "cipher") {
        return { next, writes: this.#options.keys.update(next), version: 0 };
      }
      material ??= await keyAlgorithm(key).generate();
      return this.#withVersion({ ...next, uncountedUpTo: latestVersion(key) }, material);
    });
  }

  /** Takes a key one step further in its life; a step that changes nothing commits nothing. */
  change(projectId: string, handle: string, step: Step, commit: CommitChange, version = 0): Promise<Key> {
    return this.#change(projectId, handle, commit, (key) => {
      const next = step(key, this.#options.now());
      if (next === key) return Promise.resolve(undefined);
      return Promise.resolve({ next, writes: this.#options.keys.update(next), version });
    });
  }

  /**
   * Removes the material of a key whose deletion is due; its record stays, without its name. The job that asks for it
   * sees to it that no file holds the material any more.
   * Throws `conflict` where it is not due any more.
   */
  destroy(projectId: string, id: string, commit: CommitChange): Promise<Key> {
    return this.#destroy(projectId, id, commit, destroying);
  }

  /** The same, whatever its state: its project goes. */
  destroyWithProject(projectId: string, id: string, commit: CommitChange): Promise<Key> {
    return this.#destroy(projectId, id, commit, destroyingWithProject);
  }

  async #destroy(projectId: string, id: string, commit: CommitChange, step: Step): Promise<Key> {
    const { keys } = this.#options;
    const destroyed = await this.#change(projectId, id, commit, (key) => {
      const next = step(key, this.#options.now());
      if (next === key) return Promise.resolve(undefined);
      return Promise.resolve({
        next,
        writes: [...keys.update(next), ...keys.removeVersions(key)],
        version: 0,
      });
    });
    for (const { version } of destroyed.versions) this.versionCache.forget(`${id}/${version}`);
    return destroyed;
  }

  /** Keys that a job may have something to do with, earliest first, at most `rows`. */
  async due(rows: number): Promise<KeyHandle[]> {
    return this.#options.keys.due(new Date(this.#options.now()).toISOString(), rows);
  }

  /** A version opened for use; undefined where the key has none of that number. Without a promise where it is at hand. */
  version(key: Key, version: number): OpenedVersion | undefined | Promise<OpenedVersion | undefined> {
    const latest = this.#latest.get(key);
    if (latest?.version === version) return latest;
    const handle = `${key.id}/${version}`;
    const opened = this.versionCache.peek(handle);
    if (opened !== undefined) {
      if (version === latestVersion(key)) this.#latest.set(key, opened);
      return opened;
    }
    return this.versionCache.get(handle, () => this.#options.keys.openVersion(key, version));
  }

  /** The stored material of a version, for export. Throws `key_version_not_found`. */
  async material(key: Key, version: number): Promise<Material> {
    const material = await this.#options.keys.material(key, version);
    if (material === undefined) throw new KeysteadError("key_version_not_found");
    return material;
  }

  /** Rotates a key whose latest version has used up its nonces; concurrent calls make one version. */
  async rotateSpent(key: Key): Promise<Key> {
    const current = await this.get(key.projectId, key.id);
    if (latestVersion(current) > latestVersion(key)) return current;
    return this.#changes.run(`spent/${key.id}`, async () => {
      const again = await this.get(key.projectId, key.id);
      if (latestVersion(again) > latestVersion(key)) return again;
      return this.rotate(key.projectId, key.id, this.#options.commitOwnRotation(key));
    });
  }

  /** The change that gives a key, which is at its next revision already, one version more. */
  #withVersion(key: Key, material: Material): Planned {
    const version = latestVersion(key) + 1;
    const next: Key = { ...key, versions: [...key.versions, { version, createdAt: this.#nowText() }] };
    const { keys } = this.#options;
    return { next, writes: [...keys.update(next), ...keys.insertVersion(next, version, material)], version };
  }

  /** Runs a change until it meets no other writer. A plan that gives nothing leaves the key as it is. */
  async #change(
    projectId: string,
    handle: string,
    commit: CommitChange,
    plan: (key: Key) => Promise<Planned | undefined>,
  ): Promise<Key> {
    const { id } = await this.get(projectId, handle);
    return this.#changes.run(id, async () => {
      for (let tries = 0; tries < CONFLICT_TRIES; tries++) {
        const key = await this.#current(projectId, id);
        const planned = await plan(key);
        if (planned === undefined) return key;
        const { next, writes, version } = planned;
        const facts = { resource: `key:${key.name}`, version };
        try {
          await commit(writes, facts);
        } catch (error) {
          // Whatever went wrong, only the database knows the key's state now.
          this.#forget(key);
          if (error instanceof StoreConflict && error.table !== "idempotency") continue;
          throw error;
        }
        this.#forget(key);
        this.#remember(next);
        return next;
      }
      throw new KeysteadError("conflict");
    });
  }

  /** The key as the database has it: a change that seems to change nothing must not be judged by what was remembered. */
  async #current(projectId: string, id: string): Promise<Key> {
    if (this.#options.exclusive) return this.get(projectId, id);
    const key = await this.#options.keys.find(projectId, { id });
    if (key === undefined) throw new KeysteadError("key_not_found");
    return key;
  }

  async #load(projectId: string, handle: string): Promise<Key> {
    // Only canonical handles are ever remembered: an id in capitals must not outlive a change to its key.
    const id = isKeyId(handle) ? handle.toLowerCase() : undefined;
    const key = await this.keyCache.get(cacheHandle(projectId, id ?? handle), () =>
      this.#options.keys.find(projectId, id === undefined ? { name: handle } : { id }),
    );
    if (key === undefined) throw new KeysteadError("key_not_found");
    return key;
  }

  #nowText(): string {
    return new Date(this.#options.now()).toISOString();
  }

  #remember(key: Key): void {
    this.keyCache.set(cacheHandle(key.projectId, key.name), key);
    this.keyCache.set(cacheHandle(key.projectId, key.id), key);
  }

  #forget(key: Key): void {
    this.keyCache.forget(cacheHandle(key.projectId, key.name));
    this.keyCache.forget(cacheHandle(key.projectId, key.id));
  }
}

interface Planned {
  readonly next: Key;
  readonly writes: readonly Write[];
  /** The version made or changed, for the audit entry; 0 for none. */
  readonly version: number;
}

/** Whether a handle has the form of an id; no name has. */
export function isKeyId(handle: string): boolean {
  return handle.length === 36 && keyIdPattern.test(handle);
}

function cacheHandle(projectId: string, handle: string): string {
  return `${projectId}/${handle}`;
}
