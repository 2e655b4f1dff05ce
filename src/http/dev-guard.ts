/**
 * What keeps web pages out of dev mode, whose callers need no credentials.
 * Invariant: a request that a browser could send for a foreign page is refused: its `Host` must be a loopback name (no DNS
 * rebinding), its `Origin`, where there is one, too, and it may not come from another site.
 */
import { KeysteadError } from "../errors.ts";
import type { WireRequest } from "./wire.ts";

const loopbackHost = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Throws `origin_refused` where the request may come from a web page.
 * @param anyHost dev mode was opened to other machines: any host name is ours, but no page of another one
 */
export function assertLocalClient(request: WireRequest, anyHost: boolean): void {
  const host = request.header("host");
  const origin = request.header("origin");
  const site = request.header("sec-fetch-site");
  if (
    host === undefined ||
    (!anyHost && !loopbackHost.test(host)) ||
    (origin !== undefined && !(anyHost ? isOwnOrigin(origin, host) : isLoopbackOrigin(origin))) ||
    (site !== undefined && site !== "same-origin" && site !== "none")
  ) {
    throw new KeysteadError("origin_refused");
  }
}

function isLoopbackOrigin(origin: string): boolean {
  const scheme = /^https?:\/\//i.exec(origin)?.[0];
  return scheme !== undefined && loopbackHost.test(origin.slice(scheme.length));
}

function isOwnOrigin(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`;
}
