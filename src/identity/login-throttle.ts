/**
 * How long somebody who gave a wrong password waits before the next try counts.
 * A pair of address and account has three tries; then it waits 1, 2, 4 … 60 seconds after each. Where an account fails at
 * many addresses, an address has one try instead of three. An address that fails at many accounts has one try a second.
 * Counts halve every ten minutes.
 * Invariant: nobody locks another out. An address that has not failed at an account is never made to wait for it because
 * of what others did, and one that logged in before waits at most ten seconds. Unknown accounts are counted like known
 * ones. What is remembered is bounded, lives in this process only, and holds no name but as a hash. Only a try that was
 * judged takes a place there: what is refused or given up makes nothing forgotten, and a pair that logged in gives way to
 * none that has not.
 */
import { sha256Base64 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import type { Lane } from "./password-queue.ts";

const ENTRIES_MAX = 20_000;
const FREE_FAILURES = 3;
const DELAY_MS_MAX = 60_000;
const KNOWN_DELAY_MS_MAX = 10_000;
/** After each such time half of the failures count. */
const HALVING_MS = 10 * 60_000;
/** Failures of an account at all addresses, from which on an address has one try. */
const ACCOUNT_FAILURES_MANY = 20;
/** Failures of an address at all accounts, from which on it has one try a second. */
const ADDRESS_FAILURES_MANY = 30;
const ADDRESS_DELAY_MS = 1000;
/** Tries of an address that may be under way. */
const ADDRESS_PENDING_MAX = 8;

interface Tracked {
  failures: number;
  pending: number;
  /** Of the last failure. */
  lastMs: number;
  /** Since when `failures` was not halved. */
  sinceMs: number;
  /** True after a login: of a pair only. */
  known: boolean;
}

/** One try under way; exactly one of its methods is to be called. */
export interface Attempt {
  readonly lane: Lane;
  succeeded(): void;
  failed(): void;
  /** It was not tried after all. */
  abandoned(): void;
}

export class LoginThrottle {
  readonly #pairs = new Map<string, Tracked>();
  readonly #knownPairs = new Map<string, Tracked>();
  /** How many known pairs an address has. */
  readonly #knownAddresses = new Map<string, number>();
  readonly #accounts = new Map<string, Tracked>();
  readonly #addresses = new Map<string, Tracked>();
  readonly #now: () => number;
  readonly #entriesMax: number;

  /** @param now milliseconds */
  constructor(now: () => number, entriesMax: number = ENTRIES_MAX) {
    this.#now = now;
    this.#entriesMax = entriesMax;
  }

  /** How many are remembered, of each of four kinds at most `entriesMax` and those with tries under way. */
  get size(): number {
    return this.#pairs.size + this.#knownPairs.size + this.#accounts.size + this.#addresses.size;
  }

  /** The lane of all tries of an address; undefined where it depends on the account. */
  laneOf(address: string): Lane | undefined {
    if (this.#knownAddresses.has(address)) return undefined;
    return look(this.#addresses.get(address), this.#now()).failures === 0 ? "fresh" : "suspect";
  }

  /**
   * Begins a try. Throws `rate_limited` where it comes too early.
   * @param address as limits count it: the network of an IPv6 address
   */
  begin(account: string, address: string): Attempt {
    const name = sha256Base64(account);
    const pairName = `${name} ${address}`;
    const now = this.#now();
    const pair = look(this.#knownPairs.get(pairName) ?? this.#pairs.get(pairName), now);
    const everywhere = look(this.#accounts.get(name), now);
    const here = look(this.#addresses.get(address), now);
    const waitMs = Math.max(
      pairWaitMs(pair, everywhere.failures >= ACCOUNT_FAILURES_MANY, now),
      pair.known ? 0 : addressWaitMs(here, now),
    );
    if (waitMs > 0) {
      throw new KeysteadError("rate_limited", {
        detail: "too many wrong passwords; wait before you try again",
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      });
    }
    const pairs = pair.known ? this.#knownPairs : this.#pairs;
    const all = [
      { map: pairs, name: pairName, tracked: pair },
      { map: this.#accounts, name, tracked: everywhere },
      { map: this.#addresses, name: address, tracked: here },
    ];
    for (const { map, name: entry, tracked } of all) {
      tracked.pending++;
      // The one that was tried longest ago stands first, and goes first.
      map.delete(entry);
      map.set(entry, tracked);
    }
    const settle = (failures: 0 | 1): void => {
      const at = this.#now();
      for (const { map, name: entry, tracked } of all) {
        tracked.pending--;
        if (failures > 0) tracked.lastMs = at;
        tracked.failures += failures;
        if (tracked.failures === 0 && tracked.pending === 0 && !tracked.known) map.delete(entry);
        this.#trim(map);
      }
    };
    return {
      lane: pair.known ? "known" : pair.failures === 0 && here.failures === 0 ? "fresh" : "suspect",
      succeeded: () => {
        // A login with one account forgives no failures at others, nor those at other addresses.
        pair.failures = 0;
        if (!pair.known) this.#know(pairName, address, pair);
        settle(0);
      },
      failed: () => {
        settle(1);
      },
      abandoned: () => {
        settle(0);
      },
    };
  }

  #know(pairName: string, address: string, pair: Tracked): void {
    pair.known = true;
    this.#pairs.delete(pairName);
    this.#knownPairs.set(pairName, pair);
    this.#knownAddresses.set(address, (this.#knownAddresses.get(address) ?? 0) + 1);
    this.#trim(this.#knownPairs);
  }

  /** Drops the oldest ones that are too many. */
  #trim(map: Map<string, Tracked>): void {
    let beyond = map.size - this.#entriesMax;
    if (beyond <= 0) return;
    for (const [name, { pending, known }] of map) {
      // A try under way counts until it ends.
      if (pending > 0) continue;
      map.delete(name);
      if (known) this.#forgetAddress(name.slice(name.indexOf(" ") + 1));
      if (--beyond === 0) return;
    }
  }

  #forgetAddress(address: string): void {
    const left = (this.#knownAddresses.get(address) ?? 0) - 1;
    if (left > 0) this.#knownAddresses.set(address, left);
    else this.#knownAddresses.delete(address);
  }
}

/** What is remembered, as it counts now; something new, which is in no map, where nothing is. */
function look(tracked: Tracked | undefined, now: number): Tracked {
  if (tracked === undefined) return { failures: 0, pending: 0, lastMs: now, sinceMs: now, known: false };
  // A clock that was put back makes nobody wait for the time it lost.
  tracked.lastMs = Math.min(tracked.lastMs, now);
  tracked.sinceMs = Math.min(tracked.sinceMs, now);
  const times = Math.floor((now - tracked.sinceMs) / HALVING_MS);
  tracked.failures = Math.floor(tracked.failures / 2 ** times);
  tracked.sinceMs += times * HALVING_MS;
  return tracked;
}

function pairWaitMs({ failures, pending, lastMs, known }: Tracked, isAttacked: boolean, now: number): number {
  // Tries under way count as failures: many at once are no way around.
  const free = isAttacked && !known ? 1 : FREE_FAILURES;
  const beyond = failures + pending - free;
  if (beyond < 0) return 0;
  if (pending > 0) return 1000;
  const delay = Math.min(1000 * 2 ** Math.min(beyond, 10), known ? KNOWN_DELAY_MS_MAX : DELAY_MS_MAX);
  return Math.max(0, lastMs + delay - now);
}

function addressWaitMs({ failures, pending, lastMs }: Tracked, now: number): number {
  if (pending >= ADDRESS_PENDING_MAX) return 1000;
  if (failures < ADDRESS_FAILURES_MANY) return 0;
  return pending > 0 ? 1000 : Math.max(0, lastMs + ADDRESS_DELAY_MS - now);
}
