/**
 * One call and its answer: addresses, headers, time limits, tries, and the answer's reading.
 * Invariant: the token goes to the configured servers only (redirects are not followed), and into no error; every call
 * ends, with an answer or after its time; nothing is sent twice that would be done twice.
 */
import { clearTimeout, setTimeout } from "node:timers";
import { apiErrorOf, KeysteadApiError } from "./api-error.ts";
import { KeysteadConnectionError } from "./connection-error.ts";
import { Credentials, type CredentialSource } from "./credentials.ts";
import { KeysteadInputError } from "./input-error.ts";
import { abortable, backoffMs, pause, prospectOf, retryAfterSeconds, RETRIES_MAX_DEFAULT } from "./retry.ts";
import { ServerList, type Server } from "./server-list.ts";
import { timeLimitMs, within } from "./time-limit.ts";

const URL_DEFAULT = "http://localhost:8080";
const TIMEOUT_MS_DEFAULT = 30_000;
const TRY_TIMEOUT_MS_DEFAULT = 10_000;
/** Everything that stands in a path: names and ids. What does not match could lead to another path. */
const pathName = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,255}$/;
const projectName = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const idempotencyKeyText = /^[\x21\x23-\x7e]{1,255}$/;
const LATE = "late";

export interface ClientOptions {
  /** The server, or several that are one service; `http://localhost:8080` unless set. */
  readonly url?: string | readonly string[] | undefined;
  /** An API token or JWT, or what brings one. Without it the client is anonymous, which dev mode allows. */
  readonly token?: string | CredentialSource | undefined;
  /** The project in which keys and secrets are looked up; the service's `default` unless set. */
  readonly project?: string | undefined;
  /** How long a call may take with all its tries; 30,000 unless set. */
  readonly timeoutMs?: number | undefined;
  /** How long one try may take, its answer included; 10,000 unless set. */
  readonly tryTimeoutMs?: number | undefined;
  /** How often a failed call is tried again, beside one try at each further address; 3 unless set, 0 for never. */
  readonly retriesMax?: number | undefined;
}

/** What every call takes besides its own input. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's own. */
  readonly timeoutMs?: number | undefined;
  /**
   * On a call that changes something: what is sent twice under one key within 24 hours is done once. 1 to 255 visible ASCII
   * characters without `"`, best made at random for each change. The client makes one for the tries of a call; give one
   * where the call itself may be repeated. Other calls ignore it.
   */
  readonly idempotencyKey?: string | undefined;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON; members that are undefined are left out. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** A failing status whose answer is a result all the same. */
  readonly alsoResult?: number;
  /** A POST that changes nothing, so that it can be sent again as it is; all other POSTs get an idempotency key. */
  readonly repeatable?: boolean;
}

/** A request in the API's binary form: `application/octet-stream` in both directions. */
export interface BinaryRequest {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const BINARY_TYPE = "application/octet-stream";

interface Exchange {
  readonly path: string;
  readonly init: Pick<RequestInit, "method" | "body">;
  readonly headers: Readonly<Record<string, string>>;
  readonly repeatable: boolean;
}

export class Transport {
  /** What the client was made for; undefined for the service's default. */
  readonly project: string | undefined;
  readonly #servers: ServerList;
  readonly #credentials: Credentials;
  readonly #timeoutMs: number;
  readonly #tryTimeoutMs: number;
  readonly #retriesMax: number;

  /** @throws KeysteadInputError where an option cannot be sent */
  constructor(options: ClientOptions) {
    const { url = URL_DEFAULT, project } = options;
    this.#servers = new ServerList(typeof url === "string" ? [url] : url);
    this.#credentials = new Credentials(options.token);
    this.#timeoutMs = timeLimitMs(options.timeoutMs ?? TIMEOUT_MS_DEFAULT);
    this.#tryTimeoutMs = timeLimitMs(options.tryTimeoutMs ?? TRY_TIMEOUT_MS_DEFAULT);
    this.#retriesMax = options.retriesMax ?? RETRIES_MAX_DEFAULT;
    if (!(this.#retriesMax >= 0)) {
      throw new KeysteadInputError("invalid_option", "`retriesMax` is zero or more");
    }
    if (project !== undefined && !projectName.test(project)) {
      throw new KeysteadInputError(
        "invalid_project",
        "A project's name is lower-case letters, digits, `.`, `_` and `-`",
      );
    }
    this.project = project;
  }

  /**
   * Sends one request and reads its answer; undefined where the service answers without a body.
   * @throws KeysteadApiError, KeysteadConnectionError, KeysteadCredentialError; KeysteadInputError for an idempotency key
   * that cannot be sent
   */
  send<T>(request: ApiRequest, call: CallOptions): Promise<T> {
    const { method, body, repeatable = method === "GET" } = request;
    const exchange: Exchange = {
      path: pathOf(request),
      init: { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) },
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      repeatable,
    };
    return this.#exchange(
      exchange,
      call,
      async (response) => readAnswer(request, response, await response.text()) as T,
    );
  }

  /**
   * Sends bytes and gives the answer's. For requests that change nothing.
   * @throws as `send` does
   */
  sendBytes({ path, bytes }: BinaryRequest, call: CallOptions): Promise<Uint8Array> {
    const exchange: Exchange = {
      path,
      init: { method: "POST", body: bytes },
      // A refusal is JSON all the same.
      headers: { "content-type": BINARY_TYPE, accept: `${BINARY_TYPE}, application/json` },
      repeatable: true,
    };
    return this.#exchange(exchange, call, async (response) => {
      const content = await response.arrayBuffer();
      if (!response.ok) throw refusalOf(response, parseJson(new TextDecoder().decode(content)));
      if (response.headers.get("content-type") !== BINARY_TYPE) throw notOurs();
      return new Uint8Array(content);
    });
  }

  /** A request, as often as it takes, within the time for all of it. */
  async #exchange<T>(
    exchange: Exchange,
    call: CallOptions,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const { signal, timeoutMs = this.#timeoutMs } = call;
    const deadline = performance.now() + timeLimitMs(timeoutMs);
    const headers = this.#headersOf(exchange, call);
    let failed = 0;
    let isRenewed = false;
    for (;;) {
      const { current } = this.#servers;
      const token = await this.#token(signal, deadline);
      if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
      try {
        return await this.#try(current, exchange, headers, signal, deadline, read);
      } catch (failure) {
        if (failure instanceof KeysteadApiError && failure.status === 401 && !isRenewed) {
          isRenewed = true;
          if (this.#credentials.refused(token)) continue;
        }
        const prospect = prospectOf(failure);
        if (prospect === "never") throw failure;
        // The next address is asked at once, and for its first time that counts as no retry.
        const isFresh = prospect === "elsewhere" && this.#servers.setAside(current);
        if (this.#retriesMax === 0 || (!isFresh && ++failed > this.#retriesMax)) throw failure;
        const waitMs = isFresh ? 0 : backoffMs(failed, failure);
        if (performance.now() + waitMs >= deadline) throw failure;
        if (waitMs > 0) await pause(waitMs, signal);
      }
    }
  }

  #headersOf({ headers, repeatable }: Exchange, call: CallOptions): Record<string, string> {
    const { idempotencyKey = repeatable || this.#retriesMax === 0 ? undefined : crypto.randomUUID() } = call;
    if (idempotencyKey !== undefined && !idempotencyKeyText.test(idempotencyKey)) {
      throw new KeysteadInputError(
        "invalid_idempotency_key",
        "An idempotency key is 1 to 255 visible ASCII characters without quotes",
      );
    }
    return {
      ...headers,
      ...(this.project === undefined ? {} : { "x-keystead-project": this.project }),
      ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
    };
  }

  #token(
    signal: AbortSignal | undefined,
    deadline: number,
  ): Promise<string | undefined> | string | undefined {
    const token = this.#credentials.token();
    if (!(token instanceof Promise)) return token;
    return abortable(within(token, deadline), signal);
  }

  /** One request and the whole of its answer, within the time for one try. */
  async #try<T>(
    { base, origin }: Server,
    { path, init }: Exchange,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    deadline: number,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const timeMs = Math.min(this.#tryTimeoutMs, Math.max(0, deadline - performance.now()));
    const abort = new AbortController();
    const forward = (): void => {
      abort.abort();
    };
    if (signal?.aborted === true) forward();
    signal?.addEventListener("abort", forward, { once: true });
    // Not AbortSignal.timeout: its timer would live on after the answer, one for every request of the last half minute.
    const timer = setTimeout(() => {
      abort.abort(LATE);
    }, timeMs);
    try {
      const response = await fetch(base + path, {
        ...init,
        headers,
        redirect: "manual",
        signal: abort.signal,
      });
      return await read(response);
    } catch (cause) {
      if (cause instanceof KeysteadApiError || cause instanceof KeysteadConnectionError) throw cause;
      if (abort.signal.reason === LATE) {
        const message = `${origin} did not answer within ${Math.ceil(timeMs) / 1000} s`;
        throw new KeysteadConnectionError("timed_out", message, cause);
      }
      if (abort.signal.aborted) {
        throw new KeysteadConnectionError("aborted", "The request was aborted", cause);
      }
      throw new KeysteadConnectionError("unreachable", `${origin} cannot be reached`, cause);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", forward);
    }
  }
}

/**
 * A name or id as it stands in a path.
 * @throws KeysteadInputError for what is no name: `..` would lead to another path
 */
export function pathSegment(name: string): string {
  if (!pathName.test(name)) {
    throw new KeysteadInputError(
      "invalid_name",
      "A name is at most 256 letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
    );
  }
  return name;
}

function pathOf({ path, query = {} }: ApiRequest): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`;
}

function readAnswer(request: ApiRequest, response: Response, text: string): unknown {
  if (response.status === 204) return undefined;
  const body = parseJson(text);
  if (!response.ok && response.status !== request.alsoResult) {
    throw refusalOf(response, body);
  }
  if (typeof body !== "object" || body === null) {
    throw notOurs();
  }
  return body;
}

function refusalOf({ status, headers }: Response, body: unknown): KeysteadApiError {
  return apiErrorOf(status, body, {
    requestId: headers.get("x-request-id"),
    retryAfterSeconds: retryAfterSeconds(headers.get("retry-after")),
  });
}

function notOurs(): KeysteadConnectionError {
  return new KeysteadConnectionError("unexpected_answer", "The server's answer is not one of Keystead's");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
