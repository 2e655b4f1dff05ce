/**
 * The `Idempotency-Key` header: 1 to 255 visible ASCII characters, bare or as the quoted string of RFC 8941 §3.3.3 (which
 * the IETF's draft on the header asks for).
 * Invariant: both spellings of one content are one key; what is in neither form is refused, never cut or mended.
 */
import { KeysteadError } from "../errors.ts";

export const IDEMPOTENCY_KEY_HEADER = "idempotency-key";
/** Set on the answer to a request that was done before. */
export const REPLAYED_HEADER = "idempotency-replayed";
export const IDEMPOTENCY_KEY_CHARACTERS_MAX = 255;

// Visible ASCII; where it is bare, without `"`.
const bare = /^[\x21\x23-\x7e]+$/;
// Within quotes `"` and `\` stand behind a `\`.
const quoted = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/;

/** The key that a header's text states; undefined without the header. Throws `invalid_header`. */
export function parseIdempotencyKey(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const key = bare.test(text) ? text : quoted.exec(text)?.[1]?.replaceAll(/\\(["\\])/g, "$1");
  if (key === undefined || key.length > IDEMPOTENCY_KEY_CHARACTERS_MAX) {
    throw new KeysteadError("invalid_header", {
      detail: "Idempotency-Key is 1 to 255 visible ASCII characters, bare or in double quotes",
    });
  }
  return key;
}
