/**
 * Request ids: the client's own where it has a harmless form, else one of ours.
 * Invariant: an id is at most 64 characters of `[A-Za-z0-9._-]`, so that it can stand in any log as it is.
 */
import { randomId } from "../crypto/random.ts";
import type { WireRequest } from "./wire.ts";

const acceptable = /^[A-Za-z0-9._-]{1,64}$/;
/** Random for each start, so that two starts never give the same id. */
const prefix = randomId().slice(0, 18).replaceAll("-", "");
let last = 0;

/** The id under which a request is answered, logged and audited. */
export function requestIdOf(request: WireRequest): string {
  const given = request.header("x-request-id");
  return given !== undefined && acceptable.test(given) ? given : `${prefix}-${(++last).toString(36)}`;
}
