/**
 * Whether the wall clock can be trusted: it is held against the monotonic clock, which nobody sets.
 * Invariant: a jump of more than a minute, in either direction, is known at the next look, and for an hour after it the
 * clock does not count as steady. What cannot be undone waits for that long, so that somebody can set the clock right.
 */
const JUMP_MS = 60_000;
const UNSTEADY_MS = 3_600_000;

export interface ClockWatchOptions {
  /** The wall clock, milliseconds. */
  readonly wall?: () => number;
  /** A clock that nobody sets, milliseconds. */
  readonly monotonic?: () => number;
  /** Told of each jump: by how many seconds, negative where the clock was put back. */
  readonly onJump: (seconds: number) => void;
}

export class ClockWatch {
  readonly #wall: () => number;
  readonly #monotonic: () => number;
  readonly #onJump: (seconds: number) => void;
  /** By how much the clocks differ. */
  #offset: number;
  #jumpedAt = -Infinity;

  constructor({ wall = Date.now, monotonic = () => performance.now(), onJump }: ClockWatchOptions) {
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#onJump = onJump;
    this.#offset = wall() - monotonic();
  }

  /** Looks at the clocks: false where the wall clock jumped, now or in the last hour. */
  isSteady(): boolean {
    const now = this.#monotonic();
    const offset = this.#wall() - now;
    const jumped = offset - this.#offset;
    // Small differences, as of a clock that is being slewed, do not add up to a jump.
    this.#offset = offset;
    if (Math.abs(jumped) > JUMP_MS) {
      this.#jumpedAt = now;
      this.#onJump(Math.round(jumped / 1000));
    }
    return now - this.#jumpedAt > UNSTEADY_MS;
  }
}
