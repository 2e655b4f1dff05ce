/// <reference types="bun" />
/**
 * The listener on Bun. Routes are matched by Bun's own router, which sees the raw path; `request.url` arrives normalised
 * and is looked at only for what it cannot hide (a `%`, which no canonical path here has).
 * Another certificate takes another server on the same port (SO_REUSEPORT), since Bun's own `reload` does not change it. For
 * LEAVING_MS the old server says `Connection: close` with each answer, so that clients come back to the new one without
 * losing a request; then it stops, which closes the connections that were idle all that time.
 * Invariant: every path takes every method itself, so that no request falls through to another row.
 */
import { Buffer } from "node:buffer";
import { KeysteadError } from "../errors.ts";
import { BodyDeadline } from "./body-deadline.ts";
import type { TrustedProxies } from "./forwarded.ts";
import { buildRouteTable, isParameter, type PathEntry } from "./route-table.ts";
import { TLS_1_2_SUITES, type TlsPair } from "./tls-files.ts";
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

/** How long a server that has another certificate than the newest lets its clients go. */
const LEAVING_MS = 5000;
/** The number that TLS 1.2 has on the wire; Bun takes no name. */
const TLS_1_2 = 0x0303;

/** Up to here Bun gathers headers and body for one system call. */
const GATHERED_BYTES_MAX = 15_000;

type BunServer = Bun.Server<undefined>;
type ParameterRequest = Request & { params?: Record<string, string> };

/** What all requests of a listener share. */
interface BunContext {
  readonly internal: boolean;
  readonly proxies: TrustedProxies | undefined;
  readonly deadline: BodyDeadline;
}

/** One server of a listener: it has one certificate for as long as it lives. */
interface Generation {
  readonly server: BunServer;
  /** Its clients are asked to connect anew. */
  leaving: boolean;
}

/** Starts listening. Rejects where the address cannot be had. */
export async function listenOnBun(options: ListenOptions): Promise<Listener> {
  const { host, tls } = options;
  const entries = buildRouteTable(options.routes);
  const context: BunContext = {
    internal: options.internal,
    proxies: options.proxies,
    deadline: new BodyDeadline(options.bodySecondsMax),
  };
  // A shared port would also be shared with another program that has it in the same way: see first that nobody has it.
  if (tls !== undefined && options.port !== 0) {
    const probe = Bun.serve({ hostname: host, port: options.port, fetch: () => new Response() });
    await probe.stop(true);
  }
  let current = startGeneration(options, entries, context, options.port, tls);
  const port = current.server.port ?? options.port;
  const old = new Set<Generation>();
  return {
    address: `${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    reloadTls: (pair) => {
      const last = current;
      current = startGeneration(options, entries, context, port, pair);
      last.leaving = true;
      old.add(last);
      setTimeout(() => {
        // After a turn of the loop, so that connections that wait to be taken are taken and not reset.
        setImmediate(() => {
          old.delete(last);
          void last.server.stop(false);
        });
      }, LEAVING_MS).unref();
    },
    stop: () => {
      for (const { server } of [current, ...old]) void server.stop(false);
    },
    close: async () => {
      for (const { server } of [current, ...old]) await server.stop(true);
    },
  };
}

function startGeneration(
  { fallback, host }: ListenOptions,
  entries: readonly PathEntry[],
  context: BunContext,
  port: number,
  tls: TlsPair | undefined,
): Generation {
  const routes: Record<string, (request: ParameterRequest, server: BunServer) => Promise<Response>> = {};
  for (const entry of entries) {
    const names = entry.segments.filter(isParameter).map((segment) => segment.slice(1, -1));
    routes[entry.path.replaceAll(/\{(\w+)\}/g, ":$1")] = async (request, server) => {
      const wire = new BunRequest(request, server, context, plainParams(names, request.params));
      return respond(await answer(entry, wire), wire);
    };
  }
  function answer(entry: PathEntry, wire: BunRequest): Promise<WireResponse> {
    if (!wire.isCanonical()) return fallback.invalidPath(wire);
    const route = entry.methods.get(wire.method);
    return route === undefined
      ? fallback.methodNotAllowed(wire, [...entry.methods.keys()])
      : route.handle(wire);
  }
  function respond(answered: WireResponse, wire: BunRequest): Response {
    const response = toResponse(answered);
    if (generation.leaving || wire.gaveUp) response.headers.set("connection", "close");
    return response;
  }
  const server: BunServer = Bun.serve({
    hostname: host,
    port,
    idleTimeout: IDLE_SECONDS,
    maxRequestBodySize: BODY_BYTES_MAX,
    development: false,
    ...(tls === undefined ? {} : { tls: tlsOptions(tls), reusePort: true }),
    routes,
    fetch: async (request, self) => {
      const wire = new BunRequest(request, self, context, {});
      return respond(await fallback.notFound(wire), wire);
    },
    error: () => new Response(null, { status: 500 }),
  });
  const generation: Generation = { server, leaving: false };
  return generation;
}

/** Bun's suites unless set include static RSA with CBC. TLS 1.3's are not for choosing. */
function tlsOptions({ cert, key }: TlsPair): Bun.TLSOptions {
  // The types know no minVersion; what it does is held to real handshakes by test/http/tls.test.ts.
  const options = { cert, key, ciphers: TLS_1_2_SUITES.join(":"), minVersion: TLS_1_2 };
  return options;
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
  const isLarge = body !== null && body.length > GATHERED_BYTES_MAX;
  const response = new Response(isLarge ? streamOf(body) : body, { status, headers: base });
  if (headers !== undefined) for (const name in headers) response.headers.set(name, headers[name] ?? "");
  return response;
}

/**
 * A body that goes out together with its headers whatever its size: of a larger one that is given as a whole Bun sends every
 * header's name, value and line end by a system call of its own. It comes in chunks, since a stream has no length.
 */
function streamOf(body: string | Uint8Array): ReadableStream {
  const source: Bun.DirectUnderlyingSource<Uint8Array> = {
    type: "direct",
    pull: (controller) => {
      // What the connection does not take at once is kept, and sent before the end is.
      void controller.write(body);
      controller.close();
    },
  };
  return new ReadableStream(source as unknown as UnderlyingDefaultSource);
}

/** Made for every request: plain fields, since those with a `#` cost more to make. */
class BunRequest implements WireRequest {
  readonly method: string;
  readonly internal: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly address: string;
  readonly proxy: string | undefined;
  /** The body took too long: the rest of it is not waited for. */
  gaveUp = false;
  private readonly request: Request;
  private readonly headers: Headers;
  private readonly deadline: BodyDeadline;

  constructor(
    request: ParameterRequest,
    server: BunServer,
    { internal, proxies, deadline }: BunContext,
    params: Readonly<Record<string, string>>,
  ) {
    this.method = request.method;
    this.internal = internal;
    this.params = params;
    this.request = request;
    this.headers = request.headers;
    this.deadline = deadline;
    // Taken at once: of a connection that is reset meanwhile it is no longer known.
    const peer = plainAddress(server.requestIP(request)?.address);
    const client =
      proxies === undefined ? undefined : proxies.clientOf(peer, () => this.header("x-forwarded-for"));
    this.address = client ?? peer;
    this.proxy = client === undefined ? undefined : peer;
  }

  get path(): string {
    return new URL(this.request.url).pathname;
  }

  get queryText(): string {
    const { url } = this.request;
    const start = url.indexOf("?");
    return start === -1 ? "" : url.slice(start + 1);
  }

  /** False where the path holds an escape: Bun decodes parameters, and nothing here needs an escape. */
  isCanonical(): boolean {
    const { url } = this.request;
    const escape = url.indexOf("%");
    if (escape === -1) return true;
    const query = url.indexOf("?");
    return query !== -1 && query < escape;
  }

  header(name: string): string | undefined {
    return this.headers.get(name) ?? undefined;
  }

  readBody(bytesMax: number): Uint8Array | Promise<Uint8Array> {
    const length = this.header("content-length");
    // Of a body in chunks nobody knows the length before it is read.
    if (length === undefined) return this.withinTime(this.readChunks(bytesMax));
    if (Number(length) > bytesMax) throw new KeysteadError("payload_too_large");
    const reading = this.request.arrayBuffer();
    const read = Bun.peek(reading);
    // Of a client that is gone there is an error to be seen, which the promise then rejects with.
    return read instanceof ArrayBuffer
      ? Buffer.from(read)
      : this.withinTime(reading.then((bytes) => Buffer.from(bytes)));
  }

  private async readChunks(bytesMax: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of this.request.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new KeysteadError("payload_too_large");
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  private withinTime(reading: Promise<Uint8Array>): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const begun = this.deadline.begin(() => {
        this.gaveUp = true;
        reject(new KeysteadError("body_incomplete"));
      });
      reading.then(
        (bytes) => {
          this.deadline.end(begun);
          resolve(bytes);
        },
        (cause: unknown) => {
          this.deadline.end(begun);
          reject(cause instanceof KeysteadError ? cause : new KeysteadError("body_incomplete", { cause }));
        },
      );
    });
  }
}
