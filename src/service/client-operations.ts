/** The operations on clients: service accounts that sign themselves up. */
import { KeysteadError } from "../errors.ts";
import { limitedName } from "../http/ip-address.ts";
import type { Account } from "../identity/accounts.ts";
import type { ClientRole, ShownClient } from "../identity/client-accounts.ts";
import type { Login } from "../identity/logins.ts";
import { another, stillManaging } from "./account-operations.ts";
import {
  refuseReplay,
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
} from "./operation.ts";

const SCOPE = "kms:manage_accounts";

export interface ClientLogin {
  readonly token: string;
  readonly ttlMs: number;
}

interface Numbered {
  readonly number: number;
}

const nothing = (): undefined => undefined;

/** The account goes into the log once it is known to be there; the client's own name never does. */
const naming =
  (context: OperationContext) =>
  ({ name }: Account): void => {
    context.resource = { kind: "account", name };
  };

export const clientInvite: GlobalMutation<
  { readonly clientName: string; readonly ttlSeconds: number },
  { readonly token: string; readonly expiresAt: string }
> = {
  id: "client.invite",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  run: ({ services, commit }, { clientName, ttlSeconds }) =>
    services.clientAccounts.invite(clientName, ttlSeconds, commit),
  replay: refuseReplay,
};

export const clientRedeem: GlobalMutation<
  { readonly token: string; readonly password: string },
  ClientLogin
> = {
  id: "client.redeem",
  scope: undefined,
  anonymous: true,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  idempotentInput: nothing,
  async run(context, { token, password }) {
    const { address, commit, services } = context;
    return shown(
      context,
      await services.clientAccounts.redeem(token, password, address, commit, naming(context)),
    );
  },
  replay: refuseReplay,
};

export const clientLogin: GlobalMutation<
  { readonly clientName: string; readonly password: string },
  ClientLogin
> = {
  id: "client.login",
  scope: undefined,
  anonymous: true,
  checksPassword: true,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  idempotentInput: nothing,
  async run(context, { clientName, password }) {
    const { address, commit, services } = context;
    const input = { clientName, password, address, limitedAddress: limitedName(address) };
    try {
      return shown(context, await services.clientAccounts.login(input, commit, naming(context)));
    } catch (error) {
      if (!(error instanceof KeysteadError) || error.code !== "unauthenticated") throw error;
      throw new KeysteadError("unauthenticated", { detail: "Incorrect clientname or password" });
    }
  },
  replay: refuseReplay,
};

export const clientList: GlobalOperation<object, readonly ShownClient[]> = {
  id: "client.list",
  scope: SCOPE,
  inProject: false,
  resource: nothing,
  run: ({ services }) => services.clientAccounts.list(),
};

export const clientSetRole: GlobalMutation<Numbered & { readonly role: ClientRole }, undefined> = {
  id: "client.set_role",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  async run(context, { number, role }) {
    const { clientAccounts } = context.services;
    const { account } = await clientAccounts.accountOf(number);
    naming(context)(account);
    await another(context, account.name);
    await clientAccounts.setRole(account, role, await stillManaging(context), context.commit);
    return undefined;
  },
  replay: replayNothing,
};

export const clientDelete: GlobalMutation<Numbered, undefined> = {
  id: "client.delete",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  async run(context, { number }) {
    const { clientAccounts } = context.services;
    const { account } = await clientAccounts.accountOf(number);
    naming(context)(account);
    await another(context, account.name);
    await clientAccounts.remove(account, await stillManaging(context), context.commit);
    return undefined;
  },
  replay: replayNothing,
};

/** What is left of the token's life, in whole seconds. */
function shown({ services }: OperationContext, { token, expiresAtMs }: Login): ClientLogin {
  return { token, ttlMs: Math.ceil((expiresAtMs - services.now()) / 1000) * 1000 };
}
