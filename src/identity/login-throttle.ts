/**
 * How long somebody who gave a wrong password waits before the next try counts.
 * A pair of address and account has three tries; then it waits 1, 2, 4 … 60 seconds after each. Where an account fails at
 * many addresses, an address has one try instead of three. An address that fails at many accounts has one try a second.
 * Invariant: nobody locks another out. An address that has not failed at an account is never made to wait for it because
 * of what others did, and one that logged in before waits at most ten seconds. Unknown accounts are counted like known
 * ones. What is remembered is bounded, lives in this process only, and holds no name but as a hash.
 */
import { sha256Base64 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import type { Lane } from "./password-queue.ts";

const PAIRS_MAX = 20_000;
const FREE_FAILURES = 3;
const DELAY_MS_MAX = 60_000;
const KNOWN_DELAY_MS_MAX = 10_000;
/** Quiet for so long, it begins anew. */
const FORGET_MS = 60 * 60_000;
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
  lastMs: number;
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
  readonly #accounts = new Map<string, Tracked>();
  readonly #addresses = new Map<string, Tracked>();
  readonly #now: () => number;
  readonly #entriesMax: number;

  /** @param now milliseconds */
  constructor(now: () => number, entriesMax: number = PAIRS_MAX) {
    this.#now = now;
    this.#entriesMax = entriesMax;
  }

  /** How many are remembered, of each kind at most `entriesMax`. */
  get size(): number {
    return this.#pairs.size + this.#accounts.size + this.#addresses.size;
  }

  /**
   * Begins a try. Throws `rate_limited` where it comes too early.
   * @param address as limits count it: the network of an IPv6 address
   */
  begin(account: string, address: string): Attempt {
    const name = sha256Base64(account);
    const now = this.#now();
    const pair = this.#of(this.#pairs, `${name} ${address}`, now);
    const everywhere = this.#of(this.#accounts, name, now);
    const here = this.#of(this.#addresses, address, now);
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
    const all = [pair, everywhere, here];
    for (const tracked of all) tracked.pending++;
    const settle = (change: (tracked: Tracked) => void): void => {
      const at = this.#now();
      for (const tracked of all) {
        tracked.pending--;
        change(tracked);
        tracked.lastMs = at;
      }
    };
    return {
      lane: pair.known ? "known" : pair.failures === 0 && here.failures === 0 ? "fresh" : "suspect",
      succeeded: () => {
        settle((tracked) => {
          // A login with one account forgives no failures at others, nor those at other addresses.
          if (tracked !== pair) return;
          pair.failures = 0;
          pair.known = true;
        });
      },
      failed: () => {
        settle((tracked) => tracked.failures++);
      },
      abandoned: () => {
        settle(() => undefined);
      },
    };
  }

  #of(map: Map<string, Tracked>, name: string, now: number): Tracked {
    let tracked = map.get(name);
    if (tracked === undefined || (tracked.pending === 0 && now - tracked.lastMs > FORGET_MS)) {
      tracked = { failures: 0, pending: 0, lastMs: now, known: tracked?.known ?? false };
    }
    // A clock that was put back makes nobody wait for the time it lost.
    tracked.lastMs = Math.min(tracked.lastMs, now);
    // The one that was looked at longest ago stands first, and goes first.
    map.delete(name);
    map.set(name, tracked);
    if (map.size > this.#entriesMax) {
      for (const oldest of map.keys()) {
        map.delete(oldest);
        break;
      }
    }
    return tracked;
  }
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
