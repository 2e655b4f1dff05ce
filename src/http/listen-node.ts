/**
 * The listener on Node's own HTTP server: the same routes, matched on the raw request target.
 * Invariant: answers are those of the Bun listener, status, headers and body.
 */
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { KeysteadError } from "../errors.ts";
import { buildRouteTable, matchPath } from "./route-table.ts";
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
  const { fallback, internal } = options;

  async function answer(message: IncomingMessage): Promise<WireResponse> {
    const target = originForm(message.url ?? "/");
    const query = target.indexOf("?");
    const path = query === -1 ? target : target.slice(0, query);
    const found = matchPath(entries, path);
    const wire = new NodeRequest(
      message,
      internal,
      found?.params ?? {},
      query === -1 ? "" : target.slice(query + 1),
    );
    if (found === undefined) return fallback.notFound(wire);
    if (/[%\\]/.test(path)) return fallback.invalidPath(wire);
    const route = found.entry.methods.get(wire.method);
    return route === undefined
      ? fallback.methodNotAllowed(wire, [...found.entry.methods.keys()])
      : route.handle(wire);
  }

  const server = createServer({ keepAliveTimeout: IDLE_MS }, (message, response) => {
    answer(message).then(
      (wire) => {
        send(message, response, wire);
      },
      () => {
        send(message, response, { status: 500, contentType: undefined, requestId: "", body: null });
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    port,
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

/** A request target in origin form; from the absolute form that a proxy sends (RFC 9112 §3.2.2), what stands after the host. */
function originForm(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/i, "");
}

function send(message: IncomingMessage, response: ServerResponse, wire: WireResponse): void {
  const body = wire.body === null ? Buffer.alloc(0) : Buffer.from(wire.body);
  response.writeHead(wire.status, {
    ...alwaysHeaders,
    [REQUEST_ID_HEADER]: wire.requestId,
    ...(wire.contentType === undefined ? {} : { "content-type": wire.contentType }),
    ...wire.headers,
    ...(wire.status === 204 ? {} : { "content-length": body.length }),
  });
  response.end(body);
  // What was refused before its body was read: nobody will read the rest.
  if (!message.complete) message.resume();
}

class NodeRequest implements WireRequest {
  readonly method: string;
  readonly address: string;
  readonly internal: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly queryText: string;
  readonly #message: IncomingMessage;

  constructor(
    message: IncomingMessage,
    internal: boolean,
    params: Record<string, string>,
    queryText: string,
  ) {
    this.method = message.method ?? "GET";
    this.address = plainAddress(message.socket.remoteAddress);
    this.internal = internal;
    this.params = params;
    this.queryText = queryText;
    this.#message = message;
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  async readBody(bytesMax: number): Promise<Uint8Array> {
    const limit = Math.min(bytesMax, BODY_BYTES_MAX);
    if (Number(this.header("content-length") ?? 0) > limit) throw new KeysteadError("payload_too_large");
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of this.#message as AsyncIterable<Buffer>) {
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
