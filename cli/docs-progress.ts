/**
 * How far something long has come, on standard error: a bar on a terminal, a line for each tenth otherwise.
 * Invariant: standard output, where the result goes, is left alone.
 */
const WIDTH = 30;
const SHOWN_MS = 100;

export interface Progress {
  readonly done: number;
  readonly total: number;
}

export class ProgressLine {
  readonly #what: string;
  readonly #isTerminal = process.stderr.isTTY;
  #shownAt = -Infinity;
  #tenth = 0;

  /** @param what is done with what is counted, such as `imported` */
  constructor(what: string) {
    this.#what = what;
  }

  readonly show = ({ done, total }: Progress): void => {
    const share = total === 0 ? 1 : done / total;
    if (this.#isTerminal) {
      // More often would slow what is shown.
      if (performance.now() - this.#shownAt < SHOWN_MS && done < total) return;
      this.#shownAt = performance.now();
      const filled = Math.floor(share * WIDTH);
      const bar = "#".repeat(filled) + "-".repeat(WIDTH - filled);
      process.stderr.write(`\r\u001b[K[${bar}] ${done} of ${total} ${this.#what}`);
      return;
    }
    const tenth = Math.floor(share * 10);
    if (tenth === this.#tenth) return;
    this.#tenth = tenth;
    process.stderr.write(`keystead: ${done} of ${total} ${this.#what}\n`);
  };

  /** Leaves the terminal's line. */
  readonly end = (): void => {
    if (this.#isTerminal && this.#shownAt > -Infinity) process.stderr.write("\n");
  };
}
