/**
 * The client's own source of tokens brought none, so nothing was sent.
 * Invariant: no token is in it; what the source threw is in `cause`.
 */
export class KeysteadCredentialError extends Error {
  readonly code: "credential_unavailable";

  constructor(code: KeysteadCredentialError["code"], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "KeysteadCredentialError";
    this.code = code;
  }
}
