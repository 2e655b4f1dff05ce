/**
 * One request and its answer: address, headers, time limit, and the answer's reading.
 * Invariant: the token goes to the configured server only (redirects are not followed), and into no error; every request
 * ends, with an answer or after its time.
 */
import { apiErrorOf } from "./api-error.ts";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadInputError } from "./input-error.ts";

const URL_DEFAULT = "http://localhost:8080";
const TIMEOUT_MS_DEFAULT = 30_000;
/** Everything that stands in a path: names and ids. What does not match could lead to another path. */
const pathName = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,255}$/;
const projectName = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** What can stand in a header: the platform's own refusal would show the token. */
const visibleAscii = /^[\x21-\x7e]+$/;
const idempotencyKeyText = /^[\x21\x23-\x7e]{1,255}$/;
const LATE = "late";

export interface ClientOptions {
  /** The server; `http://localhost:8080` unless set. */
  readonly url?: string | undefined;
  /** An API token or JWT. Without one the client is anonymous, which dev mode allows. */
  readonly token?: string | undefined;
  /** The project in which keys and secrets are looked up; the service's `default` unless set. */
  readonly project?: string | undefined;
  /** How long one request may take, its answer included; 30,000 unless set. */
  readonly timeoutMs?: number | undefined;
}

/** What every call takes besides its own input. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's own. */
  readonly timeoutMs?: number | undefined;
  /**
   * On a call that changes something: what is sent twice under one key within 24 hours is done once. 1 to 255 visible ASCII
   * characters without `"`, best made at random for each change. Other calls ignore it.
   */
  readonly idempotencyKey?: string | undefined;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON; members that are undefined are left out. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** A failing status whose answer is a result all the same. */
  readonly alsoResult?: number;
}

export class Transport {
  readonly #base: string;
  readonly #origin: string;
  readonly #timeoutMs: number;
  readonly #headers: Readonly<Record<string, string>>;

  /** @throws KeysteadInputError where an option cannot be sent */
  constructor(options: ClientOptions) {
    const url = readUrl(options.url ?? URL_DEFAULT);
    this.#base = url.origin + url.pathname.replace(/\/+$/, "");
    this.#origin = url.origin;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
    const headers: Record<string, string> = { accept: "application/json" };
    if (options.token !== undefined) {
      if (!visibleAscii.test(options.token))
        throw new KeysteadInputError("invalid_token", "The token has characters that no token has");
      headers["authorization"] = `Bearer ${options.token}`;
    }
    if (options.project !== undefined) {
      if (!projectName.test(options.project)) {
        throw new KeysteadInputError(
          "invalid_project",
          "A project's name is lower-case letters, digits, `.`, `_` and `-`",
        );
      }
      headers["x-keystead-project"] = options.project;
    }
    this.#headers = headers;
  }

  /**
   * Sends one request and reads its answer; undefined where the service answers without a body.
   * @throws KeysteadApiError, KeysteadConnectionError; KeysteadInputError for an idempotency key that cannot be sent
   */
  async send<T>(request: ApiRequest, call: CallOptions): Promise<T> {
    const { signal, timeoutMs = this.#timeoutMs, idempotencyKey } = call;
    if (idempotencyKey !== undefined && !idempotencyKeyText.test(idempotencyKey)) {
      throw new KeysteadInputError(
        "invalid_idempotency_key",
        "An idempotency key is 1 to 255 visible ASCII characters without quotes",
      );
    }
    const abort = new AbortController();
    const forward = (): void => {
      abort.abort();
    };
    if (signal?.aborted === true) forward();
    signal?.addEventListener("abort", forward, { once: true });
    // Not AbortSignal.timeout: its timer would live on after the answer, one for every request of the last half minute.
    const timer = setTimeout(() => {
      abort.abort(LATE);
    }, timeoutMs);
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#base + pathOf(request), this.#init(request, abort.signal, idempotencyKey));
      text = await response.text();
    } catch (cause) {
      if (abort.signal.reason === LATE) {
        const message = `${this.#origin} did not answer within ${timeoutMs / 1000} s`;
        throw new KeysteadConnectionError("timed_out", message, cause);
      }
      if (abort.signal.aborted) {
        throw new KeysteadConnectionError("aborted", "The request was aborted", cause);
      }
      throw new KeysteadConnectionError("unreachable", `${this.#origin} cannot be reached`, cause);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", forward);
    }
    return readAnswer(request, response, text) as T;
  }

  #init(request: ApiRequest, signal: AbortSignal, idempotencyKey: string | undefined): RequestInit {
    const { method, body } = request;
    const headers = {
      ...this.#headers,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
    };
    const init: RequestInit = { method, headers, redirect: "manual", signal };
    return body === undefined ? init : { ...init, body: JSON.stringify(body) };
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

function readUrl(text: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Reported below, without the text.
  }
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new KeysteadInputError(
      "invalid_url",
      "The server's URL is http:// or https:// and a host, such as http://localhost:8080",
    );
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new KeysteadInputError("invalid_url", "The server's URL holds no credentials, query or fragment");
  }
  return url;
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
    throw apiErrorOf(response.status, body, response.headers.get("x-request-id"));
  }
  if (typeof body !== "object" || body === null) {
    throw new KeysteadConnectionError("unexpected_answer", "The server's answer is not one of Keystead's");
  }
  return body;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
