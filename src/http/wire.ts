/**
 * Requests and responses as facades see them, whichever listener they came through.
 * Invariant: a listener hands over only what matched a route on its raw path, with parameters that hold neither `%` nor
 * `\` nor `/`: nothing is normalised into a match.
 */
import type { TrustedProxies } from "./forwarded.ts";
import type { TlsPair } from "./tls-files.ts";

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface WireRequest {
  readonly method: string;
  /** The path, normalised: it tells whose it is where no route matched, and nothing else. */
  readonly path: string;
  /** The client's address, as text. */
  readonly address: string;
  /** The listed proxy that the request came through, where `address` is not the peer's own. */
  readonly proxy: string | undefined;
  /** True on the listener that only internal networks reach. */
  readonly internal: boolean;
  /** The values of the path's `{…}` segments. */
  readonly params: Readonly<Record<string, string>>;
  /** What stands after `?`, as it came; "" where there is nothing. */
  readonly queryText: string;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  /**
   * The whole body; without a promise where it is there already. Throws or rejects with `payload_too_large` beyond
   * `bytesMax`, as soon as that is known, and with `body_incomplete`.
   */
  readBody(bytesMax: number): Uint8Array | Promise<Uint8Array>;
}

export interface WireResponse {
  readonly status: number;
  /** Undefined where there is no body. */
  readonly contentType: string | undefined;
  readonly requestId: string;
  /** Beyond those that every answer has (see `alwaysHeaders`). */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | null;
}

/** Nothing of this service may be cached or sniffed. */
export const alwaysHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" } as const;
export const REQUEST_ID_HEADER = "x-request-id";

/** One row of a facade's table: what it answers to, and how. */
export interface WireRoute {
  readonly method: HttpMethod;
  /** Segments in braces are parameters: `/v1/keys/{name}`. */
  readonly path: string;
  handle(request: WireRequest): Promise<WireResponse>;
}

/** Listeners refuse more before anybody reads it: the largest limit of a route, and so much more that a route answers. */
export const BODY_BYTES_MAX = 8 * 1024 * 1024 + 64 * 1024;

/** Answers what no row matches, in the shape of the path's owner. */
export interface Fallback {
  notFound(request: WireRequest): Promise<WireResponse>;
  methodNotAllowed(request: WireRequest, allowed: readonly string[]): Promise<WireResponse>;
  invalidPath(request: WireRequest): Promise<WireResponse>;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly internal: boolean;
  readonly routes: readonly WireRoute[];
  readonly fallback: Fallback;
  /** Undefined speaks plain HTTP. */
  readonly tls?: TlsPair | undefined;
  /** Whose X-Forwarded-For counts; undefined looks at no such header. */
  readonly proxies?: TrustedProxies | undefined;
  /** Seconds that a body may take; 30 unless set. */
  readonly bodySecondsMax?: number;
}

export interface Listener {
  /** Where it listens, such as `127.0.0.1:8080`. */
  readonly address: string;
  readonly port: number;
  /** Uses another certificate for new connections; those that are open go on. Throws where it cannot. */
  reloadTls(pair: TlsPair): void;
  /** Takes no new connections; those that are open may finish. */
  stop(): void;
  /** Ends what is still open. */
  close(): Promise<void>;
}

/** Stands for the address of a client that is gone. */
export const UNKNOWN_ADDRESS = "unknown";

/** A client's address as it is written everywhere: an IPv4 address without the prefix that an IPv6 socket gives it. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return UNKNOWN_ADDRESS;
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}
