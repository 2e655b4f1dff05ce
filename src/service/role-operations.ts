/**
 * The operations on own roles. Built-in ones are shown beside them, and cannot be changed.
 * Whoever may manage accounts may manage roles: both decide who may do what, so one is as good as the other.
 */
import { KeysteadError } from "../errors.ts";
import type { RoleChange } from "../identity/role-book.ts";
import { builtInRoles, type Statement } from "../policy/roles.ts";
import {
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
  type Remembered,
  type ResourceName,
  type Services,
} from "./operation.ts";

/** Accounts looked at in one turn of the event loop. */
const ACCOUNTS_ROWS = 100;

interface Named {
  readonly name: string;
}

/** A role as callers see it, of either sort. */
export interface ShownRole {
  readonly name: string;
  readonly description: string;
  readonly statements: readonly Statement[];
  /** Undefined for a built-in one. */
  readonly createdAt: string | undefined;
}

const roleResource = (input: Named): ResourceName => ({ kind: "role", name: input.name });

export const roleCreate: GlobalMutation<
  Named & { readonly description: string; readonly statements: readonly Statement[] },
  ShownRole
> = {
  id: "role.create",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: roleResource,
  run: ({ services, commit }, { name, description, statements }) =>
    services.roles.create(name, description, statements, commit),
  replay: replayRole,
};

export const roleList: GlobalOperation<undefined, readonly ShownRole[]> = {
  id: "role.list",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: () => undefined,
  run: async ({ services }) => [
    ...[...builtInRoles.keys()].map(builtIn).filter((role) => role !== undefined),
    ...(await services.roles.list()),
  ],
};

export const roleGet: GlobalOperation<Named, ShownRole> = {
  id: "role.get",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: roleResource,
  run: ({ services }, { name }) => builtIn(name) ?? services.roles.byName(name),
};

export const roleUpdate: GlobalMutation<Named & RoleChange, ShownRole> = {
  id: "role.update",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: roleResource,
  run: ({ services, commit }, { name, ...change }) => {
    refuseBuiltIn(name);
    return services.roles.update(name, change, commit);
  },
  replay: replayRole,
};

export const roleDelete: GlobalMutation<Named, undefined> = {
  id: "role.delete",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: roleResource,
  async run({ services, commit }, { name }) {
    refuseBuiltIn(name);
    await services.roles.remove(name, (role) => isBound(services, role), commit);
    return undefined;
  },
  replay: replayNothing,
};

/** The role that a change was about, as it is now. */
async function replayRole({ services }: OperationContext, { object }: Remembered): Promise<ShownRole> {
  const role = await services.roles.byId(object);
  if (role === undefined) throw new KeysteadError("role_not_found");
  return role;
}

function builtIn(name: string): ShownRole | undefined {
  const role = builtInRoles.get(name);
  if (role === undefined) return undefined;
  const statements: Statement[] = [{ effect: "allow", scopes: [...role.scopes] }];
  return { name, description: role.description, statements, createdAt: undefined };
}

function refuseBuiltIn(name: string): void {
  if (builtInRoles.has(name))
    throw new KeysteadError("invalid_body", { detail: "a built-in role stays as it is" });
}

/** Whether a binding of an account, or of one that may sign up yet, or an issuer's rule names a role. */
async function isBound({ accounts, issuers, signups }: Services, role: string): Promise<boolean> {
  const names = (bindings: readonly { readonly role: string }[]): boolean =>
    bindings.some((bound) => bound.role === role);
  for (const { rules } of await issuers.list()) {
    if (rules.some((rule) => "bindings" in rule && names(rule.bindings))) return true;
  }
  for (let after = ""; ;) {
    const { items, lastName } = await signups.list(after, ACCOUNTS_ROWS);
    if (items.some(({ bindings }) => names(bindings))) return true;
    if (lastName === undefined) break;
    after = lastName;
  }
  for (let after = ""; ;) {
    const { items, lastName } = await accounts.list(after, ACCOUNTS_ROWS);
    if (items.some(({ bindings }) => names(bindings))) return true;
    if (lastName === undefined) return false;
    after = lastName;
  }
}
