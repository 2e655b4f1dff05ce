/**
 * The keyring: makes keys, finds them, changes them, and hands out their opened versions.
 * Invariant: a change is committed with its audit entry at the next revision, or not at all; two concurrent rotations
 * make two versions. What is remembered is bounded, and dropped or replaced at the moment a change is durable.
 */
import type { SecretBytes } from "../bytes.ts";
import { purposesOf, type KeyPurpose, type KeyType } from "../crypto/catalogue.ts";
import type { ExportedMaterial, ImportedKey, KeyFormat, Material } from "../crypto/material.ts";
import type { CryptoProvider, KeyKind } from "../crypto/provider.ts";
import { capabilityFor } from "../crypto/providers.ts";
import { jwkThumbprint } from "../crypto/jwk-thumbprint.ts";
import { SOFTWARE } from "../crypto/software-provider.ts";
import { randomId } from "../crypto/random.ts";
import { asKeysteadError, KeysteadError } from "../errors.ts";
import type { CommitChange } from "../audit/change.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { IsVisible, Slice } from "../storage/slice.ts";
import { StoreConflict, type Write } from "../storage/store.ts";
import { ALIASES_MAX, THUMBPRINT, type KeyAlias, type KeyAliases, type NewAlias } from "./key-aliases.ts";
import type { KeyStore } from "./key-store.ts";
import { keyAlgorithm, latestVersion, nextRotationMs, type Key, type KeyHandle } from "./key.ts";
import { assertAllowed } from "./key-states.ts";
import {
  assertRotates,
  cancellingDeletion,
  destroying,
  destroyingWithProject,
  schedulingDeletion,
  updating,
  type KeyUpdate,
  type Step,
} from "./lifecycle.ts";
import type { OpenedVersion } from "./opened-version.ts";

/** Keys and opened versions that are remembered, each. */
const CACHE_ENTRIES = 20_000;
/** Versions of a key: all of them stand in its record, which every rotation writes anew and every list shows. */
export const VERSIONS_MAX = 10_000;
/** Tries of a change that keeps meeting changes of other processes. */
const CONFLICT_TRIES = 8;

const keyIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export interface KeySpec {
  readonly name: string;
  readonly type: KeyType;
  /** One of the type's purposes; its first where it is absent. */
  readonly purpose?: KeyPurpose | undefined;
  /** Who makes and opens its material; the default provider where it is absent. */
  readonly provider?: string | undefined;
  readonly exportable: boolean;
  /** As in `KeyRecord`. */
  readonly dek?: true | undefined;
  readonly description?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly rotationPeriodDays?: number | undefined;
  /** The material to take in; fresh material is made where it is absent. */
  readonly imported?: ImportedKey | undefined;
  /** Further names, of other APIs. */
  readonly aliases?: readonly NewAlias[] | undefined;
  /** Enabled unless given. */
  readonly state?: "enabled" | "disabled" | undefined;
}

/** What an update changes beside the record's own fields. */
export interface NameChanges {
  /** The one shown alias of a scheme: another text in its place, or none. */
  readonly alias?: { readonly scheme: string; readonly text: string | undefined } | undefined;
  /** Asked with the name that a key has when it is given another: throws where that may not be. */
  readonly assertRename?: ((from: string) => void) | undefined;
}

export interface KeyringOptions {
  readonly keys: KeyStore;
  readonly aliases: KeyAliases;
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
  /** Versions of keys that are handed out. */
  readonly dekCache: RecordCache<SecretBytes>;
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
    this.dekCache = new RecordCache({ entriesMax: CACHE_ENTRIES, ageMsMax: undefined });
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
    assertName(spec.name);
    const purpose = spec.purpose ?? purposesOf(spec.type)[0];
    const kind: KeyKind = { type: spec.type, purpose };
    const provider = this.#options.keys.providers.forNew(spec.provider);
    const { imports } = capabilityFor(provider, kind);
    if (spec.exportable && provider.exportKey === undefined) {
      throw new KeysteadError("invalid_body", {
        field: "exportable",
        detail: "keys of this provider never leave it",
      });
    }
    if (spec.imported !== undefined && !imports) {
      throw new KeysteadError("invalid_body", {
        field: "provider",
        detail: "the provider takes no keys of this type from outside",
      });
    }
    const { description, exportable, labels, rotationPeriodDays } = spec;
    const dek = spec.dek === true ? { dek: true as const } : {};
    // Whatever can be told before is told before: a provider may keep what it made.
    if (rotationPeriodDays !== undefined) assertRotates({ exportable, publicOnly: false, ...dek });
    const asked: KeyAlias[] = [];
    for (const alias of spec.aliases ?? []) asked.push(await this.#options.aliases.listed(projectId, alias));
    const material =
      spec.imported === undefined
        ? await provider.generate(kind)
        : await provider.import(kind, spec.imported);
    const createdAt = this.#nowText();
    const publicOnly = material.form === "spki";
    if (rotationPeriodDays !== undefined) {
      // A public part alone is kept by no provider.
      assertRotates({ exportable, publicOnly, ...dek });
    }
    const bare: Key = {
      id: randomId(),
      projectId,
      revision: 1,
      name: spec.name,
      type: spec.type,
      purpose,
      ...(provider.name === SOFTWARE ? {} : { provider: provider.name }),
      state: spec.state ?? "enabled",
      createdAt,
      exportable,
      ...dek,
      publicOnly,
      ...(description === undefined ? {} : { description }),
      ...(labels === undefined ? {} : { labels }),
      ...(rotationPeriodDays === undefined ? {} : { rotationPeriodDays }),
      versions: [{ version: 1, createdAt }],
    };
    for (let tries = 1; ; tries++) {
      const aliases = [...asked, ...(await this.#freeThumbprint(bare, 1, material))];
      const key: Key = aliases.length === 0 ? bare : { ...bare, aliases };
      try {
        const writes = [...this.#options.keys.insert(key, material), ...this.#aliasWrites(key, aliases)];
        await commit(writes, { resource: `key:${key.name}`, version: 1 });
        this.#remember(key);
        return key;
      } catch (error) {
        if (!isNotStored(error)) throw error;
        // The same public key may have come in twice at one moment: then its thumbprint is the other's.
        const isConflict = error instanceof StoreConflict;
        if (
          isConflict &&
          error.table === "key_aliases" &&
          aliases.length > asked.length &&
          tries < CONFLICT_TRIES
        )
          continue;
        await provider.destroy?.(kind, material);
        throw isConflict ? new KeysteadError("key_exists") : error;
      }
    }
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
    return this.#changeWithMaterial(projectId, handle, commit, async (key, material) => {
      if (!isDue(key)) return undefined;
      assertAllowed(key.state, "rotate");
      if (key.publicOnly) throw new KeysteadError("key_public_only");
      assertRoom(key);
      return this.#withVersion({ ...key, revision: key.revision + 1 }, await material());
    });
  }

  /**
   * Adds a version with material from outside, which encrypts and signs from then on.
   * @param wanted the number that the version shall have; throws `conflict` where another one is next
   */
  importVersion(
    projectId: string,
    handle: string,
    imported: ImportedKey,
    wanted: number | undefined,
    commit: CommitChange,
  ): Promise<Key> {
    return this.#changeWithMaterial(
      projectId,
      handle,
      commit,
      async (key, made) => {
        assertNext(key, wanted);
        assertAllowed(key.state, "rotate");
        assertRoom(key);
        const material = await made();
        if ((material.form === "spki") !== key.publicOnly) throw new KeysteadError("invalid_key_material");
        return this.#withVersion({ ...key, revision: key.revision + 1 }, material);
      },
      async (provider, key) => {
        if (!capabilityFor(provider, key).imports) throw new KeysteadError("key_usage");
        return provider.import(key, imported);
      },
    );
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
  update(
    projectId: string,
    handle: string,
    update: KeyUpdate,
    commit: CommitChange,
    { alias, assertRename }: NameChanges = {},
  ): Promise<Key> {
    const step = updating(update);
    return this.#changeWithMaterial(projectId, handle, commit, async (key, material) => {
      const updated = step(key, this.#options.now());
      if (updated.name !== key.name) {
        assertRename?.(key.name);
        assertName(updated.name);
        if (await this.#options.keys.hasName(projectId, updated.name)) throw new KeysteadError("key_exists");
      }
      const { next, writes } = await this.#withAlias(key, updated, alias);
      if (next === key) return undefined;
      if (!key.exportable || next.exportable || keyAlgorithm(key).family !== "cipher") {
        return { next, writes: [...this.#options.keys.update(next), ...writes], version: 0 };
      }
      assertRoom(key);
      const versioned = await this.#withVersion(
        { ...next, uncountedUpTo: latestVersion(key) },
        await material(),
      );
      return { ...versioned, writes: [...versioned.writes, ...writes] };
    });
  }

  /**
   * Gives a key one more name. Throws `key_exists` where another key has it, `limit_reached`. One that it has already
   * changes nothing, or only the version that it names.
   */
  async addAlias(projectId: string, handle: string, alias: NewAlias, commit: CommitChange): Promise<Key> {
    const { aliases, keys } = this.#options;
    const added = await aliases.listed(projectId, alias);
    return this.#change(projectId, handle, commit, async (key) => {
      assertAllowed(key.state, "update");
      const before = key.aliases ?? [];
      const same = before.find(({ id }) => id === added.id);
      if (same !== undefined && same.version === added.version) return undefined;
      const others = before.filter((listed) => listed !== same);
      const next = { ...key, revision: key.revision + 1, aliases: [...others, added] };
      if (same !== undefined) return { next, writes: keys.update(next), version: 0 };
      if ((await aliases.find(projectId, added.id)) !== undefined) throw new KeysteadError("key_exists");
      if (before.filter(({ scheme }) => scheme === alias.scheme).length >= ALIASES_MAX)
        throw new KeysteadError("limit_reached", { detail: "a key has no more names of one API" });
      return { next, writes: [...keys.update(next), ...this.#aliasWrites(key, [added])], version: 0 };
    });
  }

  /** The id of the key that has a name of another API; undefined where none has. */
  async idOfAlias(projectId: string, scheme: string, text: string): Promise<string | undefined> {
    return (await this.ofAlias(projectId, scheme, text))?.keyId;
  }

  /** The same, with the version that the name stands for; undefined stands for whichever is the latest. */
  async ofAlias(
    projectId: string,
    scheme: string,
    text: string,
  ): Promise<{ readonly keyId: string; readonly version: number | undefined } | undefined> {
    let listed: KeyAlias | undefined;
    const target = await this.#options.aliases.target(projectId, scheme, text, async ({ id, keyId }) => {
      const key = await this.get(projectId, keyId);
      listed = key.aliases?.find((alias) => alias.id === id);
      return key.deletion?.freedNames !== true && listed !== undefined;
    });
    return target === undefined ? undefined : { keyId: target.keyId, version: listed?.version };
  }

  /** The id that begins like this; undefined where the project has none. */
  idWithPrefix(projectId: string, prefix: string): Promise<string | undefined> {
    return this.#options.keys.idWithPrefix(projectId, prefix);
  }

  /**
   * Has a key destroyed in so many days.
   * @param freesNames its names may be given to others at once
   */
  scheduleDeletion(
    projectId: string,
    handle: string,
    days: number,
    freesNames: boolean,
    commit: CommitChange,
  ): Promise<Key> {
    const { aliases, keys } = this.#options;
    const step = schedulingDeletion(days, freesNames);
    return this.#change(projectId, handle, commit, (key) => {
      const next = step(key, this.#options.now());
      const writes = keys.update(next);
      if (freesNames) writes.push(aliases.removeAll(key.id));
      return Promise.resolve({ next, writes, version: 0 });
    });
  }

  /**
   * Keeps a key that was to be destroyed. Where its names were freed, it has those again that nobody took meanwhile; in
   * the place of a taken one it is named `restored-` and its id.
   */
  cancelDeletion(projectId: string, handle: string, commit: CommitChange): Promise<Key> {
    const { keys } = this.#options;
    return this.#change(projectId, handle, commit, async (key) => {
      if (key.deletion?.freedNames !== true) {
        const next = cancellingDeletion(undefined)(key, this.#options.now());
        return { next, writes: keys.update(next), version: 0 };
      }
      const before = key.nameBefore ?? "";
      const isTaken = before === "" || (await keys.hasName(projectId, before));
      const free: KeyAlias[] = [];
      for (const alias of key.aliases ?? [])
        if ((await this.#options.aliases.find(projectId, alias.id)) === undefined) free.push(alias);
      const name = isTaken ? `restored-${key.id}` : before;
      const names = free.length === 0 ? { name } : { name, aliases: free };
      const next = cancellingDeletion(names)(key, this.#options.now());
      return { next, writes: [...keys.update(next), ...this.#aliasWrites(key, free)], version: 0 };
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
    const destroyed = await this.#change(projectId, id, commit, async (key) => {
      const next = step(key, this.#options.now());
      if (next === key) return undefined;
      // Before the record forgets what the provider knows the key by: where either fails, the job does both again.
      await this.#destroyAtProvider(key);
      const writes = [
        ...keys.update(next),
        ...keys.removeVersions(key),
        this.#options.aliases.removeAll(key.id),
      ];
      return { next, writes, version: 0 };
    });
    for (const { version } of destroyed.versions) {
      this.versionCache.forget(`${id}/${version}`);
      this.dekCache.forget(`${id}/${version}`);
    }
    return destroyed;
  }

  /** Keys that a job may have something to do with since after a time, earliest first, at most `rows`. */
  async due(after: string, rows: number): Promise<(KeyHandle & { readonly dueAt: string })[]> {
    return this.#options.keys.due(new Date(this.#options.now()).toISOString(), after, rows);
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

  /** The raw bytes of a version, remembered, to be handed out. Throws `key_version_not_found`. */
  dekBytes(key: Key, version: number): SecretBytes | Promise<SecretBytes> {
    const handle = `${key.id}/${version}`;
    return this.dekCache.peek(handle) ?? this.#loadDek(handle, key, version);
  }

  /** The stored material of a version, for export. Throws `key_version_not_found`. */
  async material(key: Key, version: number): Promise<Material> {
    const material = await this.#options.keys.material(key, version);
    if (material === undefined) throw new KeysteadError("key_version_not_found");
    return material;
  }

  /** Material in a format, as its provider gives it. Throws `key_not_exportable` where nothing leaves the provider. */
  async exportKey(key: Key, material: Material, format: KeyFormat): Promise<ExportedMaterial> {
    const provider = this.#providerOf(key);
    if (provider.exportKey === undefined) throw new KeysteadError("key_not_exportable");
    return provider.exportKey(key, material, format);
  }

  /** Whether keys may leave the provider of a new key. Throws `invalid_body` for one that is not there. */
  letsExport(provider: string | undefined): boolean {
    return this.#options.keys.providers.forNew(provider).exportKey !== undefined;
  }

  /** Rotates a key whose latest version has used up its nonces; concurrent calls make one version, on whichever node. */
  async rotateSpent(key: Key): Promise<Key> {
    const current = await this.get(key.projectId, key.id);
    if (latestVersion(current) > latestVersion(key)) return current;
    return this.#changes.run(`spent/${key.id}`, async () => {
      const again = await this.get(key.projectId, key.id);
      if (latestVersion(again) > latestVersion(key)) return again;
      const isSpent = (now: Key): boolean => latestVersion(now) === latestVersion(key);
      return this.rotate(key.projectId, key.id, this.#options.commitOwnRotation(key), isSpent);
    });
  }

  async #loadDek(handle: string, key: Key, version: number): Promise<SecretBytes> {
    const bytes = await this.dekCache.get(handle, async () => {
      const exported = await this.exportKey(key, await this.material(key, version), "raw");
      return exported.format === "raw" ? exported.bytes : undefined;
    });
    if (bytes === undefined) throw new KeysteadError("key_not_exportable");
    return bytes;
  }

  #aliasWrites(key: Key, aliases: readonly KeyAlias[]): Write[] {
    return aliases.map((alias) => this.#options.aliases.insert(key.projectId, key.id, alias));
  }

  /** The key after an update, with another alias in the place of the one that it had in a scheme. */
  async #withAlias(
    key: Key,
    updated: Key,
    wanted: NameChanges["alias"],
  ): Promise<{ readonly next: Key; readonly writes: Write[] }> {
    const before = key.aliases ?? [];
    const old = before.filter(({ scheme, text }) => scheme === wanted?.scheme && text !== undefined);
    if (wanted === undefined || (old.length < 2 && old[0]?.text === wanted.text))
      return { next: updated, writes: [] };
    const { aliases } = this.#options;
    const { scheme, text } = wanted;
    const writes = old.map((alias) => aliases.remove(key.id, alias));
    const kept = before.filter((alias) => !old.includes(alias));
    if (text !== undefined) {
      const added = await aliases.listed(key.projectId, { scheme, text, isShown: true });
      if ((await aliases.find(key.projectId, added.id)) !== undefined) throw new KeysteadError("key_exists");
      writes.push(...this.#aliasWrites(key, [added]));
      kept.push(added);
    }
    return { next: { ...updated, revision: key.revision + 1, aliases: kept }, writes };
  }

  #providerOf(key: Key): CryptoProvider {
    return this.#options.keys.providers.of(key.provider);
  }

  async #destroyAtProvider(key: Key): Promise<void> {
    if (key.provider === undefined) return;
    const provider = this.#providerOf(key);
    if (provider.destroy === undefined) return;
    for (const { version } of key.versions) await provider.destroy(key, await this.material(key, version));
  }

  /** The change that gives a key, which is at its next revision already, one version more. */
  async #withVersion(key: Key, material: Material): Promise<Planned> {
    const version = latestVersion(key) + 1;
    const versions = [...key.versions, { version, createdAt: this.#nowText() }];
    const added = await this.#freeThumbprint(key, version, material);
    const next: Key =
      added.length === 0
        ? { ...key, versions }
        : { ...key, versions, aliases: [...(key.aliases ?? []), ...added] };
    const { keys } = this.#options;
    const writes = [
      ...keys.update(next),
      ...keys.insertVersion(next, version, material),
      ...this.#aliasWrites(next, added),
    ];
    return { next, writes, version };
  }

  /** The thumbprint of a version's public key as its alias; none where it has none, or where another version has it. */
  async #freeThumbprint(key: Key, version: number, material: Material): Promise<KeyAlias[]> {
    const { aliases } = this.#options;
    const text = await this.#thumbprintOf(key, material);
    if (text === undefined) return [];
    const alias = await aliases.listed(key.projectId, { scheme: THUMBPRINT, text, isShown: false, version });
    return (await aliases.find(key.projectId, alias.id)) === undefined ? [alias] : [];
  }

  async #thumbprintOf(key: Key, material: Material): Promise<string | undefined> {
    if (!hasPublicKey(key)) return undefined;
    try {
      const { key: opened } = await this.#providerOf(key).open(key, material);
      return "publicKeyJwk" in opened ? jwkThumbprint(opened.publicKeyJwk()) : undefined;
    } catch {
      // A key that was made is not lost because its provider cannot open it at this moment: it goes by its id.
      return undefined;
    }
  }

  /**
   * As `#change`, with fresh material for whoever asks. It is made once: a try that lost against another writer uses it for
   * the number after the winner's. Where every try lost, or the change was refused, its provider takes it back.
   */
  async #changeWithMaterial(
    projectId: string,
    handle: string,
    commit: CommitChange,
    plan: (key: Key, material: () => Promise<Material>) => Promise<Planned | undefined>,
    make: (provider: CryptoProvider, key: Key) => Material | Promise<Material> = (provider, key) =>
      provider.generate(key),
  ): Promise<Key> {
    let made: { readonly key: Key; readonly material: Material } | undefined;
    try {
      return await this.#change(projectId, handle, commit, (key) =>
        plan(key, async () => {
          made ??= { key, material: await make(this.#providerOf(key), key) };
          return made.material;
        }),
      );
    } catch (error) {
      if (made !== undefined && isNotStored(error))
        await this.#providerOf(made.key).destroy?.(made.key, made.material);
      throw error;
    }
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
        // A new name stands in the entry, unless it is none but the mark of a freed one.
        const isRenamed = next.name !== key.name && !next.name.startsWith("~");
        const details = isRenamed ? { details: { name: next.name } } : {};
        const facts = { resource: `key:${key.name}`, version, ...details };
        try {
          await commit(writes, facts);
        } catch (error) {
          // Whatever went wrong, only the database knows the key's state now.
          this.#forget(key);
          if (error instanceof StoreConflict) continue;
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

function hasPublicKey(key: Key): boolean {
  const { family } = keyAlgorithm(key);
  return family !== "cipher" && family !== "mac" && family !== "wrap";
}

interface Planned {
  readonly next: Key;
  readonly writes: readonly Write[];
  /** The version made or changed, for the audit entry; 0 for none. */
  readonly version: number;
}

/** Throws `conflict` where the key's next version has another number. */
export function assertNext(key: Key, wanted: number | undefined): void {
  if (wanted !== undefined && wanted !== latestVersion(key) + 1)
    throw new KeysteadError("conflict", { detail: "the next version has another number" });
}

/**
 * Whether it is certain that a change which failed like this was not stored: what it meant to keep may be destroyed. Of a
 * failure of the service's own nobody knows.
 */
function isNotStored(error: unknown): boolean {
  return error instanceof StoreConflict || asKeysteadError(error).status < 500;
}

/** Throws `limit_reached` where the key has as many versions as a key has. */
function assertRoom(key: Key): void {
  if (key.versions.length >= VERSIONS_MAX)
    throw new KeysteadError("limit_reached", { detail: "a key has no more versions" });
}

/** Throws for a name in the form of an id, which could stand for two keys at once. */
function assertName(name: string): void {
  if (isKeyId(name)) throw new KeysteadError("invalid_name", { detail: "a name may not look like an id" });
}

/** Whether a handle has the form of an id; no name has. */
export function isKeyId(handle: string): boolean {
  return handle.length === 36 && keyIdPattern.test(handle);
}

function cacheHandle(projectId: string, handle: string): string {
  return `${projectId}/${handle}`;
}
