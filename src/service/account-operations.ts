/** The operations that end an account, for a while or for good. Nobody ends their own, so that somebody is left to undo it. */
import { KeysteadError } from "../errors.ts";
import type { Account } from "../identity/accounts.ts";
import type { Write } from "../storage/store.ts";
import { replayAccount, shownBindings, type ShownAccount } from "./identity-operations.ts";
import { replayNothing, type GlobalMutation, type OperationContext, type ResourceName } from "./operation.ts";

const SCOPE = "kms:manage_accounts";

interface Named {
  readonly name: string;
}

const accountResource = (input: Named): ResourceName => ({ kind: "account", name: input.name });

export const accountDisable: GlobalMutation<Named, ShownAccount> = {
  id: "account.disable",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: accountResource,
  async run(context, { name }) {
    const account = await another(context, name);
    const { accounts, sessions } = context.services;
    const ending = await sessions.ending(account.id);
    try {
      const guard = await stillManaging(context);
      const disabled = await accounts.setState(
        account,
        "disabled",
        [...ending.writes, ...guard],
        context.commit,
      );
      return { account: disabled, bindings: await shownBindings(context, disabled.bindings) };
    } finally {
      ending.done();
    }
  },
  replay: replayAccount,
};

export const accountEnable: GlobalMutation<Named, ShownAccount> = {
  id: "account.enable",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: accountResource,
  async run(context, { name }) {
    const { accounts } = context.services;
    const enabled = await accounts.setState(await accounts.byName(name), "enabled", [], context.commit);
    return { account: enabled, bindings: await shownBindings(context, enabled.bindings) };
  },
  replay: replayAccount,
};

export const accountDelete: GlobalMutation<Named, undefined> = {
  id: "account.delete",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: accountResource,
  async run(context, { name }) {
    const account = await another(context, name);
    const guard = await stillManaging(context);
    await context.services.clientAccounts.remove(account, guard, context.commit);
    return undefined;
  },
  replay: replayNothing,
};

/** The account, unless it is the caller's own: so that whoever ends an account is left to undo it. */
export async function another({ services, caller }: OperationContext, name: string): Promise<Account> {
  const account = await services.accounts.byName(name);
  if (account.id === caller.accountId) {
    throw new KeysteadError("invalid_body", { detail: "an account neither disables nor deletes itself" });
  }
  return account;
}

/** A write that applies only while the caller's account is as it is now: of two who end one another, one stays. */
export async function stillManaging({ services, caller }: OperationContext): Promise<readonly Write[]> {
  if (caller.accountId === undefined) return [];
  const own = await services.accounts.stored(caller.accountId);
  if (own === undefined || own.state === "disabled") throw new KeysteadError("forbidden");
  return [services.accounts.unchanged(own)];
}
