/** Query strings. Invariant: a field that comes twice is refused, never chosen from. */
import { KeysteadError } from "../errors.ts";

/** The fields of a query string. Throws `invalid_body`. */
export function parseQuery(text: string): Record<string, string> {
  const query = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (query.has(name)) throw new KeysteadError("invalid_body", { detail: "a query field came twice" });
    query.set(name, value);
  }
  return Object.fromEntries(query);
}
