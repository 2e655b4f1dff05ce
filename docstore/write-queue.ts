/**
 * The order of this process's writes: those to one document one after the other, and not more than a few at once, so that
 * none is under way for long. Invariant: one that fails holds up nobody.
 */
export class WriteQueue {
  readonly #atOnceMax: number;
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax;
  }

  /** Does `work` when all that came before it for this document is done. */
  run<T>(document: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(document) ?? Promise.resolve();
    const mine = before.then(() => this.#slot(work));
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(document, settled);
    void settled.then(() => {
      if (this.#last.get(document) === settled) this.#last.delete(document);
    });
    return mine;
  }

  async #slot<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#atOnceMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      // The slot is handed over, or given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
