/** The calls on roles: `client.role`. */
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";
import type { Role, RoleStatement } from "./wire.ts";

export interface RoleCreateOptions extends CallOptions {
  readonly description?: string | undefined;
}

export interface RoleUpdateOptions extends CallOptions {
  readonly description?: string | undefined;
  /** All statements anew. */
  readonly statements?: readonly RoleStatement[] | undefined;
}

export class RoleApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a role. It gives nothing to anybody until it is bound. */
  create(
    name: string,
    statements: readonly RoleStatement[],
    { description, ...call }: RoleCreateOptions = {},
  ): Promise<Role> {
    const body = { name, description, statements };
    return this.#transport.send({ method: "POST", path: "/v1/roles", body }, call);
  }

  /** All roles, built-in ones first. */
  list(call: CallOptions = {}): Promise<{ readonly roles: readonly Role[] }> {
    return this.#transport.send({ method: "GET", path: "/v1/roles" }, call);
  }

  get(name: string, call: CallOptions = {}): Promise<Role> {
    return this.#transport.send({ method: "GET", path: rolePath(name) }, call);
  }

  /** Changes a role, for everybody who is bound to it. */
  update(name: string, { description, statements, ...call }: RoleUpdateOptions): Promise<Role> {
    const body = { description, statements };
    return this.#transport.send({ method: "PATCH", path: rolePath(name), body }, call);
  }

  /** Deletes a role that nothing is bound to. */
  delete(name: string, call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "DELETE", path: rolePath(name) }, call);
  }
}

function rolePath(name: string): string {
  return `/v1/roles/${pathSegment(name)}`;
}
