/**
 * A bounded memory of opened records, shared by everything that reads one often.
 * Invariant: at most `entriesMax` records are held; a record whose row changed while it was being loaded is never
 * remembered; with `ageMsMax` a record is what storage held at most that long before it was asked for.
 * Eviction is by two generations: reading a record of the old one moves it into the young one, and when the young one
 * is full the old one is dropped. A hit costs one look-up.
 */
interface Entry<T> {
  readonly record: T;
  readonly loadedAt: number;
}

interface Loading<T> {
  readonly record: Promise<T | undefined>;
  readonly since: number;
}

export interface RecordCacheOptions {
  /** At least 2: half for each generation. */
  readonly entriesMax: number;
  /** Milliseconds; undefined where no other process can change the records. */
  readonly ageMsMax: number | undefined;
}

/** Milliseconds: shorter than the published second, which also covers the way of the request. */
const SHARED_AGE_MS_MAX = 900;

/** How long a record may be used unseen: for ever where this process is the only writer of its database. */
export function recordAgeMsMax(store: { readonly exclusive: boolean }): number | undefined {
  return store.exclusive ? undefined : SHARED_AGE_MS_MAX;
}

/** Reads and opens a record; undefined (which is not remembered) where there is none. */
export type LoadRecord<T> = () => Promise<T | undefined>;

export class RecordCache<T> {
  readonly #options: RecordCacheOptions;
  #young = new Map<string, Entry<T>>();
  #old = new Map<string, Entry<T>>();
  readonly #loading = new Map<string, Loading<T>>();
  hits = 0;
  misses = 0;

  constructor(options: RecordCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The record if it is at hand and fresh enough: the way of the hot path, without a promise. */
  peek(handle: string): T | undefined {
    let entry = this.#young.get(handle);
    if (entry === undefined) {
      entry = this.#old.get(handle);
      if (entry === undefined) return undefined;
      this.#old.delete(handle);
      this.#put(handle, entry);
    }
    if (this.#isTooOld(entry.loadedAt)) {
      this.#young.delete(handle);
      return undefined;
    }
    this.hits++;
    return entry.record;
  }

  /** The record, from memory or storage; concurrent calls share one load, unless that has been under way for too long. */
  async get(handle: string, load: LoadRecord<T>): Promise<T | undefined> {
    const record = this.peek(handle);
    if (record !== undefined) return record;
    const loading = this.#loading.get(handle);
    if (loading !== undefined && !this.#isTooOld(loading.since)) return loading.record;
    return this.#load(handle, load);
  }

  /**
   * Takes in what a committed change has made of a record. Where other processes change records too, it is only dropped:
   * since the commit, which is some time ago when its audit entry was slow, another one may have changed it again.
   */
  set(handle: string, record: T): void {
    this.forget(handle);
    if (this.#options.ageMsMax === undefined) this.#put(handle, { record, loadedAt: performance.now() });
  }

  /** Drops a record; a load under way is not remembered when it ends. */
  forget(handle: string): void {
    this.#loading.delete(handle);
    this.#young.delete(handle);
    this.#old.delete(handle);
  }

  #isTooOld(since: number): boolean {
    const { ageMsMax } = this.#options;
    return ageMsMax !== undefined && performance.now() - since > ageMsMax;
  }

  /** Drops the records that it is true for; no load under way is remembered when it ends. */
  forgetWhere(isGone: (record: T) => boolean): void {
    this.#loading.clear();
    for (const generation of [this.#young, this.#old]) {
      for (const [handle, { record }] of generation) if (isGone(record)) generation.delete(handle);
    }
  }

  #load(handle: string, load: LoadRecord<T>): Promise<T | undefined> {
    this.misses++;
    const since = performance.now();
    const isCurrent = (): boolean => this.#loading.get(handle) === loading;
    const record = load()
      .then((found) => {
        if (found !== undefined && isCurrent()) this.#put(handle, { record: found, loadedAt: since });
        return found;
      })
      .finally(() => {
        if (isCurrent()) this.#loading.delete(handle);
      });
    const loading = { record, since };
    this.#loading.set(handle, loading);
    return record;
  }

  #put(handle: string, entry: Entry<T>): void {
    if (this.#young.size >= Math.floor(this.#options.entriesMax / 2)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(handle, entry);
  }
}
