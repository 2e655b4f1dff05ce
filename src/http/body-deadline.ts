/**
 * An end to the time that a body may take, for all requests of a listener with one timer.
 * Invariant: a request whose body comes in time costs an entry in a set and no timer of its own; a body is given up
 * between the limit and one second more after its reading began; the timer runs only while bodies are awaited.
 */
export const BODY_SECONDS_MAX = 30;

const SWEEP_MS = 1000;

/** One body that is being read. */
export interface BodyReading {
  /** The sweep after which it is late. */
  readonly lastSweep: number;
  readonly giveUp: () => void;
}

export class BodyDeadline {
  readonly #secondsMax: number;
  readonly #readings = new Set<BodyReading>();
  #sweeps = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(secondsMax: number = BODY_SECONDS_MAX) {
    this.#secondsMax = secondsMax;
  }

  /** Begins the time of a body; `giveUp` is called where `end` was not called in time. */
  begin(giveUp: () => void): BodyReading {
    this.#timer ??= setInterval(() => {
      this.#sweep();
    }, SWEEP_MS).unref();
    const reading = { lastSweep: this.#sweeps + this.#secondsMax, giveUp };
    this.#readings.add(reading);
    return reading;
  }

  /** The body is there, or will never be. */
  end(reading: BodyReading): void {
    this.#readings.delete(reading);
  }

  #sweep(): void {
    if (this.#readings.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#sweeps++;
    for (const reading of this.#readings) {
      // They stand in the order of their beginning: the first that is not late ends the look.
      if (reading.lastSweep >= this.#sweeps) break;
      this.#readings.delete(reading);
      reading.giveUp();
    }
  }
}
