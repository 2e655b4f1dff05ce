/** The operations on signups: the leave to make one account, and its use. */
import { KeysteadError } from "../errors.ts";
import type { AccountKind } from "../identity/caller.ts";
import type { Login } from "../identity/logins.ts";
import type { Signup } from "../identity/signups.ts";
import type { Binding } from "../policy/decide.ts";
import { projectIdOf, shownBindings, type ShownBinding } from "./identity-operations.ts";
import { naming } from "./login-operations.ts";
import {
  refuseReplay,
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
  type ResourceName,
} from "./operation.ts";
import { readPage, type Page, type PageInput } from "./paging.ts";

const SCOPE = "kms:manage_accounts";

interface Named {
  readonly name: string;
}

export interface SignupCreateInput extends Named {
  readonly kind: AccountKind;
  readonly ttlSeconds: number;
  readonly bindings: readonly {
    readonly role: Binding["role"];
    /** A project's name, or `*` for all. */
    readonly project: string;
    readonly pattern: string | undefined;
  }[];
}

/** A signup as callers see it. */
export interface ShownSignup {
  readonly signup: Signup;
  readonly bindings: readonly ShownBinding[];
}

const accountResource = (input: Named): ResourceName => ({ kind: "account", name: input.name });
const nothing = (): undefined => undefined;

export const signupCreate: GlobalMutation<SignupCreateInput, ShownSignup & { readonly token: string }> = {
  id: "signup.create",
  scope: SCOPE,
  severity: "WARNING",
  inProject: false,
  resource: accountResource,
  async run(context, { name, kind, ttlSeconds, bindings }) {
    const { accounts, signups } = context.services;
    if ((await accounts.find(name)) !== undefined) throw new KeysteadError("account_exists");
    const resolved = await Promise.all(
      bindings.map(async ({ role, project, pattern }) => {
        const id = await projectIdOf(context, project);
        return { role, project: id, ...(pattern === undefined ? {} : { pattern }) };
      }),
    );
    const { token, signup } = await signups.create(
      { name, kind, ttlSeconds, bindings: resolved },
      context.commit,
      await context.services.roles.using(bindings.map(({ role }) => role)),
    );
    return { token, ...(await shownSignup(context, signup)) };
  },
  replay: refuseReplay,
};

export const signupList: GlobalOperation<PageInput, Page<ShownSignup>> = {
  id: "signup.list",
  scope: SCOPE,
  inProject: false,
  resource: nothing,
  run: (context, input) =>
    readPage(context.services.cursors, input, async (after, rows) => {
      const { items, lastName } = await context.services.signups.list(after, rows);
      const shown = items.map(async (signup) => ({
        // What pages are cut by.
        name: signup.id,
        ...(await shownSignup(context, signup)),
      }));
      return { items: await Promise.all(shown), lastName };
    }),
};

export const signupRevoke: GlobalMutation<{ readonly signup: string }, undefined> = {
  id: "signup.revoke",
  scope: SCOPE,
  inProject: false,
  resource: nothing,
  async run({ services, commit }, { signup }) {
    await services.signups.revoke(signup, commit);
    return undefined;
  },
  replay: replayNothing,
};

export const signupRedeem: GlobalMutation<{ readonly token: string; readonly password: string }, Login> = {
  id: "signup.redeem",
  scope: undefined,
  anonymous: true,
  severity: "WARNING",
  inProject: false,
  resource: nothing,
  idempotentInput: nothing,
  run: (context, { token, password }) =>
    context.services.logins.redeem(token, password, context.address, context.commit, naming(context)),
  replay: refuseReplay,
};

async function shownSignup(context: OperationContext, signup: Signup): Promise<ShownSignup> {
  return { signup, bindings: await shownBindings(context, signup.bindings) };
}
