/**
 * The calls on how accounts come in: `client.login`, `client.session`, `client.signup`, `client.password`,
 * `client.loginKey`.
 */
import type { PageOptions } from "./key-api.ts";
import { pathSegment, type Transport, type CallOptions } from "./transport.ts";
import type {
  AccountKind,
  Login,
  LoginKey,
  Page,
  RoleBinding,
  SessionListed,
  SignupCreated,
  SignupListed,
} from "./wire.ts";

export class LoginApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Logs in with a password. The client itself goes on with the credentials it has: see `loginCredentials`. */
  create(account: string, password: string, call: CallOptions = {}): Promise<Login> {
    return this.#transport.send({ method: "POST", path: "/v1/login", body: { account, password } }, call);
  }

  /** Changes a refresh token for the next one, and a fresh token. */
  refresh(refreshToken: string, call: CallOptions = {}): Promise<Login> {
    const body = { refresh_token: refreshToken };
    return this.#transport.send({ method: "POST", path: "/v1/login/refresh", body }, call);
  }

  /** Ends the session that the client's token is of. */
  revoke(call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "POST", path: "/v1/logout", body: {} }, call);
  }
}

export class SessionApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** An account's sessions, without what could be used as one. */
  list(account: string, call: CallOptions = {}): Promise<{ readonly sessions: readonly SessionListed[] }> {
    const path = `/v1/accounts/${pathSegment(account)}/sessions`;
    return this.#transport.send({ method: "GET", path }, call);
  }

  revoke(account: string, sessionId: string, call: CallOptions = {}): Promise<void> {
    const path = `/v1/accounts/${pathSegment(account)}/sessions/${pathSegment(sessionId)}`;
    return this.#transport.send({ method: "DELETE", path }, call);
  }
}

export interface SignupCreateOptions extends CallOptions {
  /** A day unless set, 30 days at most. */
  readonly ttlSeconds?: number | undefined;
  /** Roles that the account gets. */
  readonly bindings?: readonly Omit<RoleBinding, "id">[] | undefined;
}

export class SignupApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Lets somebody make one account of this name. Only this answer holds the token for it. */
  create(
    name: string,
    kind: AccountKind,
    { ttlSeconds, bindings, ...call }: SignupCreateOptions = {},
  ): Promise<SignupCreated> {
    const body = { name, kind, ttl_seconds: ttlSeconds, bindings };
    return this.#transport.send({ method: "POST", path: "/v1/signups", body }, call);
  }

  /** One page of the signups that are still open. */
  list({ limit, cursor, ...call }: PageOptions = {}): Promise<Page<"signups", SignupListed>> {
    return this.#transport.send({ method: "GET", path: "/v1/signups", query: { limit, cursor } }, call);
  }

  /** Takes a signup back. */
  revoke(signupId: string, call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "DELETE", path: `/v1/signups/${pathSegment(signupId)}` }, call);
  }

  /** Makes the account that the token allows, with a password, and logs it in. */
  redeem(token: string, password: string, call: CallOptions = {}): Promise<Login> {
    return this.#transport.send({ method: "POST", path: "/v1/signup", body: { token, password } }, call);
  }
}

export class PasswordApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Sets an account's password and ends its sessions, but for the one that this comes from.
   * @param current the password until now, where it is the caller's own
   */
  set(account: string, password: string, current?: string, call: CallOptions = {}): Promise<void> {
    const path = `/v1/accounts/${pathSegment(account)}/password`;
    const body = { password, current_password: current };
    return this.#transport.send({ method: "POST", path, body }, call);
  }
}

export class LoginKeyApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes the next key that logins are signed with. At once: all tokens until now are refused, and refreshed. */
  rotate({ immediately, ...call }: CallOptions & { readonly immediately?: boolean } = {}): Promise<LoginKey> {
    return this.#transport.send(
      { method: "POST", path: "/v1/login-keys/rotate", body: { immediately } },
      call,
    );
  }
}
