/**
 * The registry of everything that can be refused or go wrong: a stable code, its HTTP status and its public text.
 * Invariant: a public text is a constant of this file or of the code that raises it; nothing a caller sent is ever
 * in one. What really happened stays in `cause`, for the service's own log.
 */

/** Everything a client may meet. `title` says what is wrong; status follows RFC 9110. */
export const errorRegistry = {
  // The request itself
  invalid_json: { status: 400, title: "The body is not valid JSON in UTF-8" },
  invalid_body: { status: 400, title: "The request does not fit this operation" },
  unknown_field: { status: 400, title: "The request has a field that this operation does not know" },
  invalid_name: { status: 400, title: "The name is not valid" },
  invalid_path: { status: 400, title: "The path is not in its canonical form" },
  invalid_encoding: { status: 400, title: "A field is not in its canonical encoding" },
  invalid_header: { status: 400, title: "A header is not valid" },
  payload_too_large: { status: 413, title: "The request is larger than this operation takes" },
  body_incomplete: { status: 400, title: "The request ended before all of it was there" },
  too_deep: { status: 400, title: "The body is nested too deeply" },
  unsupported_media_type: { status: 415, title: "The body is not of a media type that this operation takes" },
  route_not_found: { status: 404, title: "There is nothing at this path" },
  method_not_allowed: { status: 405, title: "This path does not take this method" },
  // Who is asking
  unauthenticated: { status: 401, title: "Valid credentials are needed" },
  forbidden: { status: 403, title: "The caller may not do this" },
  origin_refused: { status: 403, title: "Dev mode answers only local, non-browser clients" },
  rate_limited: { status: 429, title: "Too many requests" },
  // What it is about
  project_not_found: { status: 404, title: "There is no such project" },
  key_not_found: { status: 404, title: "There is no such key" },
  key_version_not_found: { status: 404, title: "The key has no such version" },
  secret_not_found: { status: 404, title: "There is no such secret" },
  credential_not_found: { status: 404, title: "There is no such credential" },
  account_not_found: { status: 404, title: "There is no such account" },
  client_not_found: { status: 404, title: "There is no such client" },
  token_not_found: { status: 404, title: "There is no such token" },
  role_not_found: { status: 404, title: "There is no such role" },
  issuer_not_found: { status: 404, title: "There is no such issuer" },
  binding_not_found: { status: 404, title: "There is no such role binding" },
  signup_not_found: { status: 404, title: "There is no such signup" },
  session_not_found: { status: 404, title: "There is no such session" },
  key_exists: { status: 400, title: "A key of this name exists" },
  credential_exists: { status: 400, title: "A credential of this record id exists" },
  credential_ambiguous: { status: 400, title: "More than one credential has this id" },
  project_exists: { status: 409, title: "A project of this name exists" },
  account_exists: { status: 409, title: "An account of this name exists" },
  client_exists: { status: 409, title: "A client of this name exists" },
  role_exists: { status: 409, title: "A role of this name exists" },
  role_in_use: { status: 409, title: "The role is bound to an account or an issuer" },
  issuer_exists: { status: 409, title: "An issuer of this name or of these tokens exists" },
  conflict: { status: 409, title: "The object was changed at the same time; try again" },
  idempotency_mismatch: { status: 409, title: "The idempotency key was used for another request" },
  idempotency_pending: {
    status: 409,
    title: "An earlier request under this idempotency key is running",
  },
  idempotency_secret: {
    status: 409,
    title: "It was done before, and its secret answer is shown once",
  },
  limit_reached: { status: 409, title: "A limit of the service is reached" },
  // Its state and kind
  key_revoked: { status: 400, title: "The key is revoked" },
  key_disabled: { status: 400, title: "The key is disabled" },
  key_pending_deletion: { status: 400, title: "The key is to be deleted" },
  key_not_pending_deletion: { status: 400, title: "The key is not to be deleted" },
  key_destroyed: { status: 400, title: "The key is destroyed" },
  key_version_disabled: { status: 400, title: "This version of the key is disabled" },
  key_version_too_old: { status: 400, title: "The key does not allow versions this old any more" },
  key_version_spent: { status: 400, title: "This version of the key has encrypted as much as it may" },
  project_pending_deletion: { status: 400, title: "The project is to be deleted" },
  project_not_pending_deletion: { status: 400, title: "The project is not to be deleted" },
  key_usage: { status: 400, title: "The key's type does not allow this operation" },
  key_exportable: { status: 400, title: "An exportable key does not encrypt on the server" },
  key_not_exportable: { status: 403, title: "The key is not exportable" },
  key_public_only: { status: 400, title: "Only the public part of this key is here" },
  invalid_key_material: { status: 400, title: "The key material is not valid for this type and format" },
  // One text for every reason: a wrong key, version, context, nonce or tag all look the same.
  decryption_failed: { status: 400, title: "Decryption failed" },
  unwrap_failed: { status: 400, title: "The wrapped key does not open under this wrapping key" },
  // The service
  internal_error: { status: 500, title: "The service failed to answer this request" },
  audit_unavailable: { status: 503, title: "The audit log cannot be written, so nothing is served" },
  provider_unavailable: { status: 503, title: "The key's provider does not answer" },
  storage_unavailable: { status: 503, title: "The storage does not answer" },
  outcome_unknown: {
    status: 503,
    title: "The storage stopped answering while the change was made; look whether it was",
  },
  busy: { status: 503, title: "The service is doing as much of this as it can; try again" },
  stopping: { status: 503, title: "The service is stopping" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof errorRegistry;

/** A refusal or failure with a stable code. `detail` is a constant sentence, `field` a name from our own schemas. */
export class KeysteadError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly field: string | undefined;
  /** When to try again, where that is known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    options: { detail?: string; field?: string; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(errorRegistry[code].title, { cause: options.cause });
    this.name = "KeysteadError";
    this.code = code;
    this.detail = options.detail;
    this.field = options.field;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return errorRegistry[this.code].status;
  }
}

/** Whatever was thrown as a KeysteadError; what is not one becomes `internal_error` with the original as its cause. */
export function asKeysteadError(thrown: unknown): KeysteadError {
  return thrown instanceof KeysteadError ? thrown : new KeysteadError("internal_error", { cause: thrown });
}
