/**
 * Counts the random nonces that one key version has drawn, durably and in blocks: a block is reserved in the database
 * before its first nonce is drawn, so that a crash can only count too many, never too few.
 * Invariant: nonces drawn ≤ nonces reserved ≤ `noncesMax`; when no block is left, the version encrypts no more.
 */

/** Reserved together: one database write for so many encryptions. The first block is small, most keys are idle. */
const BLOCK_MIN = 2 ** 10;
const BLOCK_MAX = 2 ** 18;

export interface NonceCounterOptions {
  readonly noncesMax: number;
  /** The reserved count that storage holds. */
  readonly reserved: number;
  /** Makes a higher reserved count durable; resolves to what storage then holds for this process to use. */
  reserve(reserved: number): Promise<{ from: number; to: number }>;
}

export class NonceCounter {
  readonly #options: NonceCounterOptions;
  #used: number;
  #reserved: number;
  #block = BLOCK_MIN;
  #reserving: Promise<void> | undefined;

  constructor(options: NonceCounterOptions) {
    this.#options = options;
    // What an earlier process reserved and did not draw is given up.
    this.#used = options.reserved;
    this.#reserved = options.reserved;
  }

  /** How many nonces count as drawn. */
  get used(): number {
    return this.#used;
  }

  /** True when the version may not draw `count` more: its key must rotate. */
  isSpent(count: number): boolean {
    return this.#reserved + count > this.#options.noncesMax && this.#used + count > this.#reserved;
  }

  /** Counts nonces that are about to be drawn; false where a block must be reserved first. */
  take(count: number): boolean {
    if (this.#used + count > this.#reserved) return false;
    this.#used += count;
    // Half a block ahead, so that a busy key seldom waits.
    if (this.#reserved - this.#used < this.#block / 2 && !this.isSpent(this.#block))
      void this.reserve(0).catch(() => undefined);
    return true;
  }

  /** Reserves the next block, with room for `count` nonces at least. Concurrent calls share one reservation. */
  reserve(count: number): Promise<void> {
    this.#reserving ??= this.#reserveBlock(count).finally(() => {
      this.#reserving = undefined;
    });
    return this.#reserving;
  }

  async #reserveBlock(count: number): Promise<void> {
    const wanted = Math.min(this.#reserved + Math.max(this.#block, count), this.#options.noncesMax);
    this.#block = Math.min(this.#block * 4, BLOCK_MAX);
    const { from, to } = await this.#options.reserve(wanted);
    // Another process reserved in between: what it took is not ours.
    if (from > this.#reserved) this.#used = from;
    this.#reserved = to;
  }
}
