/**
 * Runs at most so many things at once and lets at most so many wait, in the order they came.
 * Invariant: what is beyond both is refused at once with `busy`, so that memory and waiting time stay bounded.
 */
import { KeysteadError } from "../errors.ts";

export interface LimiterBounds {
  readonly atOnce: number;
  readonly waitingMax: number;
}

export class Limiter {
  readonly #bounds: LimiterBounds;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(bounds: LimiterBounds) {
    this.#bounds = bounds;
  }

  /** True where nothing runs and nothing waits. */
  get idle(): boolean {
    return this.#running === 0;
  }

  /** Runs it as soon as there is room. Rejects with `busy` where too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#bounds.atOnce) this.#running++;
    else if (this.#waiting.length >= this.#bounds.waitingMax) throw new KeysteadError("busy");
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Whoever waited longest takes over the place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
