/**
 * The public keys of external issuers, as they are published now.
 * Invariant: fetched keys are used for 5 minutes, the bound within which a key that an issuer withdrew is refused; where
 * the issuer does not answer, for an hour since they were fetched, and then not at all. An issuer is asked once at a time,
 * and after a token with an unknown key, or after a failure, at most every 30 seconds. Pinned keys are never fetched.
 */
import { KeysteadError } from "../errors.ts";
import { fetchIssuerJson, IssuerFetchFailed, isFetchable } from "./issuer-fetch.ts";
import { parseKeySet, type IssuerKey } from "./issuer-key.ts";
import type { Issuer } from "./issuer.ts";

const FRESH_MS = 300_000;
/** From this age on they are fetched anew while they are still used. */
const AHEAD_MS = 240_000;
const STALE_MS_MAX = 3_600_000;
const RETRY_MS = 30_000;
/** Tokens that wait for one issuer's answer. */
const WAITING_MAX = 1000;
/** More than issuers can be: what is left of deleted ones is dropped. */
const SETS_MAX = 100;

interface FetchedSet {
  /** What it was fetched by: where the keys come from, as text. */
  readonly source: string;
  keys: readonly IssuerKey[];
  /** When the newest keys were asked for; undefined before any came. */
  fetchedAt: number | undefined;
  attemptedAt: number | undefined;
  loading: Promise<void> | undefined;
  waiting: number;
}

export interface IssuerKeysOptions {
  /** Lets keys come from this machine without TLS. */
  readonly plainLoopback: boolean;
  /** Milliseconds that never go back. */
  readonly monotonicMs: () => number;
  /** Told of each failure, with a constant text. */
  readonly onFailure: (issuer: string, reason: string) => void;
  readonly answerMsMax?: number | undefined;
}

export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #fetched = new Map<string, FetchedSet>();
  readonly #sources = new WeakMap<Issuer, string>();
  readonly #pinned = new WeakMap<Issuer, readonly IssuerKey[]>();

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
  }

  /** The issuer's keys, without a promise where they are at hand; none where they cannot be had. Throws `busy`. */
  current(issuer: Issuer): readonly IssuerKey[] | Promise<readonly IssuerKey[]> {
    if (issuer.keySource.from === "pinned") return this.#pinnedOf(issuer, issuer.keySource.keys);
    const set = this.#setOf(issuer);
    const age = this.#ageOf(set);
    if (age > AHEAD_MS && this.#mayAsk(set)) {
      const loading = this.#ask(issuer, set);
      // Whoever cannot wait for it waits: nothing is known, or what is known is too old and the issuer answered last time.
      if (age > STALE_MS_MAX || (age > FRESH_MS && !this.#failedLast(set))) return this.#after(set, loading);
    }
    return this.#usable(set);
  }

  /** The issuer's keys after a token came whose key is not among them. Throws `busy`. */
  async afterMiss(issuer: Issuer): Promise<readonly IssuerKey[]> {
    if (issuer.keySource.from === "pinned") return this.#pinnedOf(issuer, issuer.keySource.keys);
    const set = this.#setOf(issuer);
    return this.#mayAsk(set) ? this.#after(set, this.#ask(issuer, set)) : this.#usable(set);
  }

  async #after(set: FetchedSet, loading: Promise<void>): Promise<readonly IssuerKey[]> {
    if (set.waiting >= WAITING_MAX) throw new KeysteadError("busy");
    set.waiting++;
    try {
      await loading;
    } finally {
      set.waiting--;
    }
    return this.#usable(set);
  }

  #ageOf({ fetchedAt }: FetchedSet): number {
    return fetchedAt === undefined ? Infinity : this.#options.monotonicMs() - fetchedAt;
  }

  #usable(set: FetchedSet): readonly IssuerKey[] {
    return this.#ageOf(set) <= STALE_MS_MAX ? set.keys : [];
  }

  #failedLast({ attemptedAt, fetchedAt }: FetchedSet): boolean {
    return attemptedAt !== fetchedAt;
  }

  #mayAsk({ loading, attemptedAt }: FetchedSet): boolean {
    return (
      loading !== undefined ||
      attemptedAt === undefined ||
      this.#options.monotonicMs() - attemptedAt >= RETRY_MS
    );
  }

  /** Never rejects. */
  #ask(issuer: Issuer, set: FetchedSet): Promise<void> {
    if (set.loading !== undefined) return set.loading;
    const startedAt = this.#options.monotonicMs();
    set.loading = this.#fetch(issuer)
      .then(
        (keys) => {
          set.keys = keys;
          set.fetchedAt = startedAt;
        },
        (error: unknown) => {
          const reason = error instanceof IssuerFetchFailed ? error.message : "it failed";
          this.#options.onFailure(issuer.name, reason);
        },
      )
      .finally(() => {
        set.attemptedAt = startedAt;
        set.loading = undefined;
      });
    return set.loading;
  }

  async #fetch(issuer: Issuer): Promise<readonly IssuerKey[]> {
    const { keySource, caPem } = issuer;
    const { plainLoopback, answerMsMax } = this.#options;
    const options = { caPem, plainLoopback, answerMsMax };
    const url = keySource.from === "url" ? keySource.url : await this.#discover(issuer, options);
    const keys = parseKeySet(await fetchIssuerJson(url, options));
    if (keys === undefined) throw new IssuerFetchFailed("its answer is no key set");
    if (keys.length === 0) throw new IssuerFetchFailed("its key set has no key for signatures");
    return keys;
  }

  /** OpenID Connect Discovery 1.0 §4: where the issuer says that its keys are. */
  async #discover({ issuer }: Issuer, options: Parameters<typeof fetchIssuerJson>[1]): Promise<string> {
    const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const document = await fetchIssuerJson(address, options);
    if (typeof document !== "object" || document === null || Array.isArray(document))
      throw new IssuerFetchFailed("its configuration is no object");
    const { issuer: stated, jwks_uri: url } = document as Readonly<Record<string, unknown>>;
    if (stated !== issuer) throw new IssuerFetchFailed("its configuration is another issuer's");
    if (typeof url !== "string" || !isFetchable(url, options.plainLoopback))
      throw new IssuerFetchFailed("its configuration names no address of keys");
    return url;
  }

  #setOf(issuer: Issuer): FetchedSet {
    const { id } = issuer;
    let set = this.#fetched.get(id);
    const source = this.#sourceOf(issuer);
    // Other rules leave the keys as they are.
    if (set?.source !== source) {
      this.#fetched.delete(id);
      for (const oldest of this.#fetched.keys()) {
        if (this.#fetched.size < SETS_MAX) break;
        this.#fetched.delete(oldest);
      }
      set = {
        source,
        keys: [],
        fetchedAt: undefined,
        attemptedAt: undefined,
        loading: undefined,
        waiting: 0,
      };
      this.#fetched.set(id, set);
    }
    return set;
  }

  #sourceOf(issuer: Issuer): string {
    let source = this.#sources.get(issuer);
    if (source === undefined) {
      source = JSON.stringify([issuer.keySource, issuer.issuer, issuer.caPem]);
      this.#sources.set(issuer, source);
    }
    return source;
  }

  #pinnedOf(issuer: Issuer, keys: readonly unknown[]): readonly IssuerKey[] {
    let parsed = this.#pinned.get(issuer);
    if (parsed === undefined) {
      parsed = parseKeySet({ keys }) ?? [];
      this.#pinned.set(issuer, parsed);
    }
    return parsed;
  }
}
