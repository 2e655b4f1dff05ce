/**
 * The document store over HTTP, with the key service as another process.
 *
 *     PUT, GET, DELETE  /projects/{project}/docs/{collection}/{id}
 *     GET               /projects/{project}/docs/{collection}?limit&cursor    {"documents":[…],"next_cursor":…}
 *     GET               /projects/{project}/docs?limit&cursor                 {"collections":[…],"next_cursor":…}
 *     GET               /health, /ready
 *
 * Invariant: the path is matched as it came: what holds `%` or `\`, an empty or a dotted part is refused, never made into
 * something else. Without tokens only programs of this machine are answered: no other host name, no web page.
 */
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { KeysteadClient } from "../sdk/client.ts";
import { callerOf, mayUse, type DocumentCaller } from "./callers.ts";
import type { DocStore, ListOptions, PutOptions } from "./doc-store.ts";
import { foldProject } from "./document-name.ts";
import { DocumentProblem, problemOf } from "./document-problem.ts";
import { DocStoreError } from "./doc-store-error.ts";
import { proveWritable } from "./durable-file.ts";
import { DOCUMENT_TLS } from "./document-tls.ts";

const BODY_BYTES_MAX = 1024 * 1024;
const HEADERS_MS_MAX = 10_000;
const REQUEST_MS_MAX = 60_000;
const STOP_MS_MAX = 10_000;
const HEALTH_MS = 1000;
const HEALTH_CALL = { timeoutMs: 2000 } as const;
const loopbackHost = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?$/i;
const jsonType = /^application\/json(; *charset=utf-8)?$/i;

export interface DocumentServerOptions {
  readonly store: DocStore;
  /** The store's folder and its key service, for /health. */
  readonly data: string;
  readonly client: KeysteadClient;
  /** Undefined lets in every program of this machine. */
  readonly callers?: readonly DocumentCaller[] | undefined;
  /** Answers requests for any host name without a token: whoever reaches the server may do everything. */
  readonly openToAll?: boolean | undefined;
  /** 1 MiB unless set. */
  readonly bodyBytesMax?: number | undefined;
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /** Told of every answer that is the server's own fault, by its code. */
  readonly onFailure?: ((code: string, cause: unknown) => void) | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export class DocumentServer {
  readonly #options: DocumentServerOptions;
  readonly #server: Server;
  #health: { readonly until: number; readonly answer: Promise<Answer> } | undefined;
  #data: { readonly until: number; readonly state: Promise<"ok" | "failed"> } | undefined;

  constructor(options: DocumentServerOptions) {
    this.#options = options;
    const limits = { headersTimeout: HEADERS_MS_MAX, requestTimeout: REQUEST_MS_MAX };
    const listener = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#serve(request, response);
    this.#server =
      options.tls === undefined
        ? createServer(limits, listener)
        : createTlsServer({ ...limits, ...DOCUMENT_TLS, ...options.tls }, listener);
  }

  /** Listens; the port is the one that was given, or a free one for 0. */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more requests, ends those under way, and wipes the keys that are in memory. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => {
      this.#server.closeAllConnections();
    }, STOP_MS_MAX);
    await closed;
    clearTimeout(timer);
    this.#options.store.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      if (error instanceof ClientGone) return;
      const problem = problemOf(error);
      if (problem.status >= 500) this.#options.onFailure?.(codeOf(error), error);
      answer = problem;
    }
    const body = Buffer.from(answer.body ?? "", "utf8");
    const headers: Record<string, string | number> = {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(answer.status === 204 ? {} : { "content-length": body.length }),
      ...answer.headers,
    };
    // What was not read to its end stands in the way of the next request.
    if (!request.complete) headers["connection"] = "close";
    response.writeHead(answer.status, headers);
    response.end(answer.status === 204 ? undefined : body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { method = "" } = request;
    const [path, query] = splitOnce(request.url ?? "", "?");
    if (path === "/ready" || path === "/health") {
      if (method !== "GET") throw notAllowed("GET");
      return path === "/ready" ? this.#ready() : this.#healthNow();
    }
    const caller = this.#caller(request);
    const parts = partsOf(path);
    const [projects, name, docs, collection, id] = parts;
    if (projects !== "projects" || name === undefined || docs !== "docs" || parts.length > 5) {
      throw new DocumentProblem("route_not_found");
    }
    const project = foldProject(name);
    if (caller !== undefined && !mayUse(caller, project)) throw new DocumentProblem("forbidden");
    if (collection === undefined || id === undefined) {
      if (method !== "GET") throw notAllowed("GET");
      const range = rangeOf(query);
      const { store } = this.#options;
      const { names, nextCursor } = await (collection === undefined
        ? store.collections(project, range)
        : store.list(project, collection, range));
      return json(200, {
        [collection === undefined ? "collections" : "documents"]: names,
        ...(nextCursor === undefined ? {} : { next_cursor: nextCursor }),
      });
    }
    if (query !== undefined) throw new DocumentProblem("invalid_query");
    return this.#document(request, project, collection, id);
  }

  async #document(
    request: IncomingMessage,
    project: string,
    collection: string,
    id: string,
  ): Promise<Answer> {
    const { store, bodyBytesMax = BODY_BYTES_MAX } = this.#options;
    const { method = "" } = request;
    switch (method) {
      case "GET": {
        const text = await store.getText(project, collection, id);
        if (text === undefined) throw new DocumentProblem("document_not_found");
        return { status: 200, headers: { "content-type": "application/json" }, body: text };
      }
      case "PUT":
        if (!jsonType.test(request.headers["content-type"] ?? ""))
          throw new DocumentProblem("unsupported_media_type");
        if (
          !(await store.putText(
            project,
            collection,
            id,
            await bodyOf(request, bodyBytesMax),
            conditionOf(request),
          ))
        ) {
          throw new DocumentProblem("document_exists");
        }
        return { status: 204 };
      case "DELETE":
        if (!(await store.delete(project, collection, id))) throw new DocumentProblem("document_not_found");
        return { status: 204 };
      default:
        throw notAllowed("GET, PUT, DELETE");
    }
  }

  /** @throws DocumentProblem for nobody, and for a web page where no token is asked for */
  #caller({ headers }: IncomingMessage): DocumentCaller | undefined {
    const { callers, openToAll = false } = this.#options;
    if (callers !== undefined) {
      const caller = callerOf(callers, headers.authorization);
      if (caller === undefined) throw new DocumentProblem("unauthenticated");
      return caller;
    }
    // A page that this machine's browser shows could reach the server too: by its origin, or by a name of its own.
    if (!openToAll && (headers.origin !== undefined || !loopbackHost.test(headers.host ?? ""))) {
      throw new DocumentProblem("forbidden_origin");
    }
    return undefined;
  }

  async #ready(): Promise<Answer> {
    const isThere = await this.#dataCheck();
    return json(isThere === "ok" ? 200 : 503, { status: isThere === "ok" ? "ok" : "degraded" });
  }

  /** At most once a second: whoever asks cannot make this server ask the key service as often. */
  #healthNow(): Promise<Answer> {
    if (this.#health === undefined || performance.now() >= this.#health.until) {
      this.#health = { until: performance.now() + HEALTH_MS, answer: this.#checks() };
    }
    return this.#health.answer;
  }

  async #checks(): Promise<Answer> {
    const keyService = this.#options.client.health(HEALTH_CALL).then(
      ({ status }) => (status === "ok" ? "ok" : "failed"),
      () => "failed",
    );
    const checks = { data: await this.#dataCheck(), key_service: await keyService };
    const isWell = checks.data === "ok" && checks.key_service === "ok";
    return json(isWell ? 200 : 503, { status: isWell ? "ok" : "degraded", checks });
  }

  /** Writes, at most once a second: a full disk says nothing until then. */
  #dataCheck(): Promise<"ok" | "failed"> {
    if (this.#data === undefined || performance.now() >= this.#data.until) {
      const state = proveWritable(this.#options.data).then(
        () => "ok" as const,
        () => "failed" as const,
      );
      this.#data = { until: performance.now() + HEALTH_MS, state };
    }
    return this.#data.state;
  }
}

/** Whoever sent the request ended it before its end: nobody is there to be answered. */
class ClientGone extends Error {}

/** `If-None-Match: *` makes a document and replaces none. */
function conditionOf({ headers }: IncomingMessage): PutOptions {
  const condition = headers["if-none-match"];
  if (headers["if-match"] !== undefined || (condition !== undefined && condition !== "*")) {
    throw new DocumentProblem("invalid_condition");
  }
  return { onlyIfAbsent: condition === "*" };
}

function json(status: number, value: unknown): Answer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}

function notAllowed(allow: string): DocumentProblem {
  return new DocumentProblem("method_not_allowed", { allow });
}

function codeOf(error: unknown): string {
  return error instanceof DocStoreError || error instanceof DocumentProblem ? error.code : "internal";
}

/** @throws DocumentProblem `invalid_path` */
function partsOf(path: string): string[] {
  const parts = path.split("/").slice(1);
  if (
    !path.startsWith("/") ||
    /[^\x21-\x7e]|[%\\?#;]/.test(path) ||
    parts.some((part) => /^\.*$/.test(part))
  ) {
    throw new DocumentProblem("invalid_path");
  }
  return parts;
}

/** @throws DocumentProblem `invalid_query`; what the values may be is the store's to say */
function rangeOf(query: string | undefined): ListOptions {
  const fields = new URLSearchParams(query ?? "");
  const names = [...fields.keys()];
  if (names.some((name) => !["limit", "cursor"].includes(name)) || new Set(names).size !== names.length) {
    throw new DocumentProblem("invalid_query");
  }
  const [limit, cursor] = [fields.get("limit"), fields.get("cursor")];
  if (limit !== null && !/^[1-9][0-9]{0,4}$/.test(limit)) throw new DocumentProblem("invalid_query");
  return {
    ...(limit === null ? {} : { limit: Number(limit) }),
    ...(cursor === null ? {} : { cursor }),
  };
}

/** @throws DocStoreError where there is more than may be, and for what is no UTF-8 */
async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<string> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax)
    throw new DocStoreError("document_too_large");
  const parts: Buffer[] = [];
  let total = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      total += part.length;
      if (total > bytesMax) throw new DocStoreError("document_too_large");
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof DocStoreError ? error : new ClientGone();
  }
  try {
    // A byte order mark stays, and is no JSON.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw new DocStoreError("invalid_document");
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
