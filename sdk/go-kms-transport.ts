/**
 * One call of Go KMS's API: logs in when there is no token, and once more where the service answers 401.
 * Invariant: at most one login is under way, whoever waits for it; redirects are not followed; neither token nor password
 * is in any error; every call ends in time.
 */
import { KeysteadApiError } from "./api-error.ts";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadInputError } from "./input-error.ts";
import { retryAfterSeconds } from "./retry.ts";

const TIMEOUT_MS_DEFAULT = 30_000;
const LINE_CHARACTERS_MAX = 200;
/** A token is renewed so long before its end, or a fifth of its life where that is shorter. */
const RENEWAL_MS = 30_000;

export interface GoKmsConnection {
  readonly url: string;
  readonly user: string | undefined;
  readonly pass: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly token?: string | undefined;
}

interface GoKmsAnswer {
  /** Undefined where there is no body. */
  readonly json: unknown;
  readonly headers: Headers;
}

const codes: Readonly<Record<number, string>> = {
  400: "invalid_body",
  401: "unauthenticated",
  403: "forbidden",
  404: "key_not_found",
  405: "method_not_allowed",
  409: "key_exists",
  429: "rate_limited",
};

export class GoKmsTransport {
  readonly #connection: GoKmsConnection;
  readonly #base: string;
  #token: string | undefined;
  #renewAt = Infinity;
  #login: Promise<{ token: string; ttl: number }> | undefined;

  constructor(connection: GoKmsConnection) {
    this.#connection = connection;
    this.#token = connection.token;
    let parsed: URL;
    try {
      parsed = new URL(connection.url);
    } catch {
      throw new KeysteadInputError("invalid_url", "The server's URL is none");
    }
    if (!["http:", "https:"].includes(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
      throw new KeysteadInputError("invalid_url", "The server's URL is http or https, without credentials");
    this.#base = parsed.origin + parsed.pathname.replace(/\/+$/, "");
  }

  /** Sends a request as the client. */
  async send(method: string, path: string, body?: unknown): Promise<GoKmsAnswer> {
    const isFresh = this.#token === undefined || performance.now() >= this.#renewAt;
    if (isFresh) await this.login();
    const token = this.#token;
    try {
      return await this.#exchange(method, path, body, token);
    } catch (error) {
      if (!(error instanceof KeysteadApiError) || error.status !== 401 || isFresh) throw error;
      // Another call may have logged in already.
      if (this.#token === token) await this.login();
      return this.#exchange(method, path, body, this.#token);
    }
  }

  /** Logs in. */
  login(): Promise<{ readonly token: string; readonly ttl: number }> {
    return (this.#login ??= this.#loggedIn().finally(() => (this.#login = undefined)));
  }

  /** Makes the client that a token allows, and goes on as it. */
  async signup(token: string): Promise<{ readonly token: string }> {
    const { pass } = this.#connection;
    if (pass === undefined)
      throw new KeysteadInputError("invalid_token", "A password is needed: set KMS_PASS");
    const { json } = await this.#exchange("POST", "/auth/signup", { token, password: pass }, undefined);
    this.#token = textOf(json, "token");
    return { token: this.#token };
  }

  async #loggedIn(): Promise<{ token: string; ttl: number }> {
    const { user, pass } = this.#connection;
    if (user === undefined || pass === undefined)
      throw new KeysteadInputError(
        "invalid_token",
        "A client's name and password are needed: set KMS_USER and KMS_PASS",
      );
    const { json } = await this.#exchange(
      "POST",
      "/auth/login",
      { clientname: user, password: pass },
      undefined,
    );
    const { ttl } = (json ?? {}) as { ttl?: unknown };
    const token = textOf(json, "token");
    if (typeof ttl !== "number") throw notOurs();
    this.#renewAt = performance.now() + ttl - Math.min(RENEWAL_MS, ttl / 5);
    this.#token = token;
    return { token, ttl };
  }

  async #exchange(
    method: string,
    path: string,
    body: unknown,
    token: string | undefined,
  ): Promise<GoKmsAnswer> {
    const { timeoutMs = TIMEOUT_MS_DEFAULT } = this.#connection;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      abort.abort();
    }, timeoutMs);
    try {
      const response = await fetch(this.#base + path, {
        method,
        redirect: "manual",
        signal: abort.signal,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (!response.ok) throw refusalOf(response, text);
      return { json: response.status === 204 ? undefined : parse(text), headers: response.headers };
    } catch (cause) {
      if (cause instanceof KeysteadApiError || cause instanceof KeysteadConnectionError) throw cause;
      if (abort.signal.aborted)
        throw new KeysteadConnectionError("timed_out", "The server did not answer in time", cause);
      throw new KeysteadConnectionError("unreachable", "The server cannot be reached", cause);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The service says in one line of text what is wrong. */
function refusalOf({ status, headers }: Response, text: string): KeysteadApiError {
  const line = text.split(/[\r\n]/)[0]?.slice(0, LINE_CHARACTERS_MAX) ?? "";
  return new KeysteadApiError({
    status,
    code: codes[status] ?? "unexpected_answer",
    title: line === "" ? `The server answered ${status}` : line,
    requestId: headers.get("x-request-id") ?? undefined,
    retryAfterSeconds: retryAfterSeconds(headers.get("retry-after")),
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw notOurs();
  }
}

function textOf(json: unknown, name: string): string {
  const value = (json ?? {}) as Record<string, unknown>;
  if (typeof value[name] !== "string") throw notOurs();
  return value[name];
}

function notOurs(): KeysteadConnectionError {
  return new KeysteadConnectionError("unexpected_answer", "The server's answer is not one of Go KMS's API");
}
