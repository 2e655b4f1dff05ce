/**
 * Who may have a password checked when many want to: three lanes, served in this order. `known` has logged in from this
 * address before, `fresh` has not failed, `suspect` has.
 * Invariant: at most `atOnce` run; each lane has room for LANE_MAX, and what is beyond is refused with `busy`. So whoever
 * fails again and again can fill no lane but the last one.
 */
import { PASSWORDS_AT_ONCE } from "../crypto/password-hash.ts";
import { KeysteadError } from "../errors.ts";

export type Lane = "known" | "fresh" | "suspect";

export const LANE_MAX = 16;

export class PasswordQueue {
  readonly #waiting: Readonly<Record<Lane, (() => void)[]>> = { known: [], fresh: [], suspect: [] };
  readonly #atOnce: number;
  #running = 0;

  constructor(atOnce: number = PASSWORDS_AT_ONCE) {
    this.#atOnce = atOnce;
  }

  /** Whether there is a place in a lane now. */
  hasRoom(lane: Lane): boolean {
    return this.#running < this.#atOnce || this.#waiting[lane].length < LANE_MAX;
  }

  /** Runs it when its turn has come. Rejects with `busy` where its lane is full. */
  async run<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    if (!this.hasRoom(lane)) throw new KeysteadError("busy");
    if (this.#running < this.#atOnce) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting[lane].push(resolve));
    try {
      return await work();
    } finally {
      const { known, fresh, suspect } = this.#waiting;
      const next = known.shift() ?? fresh.shift() ?? suspect.shift();
      // Whoever is next takes over the place.
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
