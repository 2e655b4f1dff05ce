/**
 * A rate limit for each of many names: the generic cell rate algorithm (one number a name).
 * Invariant: at most `namesMax` names are remembered; beyond that the idle ones are dropped, which only ever favours a
 * caller.
 */
const NAMES_MAX = 100_000;

export class RateLimiter {
  readonly #intervalMs: number;
  readonly #burstMs: number;
  /** For each name the time (ms) at which its allowance is whole again. */
  readonly #full = new Map<string, number>();

  /**
   * @param perSecond how many a second, in the long run
   * @param burst how many at once after a pause
   */
  constructor(perSecond: number, burst: number = perSecond) {
    this.#intervalMs = 1000 / perSecond;
    // A millionth of an interval more, so that rounding never takes one of the burst away.
    this.#burstMs = (burst + 1e-6) * this.#intervalMs;
  }

  /** Counts one; false where the name has none left. */
  take(name: string, nowMs: number = performance.now()): boolean {
    const next = Math.max(this.#full.get(name) ?? 0, nowMs) + this.#intervalMs;
    if (next - nowMs > this.#burstMs) return false;
    if (this.#full.size >= NAMES_MAX && !this.#full.has(name)) this.#sweep(nowMs);
    this.#full.set(name, next);
    return true;
  }

  #sweep(nowMs: number): void {
    for (const [name, full] of this.#full) if (full <= nowMs) this.#full.delete(name);
    if (this.#full.size >= NAMES_MAX) this.#full.clear();
  }
}
