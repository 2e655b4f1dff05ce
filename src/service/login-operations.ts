/** The operations on how accounts come in and stay in: logins, sessions, passwords, and the keys that sign logins. */
import { KeysteadError } from "../errors.ts";
import { limitedName } from "../http/ip-address.ts";
import type { Account } from "../identity/accounts.ts";
import type { Login } from "../identity/logins.ts";
import type { Session } from "../identity/sessions.ts";
import type { TokenKey } from "../identity/signing-keys.ts";
import {
  refuseReplay,
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
  type ResourceName,
} from "./operation.ts";

const SCOPE = "kms:manage_accounts";

interface Named {
  readonly name: string;
}

export interface LoginInput {
  readonly account: string;
  readonly password: string;
}

export interface PasswordInput extends Named {
  readonly password: string;
  readonly currentPassword: string | undefined;
}

const accountResource = (input: Named): ResourceName => ({ kind: "account", name: input.name });
const nothing = (): undefined => undefined;

/** The account goes into the log once it is known to be there: what else was typed as a name may be a password. */
export const naming =
  (context: OperationContext) =>
  ({ name }: Account): void => {
    context.resource = { kind: "account", name };
  };

export const loginCreate: GlobalMutation<LoginInput, Login> = {
  id: "login.create",
  scope: undefined,
  anonymous: true,
  checksPassword: true,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  idempotentInput: nothing,
  run(context, { account, password }) {
    const { address } = context;
    const input = { account, password, address, limitedAddress: limitedName(address) };
    return context.services.logins.create(input, context.commit, naming(context));
  },
  replay: refuseReplay,
};

export const loginRefresh: GlobalMutation<{ readonly refreshToken: string }, Login> = {
  id: "login.refresh",
  scope: undefined,
  anonymous: true,
  inProject: false,
  resource: nothing,
  run: (context, { refreshToken }) =>
    context.services.logins.refresh(refreshToken, context.commit, naming(context)),
  replay: refuseReplay,
};

export const loginRevoke: GlobalMutation<undefined, undefined> = {
  id: "login.revoke",
  scope: undefined,
  inProject: false,
  resource: nothing,
  async run({ services, caller, commit }) {
    const { accountId, sessionId, label, kind } = caller;
    if (accountId === undefined || sessionId === undefined) {
      throw new KeysteadError("forbidden", { detail: "only who has logged in can log out" });
    }
    await services.sessions.revoke(accountId, sessionId, `account:${label.slice(kind.length + 1)}`, commit);
    return undefined;
  },
  replay: replayNothing,
};

export const sessionList: GlobalOperation<Named, readonly Session[]> = {
  id: "session.list",
  scope: SCOPE,
  ownAccount: ({ name }) => name,
  inProject: false,
  resource: accountResource,
  run: async (context, { name }) =>
    context.services.sessions.list((await ownOrManaged(context, name)).account.id),
};

export const sessionRevoke: GlobalMutation<Named & { readonly session: string }, undefined> = {
  id: "session.revoke",
  scope: SCOPE,
  ownAccount: ({ name }) => name,
  inProject: false,
  resource: accountResource,
  async run(context, { name, session }) {
    const { account } = await ownOrManaged(context, name);
    await context.services.sessions.revoke(account.id, session, `account:${name}`, context.commit);
    return undefined;
  },
  replay: replayNothing,
};

export const passwordSet: GlobalMutation<PasswordInput, undefined> = {
  id: "password.set",
  scope: SCOPE,
  ownAccount: ({ name }) => name,
  severity: "WARNING",
  inProject: false,
  resource: accountResource,
  idempotentInput: ({ name }) => ({ name }),
  async run(context, input) {
    const { services, caller } = context;
    const { account, isOwn } = await ownOrManaged(context, input.name);
    const isReset = !isOwn || !(await services.passwords.has(account.id));
    if (isReset && !mayManage(context)) {
      throw new KeysteadError("forbidden", { detail: "the first password is set by an administrator" });
    }
    const proven = isReset ? undefined : await provePassword(context, account, input.currentPassword);
    // Whoever was overtaken by another change knew a password that is none any more.
    const setting = await services.passwords.setting(account.id, input.password, "known", proven);
    // Whoever knew the old password may have a session; the one that this comes from goes on.
    const ending = await services.sessions.ending(account.id, isOwn ? caller.sessionId : undefined);
    try {
      await services.accounts.commitUnchanged(account, [...setting, ...ending.writes], context.commit, {
        change: isReset ? "reset" : "change",
        sessions: ending.count,
      });
    } finally {
      ending.done();
    }
    return undefined;
  },
  /** The key remembers no password: so it is compared with the one that was set. */
  async replay(context, _remembered, input) {
    const { account } = await ownOrManaged(context, input.name);
    const { isRight } = await context.services.passwords.check({
      name: account.name,
      accountId: account.id,
      mayPass: true,
      password: input.password,
      address: limitedName(context.address),
    });
    if (!isRight) throw new KeysteadError("idempotency_mismatch");
    return undefined;
  },
};

export const loginKeyRotate: GlobalMutation<{ readonly immediately: boolean }, TokenKey> = {
  id: "login_key.rotate",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  run: ({ services, commit }, { immediately }) => services.signingKeys.rotate("login", immediately, commit),
  async replay({ services }, { object }) {
    const key = await services.signingKeys.find("login", object);
    if (key === undefined) throw new KeysteadError("conflict");
    return key;
  },
};

function mayManage(context: OperationContext): boolean {
  return context.allows(SCOPE, { project: undefined, name: undefined });
}

/** The account, for itself or for an administrator: by its id, since names are given anew. */
async function ownOrManaged(
  context: OperationContext,
  name: string,
): Promise<{ readonly account: Account; readonly isOwn: boolean }> {
  const { services, caller } = context;
  const account = await services.accounts.byName(name);
  const isOwn = account.id === caller.accountId;
  if (!isOwn && !mayManage(context)) throw new KeysteadError("forbidden");
  return { account, isOwn };
}

/** The revision of the account's password. Throws `forbidden` unless it is this one; counted like a login. */
async function provePassword(
  { services, address }: OperationContext,
  account: Account,
  password: string | undefined,
): Promise<number> {
  if (password === undefined) {
    throw new KeysteadError("invalid_body", { field: "current_password", detail: "the password to change" });
  }
  const { isRight, revision } = await services.passwords.check({
    name: account.name,
    accountId: account.id,
    mayPass: true,
    password,
    address: limitedName(address),
  });
  if (!isRight) throw new KeysteadError("forbidden", { detail: "the current password is not right" });
  return revision;
}
