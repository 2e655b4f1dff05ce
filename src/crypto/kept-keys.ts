/**
 * The last keys that a worker was sent, by number.
 * Invariant: the one that came first goes first, whatever was used: so two such lists that are told of the same keys
 * in the same order always hold the same.
 */
export const KEYS_KEPT_MAX = 64;

export class KeptKeys<T> {
  readonly #keys = new Map<number, T>();

  get(id: number): T | undefined {
    return this.#keys.get(id);
  }

  /** Takes a key that is not among them. */
  set(id: number, key: T): void {
    const [first] = this.#keys.keys();
    if (first !== undefined && this.#keys.size >= KEYS_KEPT_MAX) this.#keys.delete(first);
    this.#keys.set(id, key);
  }
}
