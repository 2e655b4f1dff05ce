/** The calls on who may do what: `client.project`, `client.account`, `client.token`, `client.jwt`. */
import type { DeletionOptions, PageOptions } from "./key-api.ts";
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";
import type {
  Account,
  AccountKind,
  AccountListed,
  Page,
  Project,
  RoleBinding,
  TokenCreated,
  TokenListed,
} from "./wire.ts";

export interface TokenCreateOptions extends CallOptions {
  /** What the token is for, shown in lists. */
  readonly label?: string | undefined;
  /** 90 days unless set. */
  readonly ttlSeconds?: number | undefined;
}

export class ProjectApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  create(name: string, call: CallOptions = {}): Promise<Project> {
    return this.#transport.send({ method: "POST", path: "/v1/projects", body: { name } }, call);
  }

  /** Refuses everything in the project, and destroys it with all that it holds in 7 to 30 days: 30 unless set. */
  scheduleDeletion(name: string, { days, ...call }: DeletionOptions = {}): Promise<Project> {
    const path = `/v1/projects/${pathSegment(name)}/schedule-deletion`;
    return this.#transport.send({ method: "POST", path, body: { days } }, call);
  }

  /** Keeps a project that was to be deleted. */
  cancelDeletion(name: string, call: CallOptions = {}): Promise<Project> {
    const path = `/v1/projects/${pathSegment(name)}/cancel-deletion`;
    return this.#transport.send({ method: "POST", path, body: {} }, call);
  }

  /** One page of the projects that the caller may see, by name. */
  list({ limit, cursor, ...call }: PageOptions = {}): Promise<Page<"projects", Project>> {
    return this.#transport.send({ method: "GET", path: "/v1/projects", query: { limit, cursor } }, call);
  }
}

export class AccountApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes an account without any right. */
  create(name: string, kind: AccountKind, call: CallOptions = {}): Promise<Account> {
    return this.#transport.send({ method: "POST", path: "/v1/accounts", body: { name, kind } }, call);
  }

  /** One page of accounts, by name and without their bindings. */
  list({ limit, cursor, ...call }: PageOptions = {}): Promise<Page<"accounts", AccountListed>> {
    return this.#transport.send({ method: "GET", path: "/v1/accounts", query: { limit, cursor } }, call);
  }

  get(name: string, call: CallOptions = {}): Promise<Account> {
    return this.#transport.send({ method: "GET", path: accountPath(name) }, call);
  }

  /** Gives the account a role in a project, or in all (`*`). The same binding twice is one. */
  bind(name: string, binding: Omit<RoleBinding, "id">, call: CallOptions = {}): Promise<Account> {
    const { role, project, pattern } = binding;
    const path = `${accountPath(name)}/bindings`;
    return this.#transport.send({ method: "POST", path, body: { role, project, pattern } }, call);
  }

  /** Refuses whatever the account comes with, at once, and ends its sessions. */
  disable(name: string, call: CallOptions = {}): Promise<Account> {
    return this.#transport.send({ method: "POST", path: `${accountPath(name)}/disable`, body: {} }, call);
  }

  enable(name: string, call: CallOptions = {}): Promise<Account> {
    return this.#transport.send({ method: "POST", path: `${accountPath(name)}/enable`, body: {} }, call);
  }

  /** Deletes the account with its tokens, password, sessions and bindings. */
  delete(name: string, call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "DELETE", path: accountPath(name) }, call);
  }

  unbind(name: string, bindingId: string, call: CallOptions = {}): Promise<void> {
    const path = `${accountPath(name)}/bindings/${pathSegment(bindingId)}`;
    return this.#transport.send({ method: "DELETE", path }, call);
  }
}

export class TokenApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a token for an account. Only this answer holds the token itself. */
  create(account: string, { label, ttlSeconds, ...call }: TokenCreateOptions = {}): Promise<TokenCreated> {
    const body = { label, ttl_seconds: ttlSeconds };
    return this.#transport.send({ method: "POST", path: `${accountPath(account)}/tokens`, body }, call);
  }

  /** All tokens of an account, without what could be used as one. */
  list(account: string, call: CallOptions = {}): Promise<{ readonly tokens: readonly TokenListed[] }> {
    return this.#transport.send({ method: "GET", path: `${accountPath(account)}/tokens` }, call);
  }

  revoke(account: string, tokenId: string, call: CallOptions = {}): Promise<void> {
    const path = `${accountPath(account)}/tokens/${pathSegment(tokenId)}`;
    return this.#transport.send({ method: "DELETE", path }, call);
  }
}

export class JwtApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Refuses the subject's JWTs that were issued before a time.
   * @param issuedBefore seconds since 1970
   */
  revoke(subject: string, issuedBefore: number, call: CallOptions = {}): Promise<void> {
    const body = { sub: subject, issued_before: issuedBefore };
    return this.#transport.send({ method: "POST", path: "/v1/jwt-revocations", body }, call);
  }
}

function accountPath(name: string): string {
  return `/v1/accounts/${pathSegment(name)}`;
}
