/** The operations on projects, accounts, their role bindings and their tokens. */
import { KeysteadError } from "../errors.ts";
import type { Account, ApiToken } from "../identity/accounts.ts";
import type { AccountKind, Caller } from "../identity/caller.ts";
import type { Project } from "../identity/projects.ts";
import { ALL_PROJECTS, type Binding } from "../policy/decide.ts";
import {
  refuseReplay,
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
  type Remembered,
  type ResourceName,
} from "./operation.ts";
import { readPage, type Page, type PageInput } from "./paging.ts";

interface Named {
  readonly name: string;
}

const projectResource = (input: Named): ResourceName => ({ kind: "project", name: input.name });
const accountResource = (input: Named): ResourceName => ({ kind: "account", name: input.name });

/** A binding as callers see it: with the project's name instead of its id. */
export interface ShownBinding {
  readonly id: string;
  readonly role: string;
  readonly project: string;
  readonly pattern: string | undefined;
}

export interface ShownAccount {
  readonly account: Account;
  readonly bindings: readonly ShownBinding[];
}

export interface BindInput extends Named {
  readonly role: string;
  /** A project's name, or `*` for all. */
  readonly project: string;
  readonly pattern: string | undefined;
}

export interface TokenCreateInput extends Named {
  readonly label: string;
  readonly ttlSeconds: number;
}

/** The project that a change was about, as it is now. */
async function replayProject({ services }: OperationContext, { object }: Remembered): Promise<Project> {
  const project = await services.projects.byId(object);
  if (project === undefined) throw new KeysteadError("project_not_found");
  return project;
}

export const projectCreate: GlobalMutation<Named, Project> = {
  id: "project.create",
  scope: "kms:manage_projects",
  inProject: false,
  resource: projectResource,
  run: (context, { name }) => context.services.projects.create(name, context.commit),
  replay: replayProject,
};

export interface ProjectListInput extends PageInput {
  readonly namePrefix?: string;
}

export const projectList: GlobalOperation<ProjectListInput, Page<Project>> = {
  id: "project.list",
  // Everybody may ask; a caller sees the projects that it may read.
  scope: undefined,
  inProject: false,
  resource: () => undefined,
  run(context, input) {
    const { services } = context;
    const isVisible = (project: string): boolean =>
      context.allows("kms:read_projects", { project, name: undefined });
    const { namePrefix = "" } = input;
    return readPage(
      services.cursors,
      input,
      async (after, rows) => {
        const slice = await services.projects.list(after, rows, isVisible);
        return { ...slice, items: slice.items.filter(({ name }) => name.startsWith(namePrefix)) };
      },
      namePrefix,
    );
  },
};

export interface ProjectDeletionInput extends Named {
  readonly days: number;
  /** The project's name may be given to another at once. */
  readonly freesName?: boolean;
}

export const projectScheduleDeletion: GlobalMutation<ProjectDeletionInput, Project> = {
  id: "project.schedule_deletion",
  scope: "kms:manage_projects",
  severity: "WARNING",
  inProject: false,
  resource: projectResource,
  run: ({ services, commit }, { name, days, freesName = false }) =>
    services.projects.scheduleDeletion(name, days, freesName, services.now(), commit),
  replay: replayProject,
};

export const projectCancelDeletion: GlobalMutation<Named, Project> = {
  id: "project.cancel_deletion",
  scope: "kms:manage_projects",
  inProject: false,
  resource: projectResource,
  run: ({ services, commit }, { name }) => services.projects.cancelDeletion(name, services.now(), commit),
  replay: replayProject,
};

export const accountCreate: GlobalMutation<Named & { readonly kind: AccountKind }, ShownAccount> = {
  id: "account.create",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  async run(context, { name, kind }) {
    const account = await context.services.accounts.create(name, kind, context.commit);
    return { account, bindings: [] };
  },
  replay: replayAccount,
};

export const accountGet: GlobalOperation<Named, ShownAccount> = {
  id: "account.get",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  run: async (context, { name }) => shown(context, await context.services.accounts.byName(name)),
};

export const accountList: GlobalOperation<PageInput, Page<Account>> = {
  id: "account.list",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: () => undefined,
  run: ({ services }, input) =>
    readPage(services.cursors, input, (after, rows) => services.accounts.list(after, rows)),
};

export const accountBind: GlobalMutation<BindInput, ShownAccount> = {
  id: "account.bind",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  async run(context, { name, role, project, pattern }) {
    const { services } = context;
    const binding = {
      role,
      project: await projectIdOf(context, project),
      ...(pattern === undefined ? {} : { pattern }),
    };
    const account = await services.accounts.bind(
      name,
      binding,
      context.commit,
      await services.roles.using([role]),
    );
    return shown(context, account);
  },
  replay: replayAccount,
};

export const accountUnbind: GlobalMutation<Named & { readonly binding: string }, undefined> = {
  id: "account.unbind",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  async run(context, { name, binding }) {
    await context.services.accounts.unbind(name, binding, context.commit);
    return undefined;
  },
  replay: replayNothing,
};

export const tokenCreate: GlobalMutation<TokenCreateInput, { plainToken: string; token: ApiToken }> = {
  id: "token.create",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  run: (context, { name, label, ttlSeconds }) =>
    context.services.accounts.createToken(name, label, ttlSeconds, context.commit),
  replay: refuseReplay,
};

export const tokenList: GlobalOperation<Named, readonly ApiToken[]> = {
  id: "token.list",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  run: (context, { name }) => context.services.accounts.tokens(name),
};

export const tokenRevoke: GlobalMutation<Named & { readonly token: string }, undefined> = {
  id: "token.revoke",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: accountResource,
  async run(context, { name, token }) {
    await context.services.accounts.revokeToken(name, token, context.commit);
    return undefined;
  },
  replay: replayNothing,
};

export const jwtRevoke: GlobalMutation<
  { readonly subject: string; readonly issuedBefore: number },
  undefined
> = {
  id: "jwt.revoke",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: ({ subject }) => ({ kind: "jwt", name: subject }),
  async run(context, { subject, issuedBefore }) {
    await context.services.jwtRevocations.revoke(subject, issuedBefore, context.commit);
    return undefined;
  },
  replay: replayNothing,
};

export const whoami: GlobalOperation<undefined, { caller: Caller; bindings: readonly ShownBinding[] }> = {
  id: "caller.whoami",
  scope: undefined,
  inProject: false,
  resource: () => undefined,
  run: async (context) => ({
    caller: context.caller,
    bindings: await shownBindings(context, context.caller.bindings),
  }),
};

/** The account that a change was about, as it is now. */
export async function replayAccount(
  context: OperationContext,
  { object }: Remembered,
): Promise<ShownAccount> {
  const account = await context.services.accounts.byId(object);
  if (account === undefined) throw new KeysteadError("account_not_found");
  return shown(context, account);
}

async function shown(context: OperationContext, account: Account): Promise<ShownAccount> {
  return { account, bindings: await shownBindings(context, account.bindings) };
}

/** The id of a project that a binding names, or `*`. Throws `project_not_found`. */
export async function projectIdOf({ services }: OperationContext, project: string): Promise<string> {
  if (project === ALL_PROJECTS) return ALL_PROJECTS;
  const found = await services.projects.byName(project);
  if (found === undefined) throw new KeysteadError("project_not_found");
  return found.id;
}

/** Bindings as callers see them. */
export async function shownBindings(
  context: OperationContext,
  bindings: readonly Binding[],
): Promise<ShownBinding[]> {
  return Promise.all(
    bindings.map(async ({ id, role, project, pattern }) => ({
      id,
      role,
      project: project === ALL_PROJECTS ? project : await nameOf(context, project),
      pattern,
    })),
  );
}

async function nameOf({ services }: OperationContext, projectId: string): Promise<string> {
  const project = await services.projects.byId(projectId);
  return project?.nameBefore ?? project?.name ?? "";
}
