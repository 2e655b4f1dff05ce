/**
 * Something that the client does not send, because no service could take it as it was meant.
 * Invariant: the message never holds the value.
 */
export class KeysteadInputError extends Error {
  readonly code:
    | "invalid_name"
    | "invalid_url"
    | "invalid_token"
    | "invalid_project"
    | "invalid_key_material"
    | "invalid_idempotency_key"
    | "invalid_label"
    | "invalid_encoding"
    | "invalid_option"
    | "payload_too_large";

  constructor(code: KeysteadInputError["code"], message: string) {
    super(message);
    this.name = "KeysteadInputError";
    this.code = code;
  }
}
