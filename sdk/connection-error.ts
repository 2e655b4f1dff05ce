/**
 * There was no answer, or none that makes sense: whether the service did what was asked is not known.
 * Invariant: the message holds the server's origin at most; the platform's own error is in `cause`.
 */
export class KeysteadConnectionError extends Error {
  readonly code: "unreachable" | "timed_out" | "aborted" | "unexpected_answer";

  constructor(code: KeysteadConnectionError["code"], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "KeysteadConnectionError";
    this.code = code;
  }
}
