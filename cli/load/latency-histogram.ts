/**
 * Latencies in a fixed number of counters, each within 1/64 of the values that it counts.
 * Invariant: its memory does not grow, however many values it records.
 */
/** Counters for each doubling of the value: what a counter covers is at most 1/64 of it. */
const STEPS = 64;
/** Microseconds up to 2³² (71 minutes); what is longer counts as that. */
const DOUBLINGS = 27;

export class LatencyHistogram {
  readonly #counts = new Uint32Array(STEPS * DOUBLINGS);
  #total = 0;
  #maxMs = 0;

  get total(): number {
    return this.#total;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  record(milliseconds: number): void {
    const index = indexOf(Math.round(milliseconds * 1000));
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#total++;
    if (milliseconds > this.#maxMs) this.#maxMs = milliseconds;
  }

  /**
   * The latency, in milliseconds, that the given share of all values does not exceed; 0 where there are none.
   * @param share from 0 to 1
   */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let counted = 0;
    for (const [index, count] of this.#counts.entries()) {
      counted += count;
      if (counted >= rank) return Math.min(upperMicroseconds(index) / 1000, this.#maxMs);
    }
    return 0;
  }
}

/** Below STEPS a counter a microsecond; above it STEPS counters for each doubling. */
function indexOf(microseconds: number): number {
  const value = Math.min(Math.max(microseconds, 0), 2 ** 32 - 1);
  if (value < STEPS) return value;
  const doubling = Math.floor(Math.log2(value)) - Math.log2(STEPS);
  return STEPS * doubling + Math.floor(value / 2 ** doubling);
}

function upperMicroseconds(index: number): number {
  if (index < 2 * STEPS) return index;
  const doubling = Math.floor(index / STEPS) - 1;
  return (index - STEPS * doubling + 1) * 2 ** doubling - 1;
}
