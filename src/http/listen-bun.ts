/// <reference types="bun" />
/**
 * The listener on Bun. Routes are matched by Bun's own router, which sees the raw path; `request.url` arrives normalised
 * and is looked at only for what it cannot hide (a `%`, which no canonical path here has).
 * Invariant: every path takes every method itself, so that no request falls through to another row.
 */
import { Buffer } from "node:buffer";
import { KeysteadError } from "../errors.ts";
import { buildRouteTable, isParameter, type PathEntry } from "./route-table.ts";
import {
  alwaysHeaders,
  BODY_BYTES_MAX,
  plainAddress,
  REQUEST_ID_HEADER,
  type Listener,
  type ListenOptions,
  type WireRequest,
  type WireResponse,
} from "./wire.ts";

/** Seconds without a byte after which a connection is closed; slow handlers count as well. */
const IDLE_SECONDS = 120;

type BunServer = Bun.Server<undefined>;
type ParameterRequest = Request & { params?: Record<string, string> };

/** Starts listening. Rejects where the address cannot be had. */
export function listenOnBun(options: ListenOptions): Promise<Listener> {
  const { fallback, internal } = options;
  const routes: Record<string, (request: ParameterRequest, server: BunServer) => Promise<Response>> = {};
  for (const entry of buildRouteTable(options.routes)) {
    const names = entry.segments.filter(isParameter).map((segment) => segment.slice(1, -1));
    routes[entry.path.replaceAll(/\{(\w+)\}/g, ":$1")] = (request, server) => {
      const wire = new BunRequest(request, server, internal, plainParams(names, request.params));
      return answer(entry, wire).then(toResponse);
    };
  }
  function answer(entry: PathEntry, wire: BunRequest): Promise<WireResponse> {
    if (!wire.isCanonical()) return fallback.invalidPath(wire);
    const route = entry.methods.get(wire.method);
    return route === undefined
      ? fallback.methodNotAllowed(wire, [...entry.methods.keys()])
      : route.handle(wire);
  }
  const server: BunServer = Bun.serve({
    hostname: options.host,
    port: options.port,
    idleTimeout: IDLE_SECONDS,
    maxRequestBodySize: BODY_BYTES_MAX,
    development: false,
    routes,
    fetch: async (request, self) =>
      toResponse(await fallback.notFound(new BunRequest(request, self, internal, {}))),
    error: () => new Response(null, { status: 500 }),
  });
  const port = server.port ?? options.port;
  return Promise.resolve({
    address: `${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    port,
    stop: () => {
      void server.stop(false);
    },
    close: () => server.stop(true),
  });
}

/** The parameters as a plain object: the router's own is a native one whose every look is slow. */
function plainParams(
  names: readonly string[],
  params: Record<string, string> | undefined,
): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const name of names) plain[name] = params?.[name] ?? "";
  return plain;
}

/** One Headers object for each content type: `Response` copies it, which is cheaper than making one anew. */
const headersByType = new Map<string | undefined, Headers>();

function toResponse({ status, contentType, requestId, headers, body }: WireResponse): Response {
  let base = headersByType.get(contentType);
  if (base === undefined) {
    base = new Headers(
      contentType === undefined ? alwaysHeaders : { ...alwaysHeaders, "content-type": contentType },
    );
    headersByType.set(contentType, base);
  }
  base.set(REQUEST_ID_HEADER, requestId);
  const response = new Response(body, { status, headers: base });
  if (headers !== undefined) for (const name in headers) response.headers.set(name, headers[name] ?? "");
  return response;
}

class BunRequest implements WireRequest {
  readonly method: string;
  readonly internal: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly address: string;
  readonly #request: Request;

  constructor(
    request: ParameterRequest,
    server: BunServer,
    internal: boolean,
    params: Readonly<Record<string, string>>,
  ) {
    this.method = request.method;
    this.internal = internal;
    this.params = params;
    // Taken at once: of a connection that is reset meanwhile it is no longer known.
    this.address = plainAddress(server.requestIP(request)?.address);
    this.#request = request;
  }

  get queryText(): string {
    const { url } = this.#request;
    const start = url.indexOf("?");
    return start === -1 ? "" : url.slice(start + 1);
  }

  /** False where the path holds an escape: Bun decodes parameters, and nothing here needs an escape. */
  isCanonical(): boolean {
    const { url } = this.#request;
    const escape = url.indexOf("%");
    if (escape === -1) return true;
    const query = url.indexOf("?");
    return query !== -1 && query < escape;
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined;
  }

  readBody(bytesMax: number): Promise<Uint8Array> {
    return this.#request.arrayBuffer().then(
      (bytes) => {
        if (bytes.byteLength > bytesMax) throw new KeysteadError("payload_too_large");
        return Buffer.from(bytes);
      },
      (cause: unknown) => {
        throw new KeysteadError("body_incomplete", { cause });
      },
    );
  }
}
