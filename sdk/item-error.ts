/**
 * Why one item of a batch failed; the others have their results.
 * Invariant: as with a KeysteadApiError, nothing that was sent is in it.
 */
export class KeysteadItemError extends Error {
  /** The stable code, such as `decryption_failed`. */
  readonly code: string;

  constructor(code: string, title = code) {
    super(title);
    this.name = "KeysteadItemError";
    this.code = code;
  }
}
