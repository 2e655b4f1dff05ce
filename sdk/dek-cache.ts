/**
 * Data encryption keys in memory, for as long and as often as the limits allow.
 * Invariant: a key is wiped as soon as it is out of the cache and no work runs with it, and never before. One id has one
 * fetch under way at most, and what a fetch brings after its id was dropped is not cached.
 */
import { clearTimeout, setTimeout } from "node:timers";
import { TIMER_MS_MAX } from "./time-limit.ts";

const MS_PER_SECOND = 1000;

/** Any zero means that nothing is cached: each use fetches, and wipes after itself. */
export interface DekCacheOptions {
  /** How long a key is kept after its fetch. */
  readonly ttlSeconds: number;
  /** How many uses a key serves before it is fetched anew. */
  readonly usesMax: number;
  /** How many bytes a key serves before it is fetched anew; one use may be larger. */
  readonly bytesMax: number;
  /** How many keys are kept; the one that was used the longest ago goes first. */
  readonly entriesMax: number;
  /** A clock that only goes forward, in milliseconds; the platform's unless set. */
  readonly now?: (() => number) | undefined;
}

/** 15 minutes, as much as one AES-256-GCM key may well serve with random nonces, and a thousand keys. */
export const dekCacheDefaults: DekCacheOptions = {
  ttlSeconds: 900,
  usesMax: 2 ** 30,
  bytesMax: 2 ** 40,
  entriesMax: 1000,
};

export interface CachedDek {
  /** Wiped at the end. */
  readonly key: Uint8Array;
  /** Wipes what else rides along and is secret. */
  readonly wipe?: () => void;
}

/** A key that is held: not wiped before it is released. */
export interface HeldDek<D extends CachedDek> {
  readonly dek: D;
}

interface Entry {
  readonly id: string;
  readonly dek: CachedDek;
  readonly expiresAt: number;
  uses: number;
  bytes: number;
  /** How many works run with it. */
  holders: number;
  cached: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class DekCache {
  readonly #options: DekCacheOptions;
  readonly #enabled: boolean;
  readonly #now: () => number;
  /** The longest unused first. */
  readonly #entries = new Map<string, Entry>();
  readonly #fetches = new Map<string, Promise<Entry>>();
  /** The one at the end of the entries: to use it again moves nothing. */
  #newest: Entry | undefined;

  constructor(options: DekCacheOptions) {
    const limits = [options.ttlSeconds, options.usesMax, options.bytesMax, options.entriesMax];
    if (limits.some((limit) => Number.isNaN(limit) || limit < 0)) {
      throw new RangeError("The limits of a key cache are numbers from 0 on");
    }
    this.#options = options;
    this.#enabled = limits.every((limit) => limit > 0);
    this.#now = options.now ?? (() => performance.now());
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Runs `work` with the key of `id`, which it fetches where it is not cached. Counts one use and `bytes` bytes. Callers
   * that miss at the same time share one fetch, and its failure.
   * @param id names everything that the key is for: project, key and context
   * @param fetch belongs to all who wait for it: it must not end when one of them gives up
   */
  async use<D extends CachedDek, T>(
    id: string,
    bytes: number,
    fetch: () => Promise<D>,
    work: (dek: D) => T | Promise<T>,
  ): Promise<T> {
    const held = this.hold<D>(id, bytes) ?? (await this.#fetched<D>(id, bytes, fetch));
    try {
      return await work(held.dek);
    } finally {
      this.release(held);
    }
  }

  /** The cached key, counted as `use` counts; undefined where it is to be fetched. Each one that is held is released once. */
  hold<D extends CachedDek>(id: string, bytes: number): HeldDek<D> | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined ? undefined : this.#hold<D>(entry, bytes);
  }

  /** As `hold` of the same id, without looking for it; undefined where what was held is no longer cached. */
  holdAgain<D extends CachedDek>(held: HeldDek<D>, bytes: number): HeldDek<D> | undefined {
    const entry = held as Entry & HeldDek<D>;
    return entry.cached ? this.#hold<D>(entry, bytes) : undefined;
  }

  #hold<D extends CachedDek>(entry: Entry, bytes: number): HeldDek<D> | undefined {
    const { usesMax, bytesMax } = this.#options;
    if (entry.uses >= usesMax || entry.bytes + bytes > bytesMax || this.#now() >= entry.expiresAt) {
      this.#evict(entry);
      return undefined;
    }
    entry.uses++;
    entry.bytes += bytes;
    entry.holders++;
    if (entry !== this.#newest) {
      this.#entries.delete(entry.id);
      this.#entries.set(entry.id, entry);
      this.#newest = entry;
    }
    return entry as Entry & HeldDek<D>;
  }

  /** Ends what `hold` began. */
  release(held: HeldDek<CachedDek>): void {
    const entry = held as Entry;
    entry.holders--;
    if (entry.cached) {
      if (entry.uses >= this.#options.usesMax) this.#evict(entry);
    } else if (entry.holders === 0) wipe(entry.dek);
  }

  /** Forgets a key, and what is being fetched for it. */
  drop(id: string): void {
    this.#fetches.delete(id);
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#evict(entry);
  }

  clear(): void {
    this.#fetches.clear();
    for (const entry of [...this.#entries.values()]) this.#evict(entry);
  }

  async #fetched<D extends CachedDek>(
    id: string,
    bytes: number,
    fetch: () => Promise<D>,
  ): Promise<HeldDek<D>> {
    if (!this.#enabled) return this.#entryOf(id, await fetch(), bytes) as Entry & HeldDek<D>;
    for (;;) {
      const underWay = this.#fetches.get(id);
      if (underWay === undefined) break;
      await underWay;
      // Its limits may have gone to others who waited, or it was dropped.
      const held = this.hold<D>(id, bytes);
      if (held !== undefined) return held;
    }
    const fetching = fetch().then((dek) => {
      const entry = this.#entryOf(id, dek, bytes);
      if (this.#fetches.get(id) === fetching) {
        this.#fetches.delete(id);
        this.#keep(entry);
      }
      return entry;
    });
    this.#fetches.set(id, fetching);
    try {
      return (await fetching) as Entry & HeldDek<D>;
    } finally {
      if (this.#fetches.get(id) === fetching) this.#fetches.delete(id);
    }
  }

  /** What was fetched, held by who fetched it. */
  #entryOf(id: string, dek: CachedDek, bytes: number): Entry {
    const expiresAt = this.#now() + this.#options.ttlSeconds * MS_PER_SECOND;
    return { id, dek, expiresAt, uses: 1, bytes, holders: 1, cached: false, timer: undefined };
  }

  #keep(entry: Entry): void {
    const before = this.#entries.get(entry.id);
    if (before !== undefined) this.#evict(before);
    for (const oldest of this.#entries.values()) {
      if (this.#entries.size < this.#options.entriesMax) break;
      this.#evict(oldest);
    }
    entry.cached = true;
    this.#entries.set(entry.id, entry);
    this.#newest = entry;
    this.#wipeInTime(entry);
  }

  /** A key that nobody asks for any more is wiped all the same. */
  #wipeInTime(entry: Entry): void {
    const timer = setTimeout(
      () => {
        if (this.#now() >= entry.expiresAt) this.#evict(entry);
        else this.#wipeInTime(entry);
      },
      Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(entry.expiresAt - this.#now()))),
    );
    // A cached key keeps no process alive.
    timer.unref();
    entry.timer = timer;
  }

  #evict(entry: Entry): void {
    if (!entry.cached) return;
    entry.cached = false;
    clearTimeout(entry.timer);
    this.#entries.delete(entry.id);
    if (this.#newest === entry) this.#newest = undefined;
    if (entry.holders === 0) wipe(entry.dek);
  }
}

function wipe(dek: CachedDek): void {
  dek.key.fill(0);
  dek.wipe?.();
}
