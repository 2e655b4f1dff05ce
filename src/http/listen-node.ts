/**
 * The listener on Node's own HTTP server: the same routes, matched on the raw request target.
 * Invariant: answers are those of the Bun listener, status, headers and body.
 */
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TlsOptions } from "node:tls";
import { KeysteadError } from "../errors.ts";
import { BodyDeadline } from "./body-deadline.ts";
import type { TrustedProxies } from "./forwarded.ts";
import { buildRouteTable, matchPath } from "./route-table.ts";
import { TLS_1_2_SUITES, TLS_1_3_SUITES, type TlsPair } from "./tls-files.ts";
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

const IDLE_MS = 120_000;

/** Starts listening. Rejects where the address cannot be had. */
export async function listenOnNode(options: ListenOptions): Promise<Listener> {
  const entries = buildRouteTable(options.routes);
  const { fallback, tls } = options;
  const context: NodeContext = {
    internal: options.internal,
    proxies: options.proxies,
    deadline: new BodyDeadline(options.bodySecondsMax),
  };

  async function answer(message: IncomingMessage): Promise<{ wire: NodeRequest; response: WireResponse }> {
    const target = originForm(message.url ?? "/");
    const query = target.indexOf("?");
    const path = query === -1 ? target : target.slice(0, query);
    const found = matchPath(entries, path);
    const wire = new NodeRequest(
      message,
      context,
      found?.params ?? {},
      query === -1 ? "" : target.slice(query + 1),
    );
    return { wire, response: await respond() };

    function respond(): Promise<WireResponse> {
      if (found === undefined) return fallback.notFound(wire);
      if (/[%\\]/.test(path)) return fallback.invalidPath(wire);
      const route = found.entry.methods.get(wire.method);
      return route === undefined
        ? fallback.methodNotAllowed(wire, [...found.entry.methods.keys()])
        : route.handle(wire);
    }
  }

  const listener = (message: IncomingMessage, response: ServerResponse): void => {
    answer(message).then(
      (answered) => {
        send(message, response, answered.response, answered.wire.gaveUp);
      },
      () => {
        send(message, response, { status: 500, contentType: undefined, requestId: "", body: null }, false);
      },
    );
  };
  const tlsServer =
    tls === undefined
      ? undefined
      : createTlsServer({ keepAliveTimeout: IDLE_MS, ...tlsOptions(tls) }, listener);
  const server = tlsServer ?? createServer({ keepAliveTimeout: IDLE_MS }, listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    port,
    reloadTls: (pair) => {
      tlsServer?.setSecureContext(tlsOptions(pair));
    },
    stop: () => {
      server.close();
      server.closeIdleConnections();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function tlsOptions({ cert, key }: TlsPair): TlsOptions {
  // Node takes the suites of both versions in one list, and without one of TLS 1.3 it would not speak it.
  const ciphers = [...TLS_1_3_SUITES, ...TLS_1_2_SUITES].join(":");
  return { cert, key, ciphers, minVersion: "TLSv1.2", honorCipherOrder: true };
}

/** A request target in origin form; from the absolute form that a proxy sends (RFC 9112 §3.2.2), what stands after the host. */
function originForm(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/i, "");
}

function send(
  message: IncomingMessage,
  response: ServerResponse,
  wire: WireResponse,
  closing: boolean,
): void {
  const body = wire.body === null ? Buffer.alloc(0) : Buffer.from(wire.body);
  response.writeHead(wire.status, {
    ...alwaysHeaders,
    [REQUEST_ID_HEADER]: wire.requestId,
    ...(wire.contentType === undefined ? {} : { "content-type": wire.contentType }),
    ...wire.headers,
    ...(closing ? { connection: "close" } : {}),
    ...(wire.status === 204 ? {} : { "content-length": body.length }),
  });
  response.end(body);
  // What was refused before its body was read: nobody will read the rest.
  if (!message.complete) message.resume();
}

/** What all requests of a listener share. */
interface NodeContext {
  readonly internal: boolean;
  readonly proxies: TrustedProxies | undefined;
  readonly deadline: BodyDeadline;
}

class NodeRequest implements WireRequest {
  readonly method: string;
  readonly address: string;
  readonly proxy: string | undefined;
  readonly internal: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly queryText: string;
  /** The body took too long: the rest of it is not waited for. */
  gaveUp = false;
  readonly #message: IncomingMessage;
  readonly #deadline: BodyDeadline;

  constructor(
    message: IncomingMessage,
    { internal, proxies, deadline }: NodeContext,
    params: Record<string, string>,
    queryText: string,
  ) {
    this.#message = message;
    this.#deadline = deadline;
    this.method = message.method ?? "GET";
    const peer = plainAddress(message.socket.remoteAddress);
    const client = proxies?.clientOf(peer, () => this.header("x-forwarded-for"));
    this.address = client ?? peer;
    this.proxy = client === undefined ? undefined : peer;
    this.internal = internal;
    this.params = params;
    this.queryText = queryText;
  }

  get path(): string {
    const url = `http://host${originForm(this.#message.url ?? "/")}`;
    return URL.canParse(url) ? new URL(url).pathname : "/";
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  async readBody(bytesMax: number): Promise<Uint8Array> {
    const limit = Math.min(bytesMax, BODY_BYTES_MAX);
    if (Number(this.header("content-length") ?? 0) > limit) throw new KeysteadError("payload_too_large");
    let giveUp: () => void = () => undefined;
    const late = new Promise<never>((_, reject) => {
      giveUp = () => {
        this.gaveUp = true;
        reject(new KeysteadError("body_incomplete"));
      };
    });
    const reading = this.#deadline.begin(giveUp);
    try {
      return await Promise.race([this.#collect(limit), late]);
    } finally {
      this.#deadline.end(reading);
    }
  }

  async #collect(limit: number): Promise<Uint8Array> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of this.#message as AsyncIterable<Buffer>) {
        if (this.gaveUp) break;
        bytes += chunk.length;
        if (bytes > limit) throw new KeysteadError("payload_too_large");
        chunks.push(chunk);
      }
    } catch (cause) {
      throw cause instanceof KeysteadError ? cause : new KeysteadError("body_incomplete", { cause });
    }
    return Buffer.concat(chunks);
  }
}
