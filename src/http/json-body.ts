/**
 * JSON bodies: media type, strict UTF-8, bounded depth, then parsing.
 * Invariant: depth is known before the parser recurses; text that is not well-formed UTF-8 is refused, never repaired.
 */
import { isAscii, type Buffer } from "node:buffer";
import { asBuffer, decodeUtf8 } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";

export const DEPTH_MAX = 16;
/** A text this short cannot be nested deeply enough to hurt; its shape is the schema's business. */
const SHORT_CHARACTERS = 1024;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The media type of JSON, with no parameter but UTF-8. */
export function isJsonMediaType(contentType: string | undefined): boolean {
  return (
    contentType === "application/json" ||
    (contentType !== undefined && /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType))
  );
}

/** The value that a body holds; an empty body holds an empty object. Throws `invalid_json` or `too_deep`. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  const buffer: Buffer = asBuffer(bytes);
  const text = isAscii(buffer) ? buffer.toString("latin1") : decodeUtf8(buffer);
  if (text === undefined) throw new KeysteadError("invalid_json");
  if (text.length > SHORT_CHARACTERS && isTooDeep(text)) throw new KeysteadError("too_deep");
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message quotes the text.
    throw new KeysteadError("invalid_json");
  }
}

/** Whether a field is called `__proto__`, at whatever depth: the schema library passes over this one name. */
export function namesPrototype(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.hasOwn(value, "__proto__") || Object.values(value).some(namesPrototype);
}

/** Whether arrays and objects are nested more than DEPTH_MAX deep; strings are leapt over. */
export function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = endOfString(text, i);
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > DEPTH_MAX) return true;
    } else if (code === 0x5d || code === 0x7d) {
      depth--;
    }
  }
  return false;
}

/** The index of the quote that closes the string opened at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
