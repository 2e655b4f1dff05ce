/** The native API's routes for projects, accounts, role bindings and tokens. */
import { z } from "zod";
import type { ApiToken } from "../../identity/accounts.ts";
import { credentialMethods, type Credential } from "../../identity/caller.ts";
import type { Project } from "../../identity/projects.ts";
import { ALL_PROJECTS } from "../../policy/decide.ts";
import {
  accountBind,
  accountCreate,
  accountGet,
  accountList,
  accountUnbind,
  jwtRevoke,
  projectCancelDeletion,
  projectCreate,
  projectList,
  projectScheduleDeletion,
  tokenCreate,
  tokenList,
  tokenRevoke,
  whoami,
  type ShownAccount,
  type ShownBinding,
} from "../../service/identity-operations.ts";
import { deletionDays } from "./key-routes.ts";
import { lowerCaseName, namePattern, pageQuery, time, uuid } from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const TTL_SECONDS_DEFAULT = 90 * 24 * 3600;
const TTL_SECONDS_MAX = 5 * 366 * 24 * 3600;

export const named = z.strictObject({ name: lowerCaseName });
export const kind = z.enum(["person", "service"]);
export const role = lowerCaseName;
export const projectOrAll = z.union([z.literal(ALL_PROJECTS), lowerCaseName], "a project's name, or *");
export const pattern = z
  .string()
  .max(256)
  .regex(/^[a-zA-Z0-9._*-]+$/, "letters, digits, `.`, `_`, `-` and `*` for any run of characters");

const projectAnswer = z.strictObject({
  id: uuid,
  name: lowerCaseName,
  state: z.enum(["enabled", "pending_deletion"]),
  created_at: time,
  deletion_at: time.optional(),
});
export const bindingAnswer = z.strictObject({
  id: z.string(),
  role,
  project: z.string(),
  pattern: z.string().optional(),
});
export const accountAnswer = z.strictObject({
  id: uuid,
  name: lowerCaseName,
  kind,
  state: z.enum(["enabled", "disabled"]),
  created_at: time,
  bindings: z.array(bindingAnswer),
});
const tokenAnswer = z.strictObject({ id: uuid, label: z.string(), created_at: time, expires_at: time });

export const identityRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: projectCreate,
    method: "POST",
    path: "/v1/projects",
    summary: "Create a project",
    status: 201,
    body: named,
    response: projectAnswer,
    input: ({ body }) => body,
    output: shownProject,
  }),
  nativeRoute({
    operation: projectScheduleDeletion,
    method: "POST",
    path: "/v1/projects/{name}/schedule-deletion",
    summary: "Refuse everything in a project, and destroy it with all that it holds in 7 to 30 days",
    status: 200,
    params: named,
    body: z.strictObject({ days: deletionDays }),
    response: projectAnswer,
    input: ({ params, body }) => ({ name: params.name, days: body.days }),
    output: shownProject,
  }),
  nativeRoute({
    operation: projectCancelDeletion,
    method: "POST",
    path: "/v1/projects/{name}/cancel-deletion",
    summary: "Keep a project that was to be deleted",
    status: 200,
    params: named,
    body: z.strictObject({}),
    response: projectAnswer,
    input: ({ params }) => params,
    output: shownProject,
  }),
  nativeRoute({
    operation: projectList,
    method: "GET",
    path: "/v1/projects",
    summary: "List the projects that the caller may see",
    status: 200,
    query: pageQuery,
    response: z.strictObject({ projects: z.array(projectAnswer), next_cursor: z.string().optional() }),
    input: ({ query }) => ({ limit: query.limit, cursor: query.cursor }),
    output: (page) => ({
      projects: page.items.filter(({ state }) => state !== "destroyed").map(shownProject),
      next_cursor: page.nextCursor,
    }),
  }),
  nativeRoute({
    operation: accountCreate,
    method: "POST",
    path: "/v1/accounts",
    summary: "Create an account (without any right)",
    status: 201,
    body: z.strictObject({ name: lowerCaseName, kind }),
    response: accountAnswer,
    input: ({ body }) => body,
    output: shownAccount,
  }),
  nativeRoute({
    operation: accountList,
    method: "GET",
    path: "/v1/accounts",
    summary: "List accounts",
    status: 200,
    query: pageQuery,
    response: z.strictObject({
      accounts: z.array(accountAnswer.omit({ bindings: true })),
      next_cursor: z.string().optional(),
    }),
    input: ({ query }) => ({ limit: query.limit, cursor: query.cursor }),
    output: (page) => ({
      accounts: page.items.map((account) => ({
        id: account.id,
        name: account.name,
        kind: account.kind,
        state: account.state ?? "enabled",
        created_at: account.createdAt,
      })),
      next_cursor: page.nextCursor,
    }),
  }),
  nativeRoute({
    operation: accountGet,
    method: "GET",
    path: "/v1/accounts/{name}",
    summary: "Get an account with its role bindings",
    status: 200,
    params: named,
    response: accountAnswer,
    input: ({ params }) => params,
    output: shownAccount,
  }),
  nativeRoute({
    operation: accountBind,
    method: "POST",
    path: "/v1/accounts/{name}/bindings",
    summary: "Give an account a role in a project (or in all), optionally for some names only",
    status: 201,
    params: named,
    body: z.strictObject({ role, project: projectOrAll, pattern: namePattern.optional() }),
    response: accountAnswer,
    input: ({ params, body }) => ({
      name: params.name,
      role: body.role,
      project: body.project,
      pattern: body.pattern,
    }),
    output: shownAccount,
  }),
  nativeRoute({
    operation: accountUnbind,
    method: "DELETE",
    path: "/v1/accounts/{name}/bindings/{binding}",
    summary: "Take a role from an account",
    status: 204,
    params: z.strictObject({ name: lowerCaseName, binding: uuid }),
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: tokenCreate,
    method: "POST",
    path: "/v1/accounts/{name}/tokens",
    summary: "Make an API token for an account; it is shown in this answer only",
    status: 201,
    params: named,
    body: z.strictObject({
      label: z
        .string()
        .max(128)
        .regex(/^[\p{L}\p{N}\p{P}\p{S} ]*$/u, "letters, digits, punctuation and spaces")
        .default(""),
      ttl_seconds: z.int().min(1).max(TTL_SECONDS_MAX).default(TTL_SECONDS_DEFAULT),
    }),
    response: tokenAnswer.extend({ token: z.string() }),
    input: ({ params, body }) => ({ name: params.name, label: body.label, ttlSeconds: body.ttl_seconds }),
    output: ({ plainToken, token }) => ({ token: plainToken, ...shownToken(token) }),
  }),
  nativeRoute({
    operation: tokenList,
    method: "GET",
    path: "/v1/accounts/{name}/tokens",
    summary: "List an account's tokens, without the tokens themselves",
    status: 200,
    params: named,
    response: z.strictObject({ tokens: z.array(tokenAnswer) }),
    input: ({ params }) => params,
    output: (tokens) => ({ tokens: tokens.map(shownToken) }),
  }),
  nativeRoute({
    operation: tokenRevoke,
    method: "DELETE",
    path: "/v1/accounts/{name}/tokens/{token}",
    summary: "Revoke a token",
    status: 204,
    params: z.strictObject({ name: lowerCaseName, token: uuid }),
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: jwtRevoke,
    method: "POST",
    path: "/v1/jwt-revocations",
    summary: "Refuse a subject's JWTs that were issued before a time",
    status: 204,
    body: z.strictObject({
      sub: z.string().min(1).max(256),
      issued_before: z
        .int()
        .min(0)
        .max(2 ** 40),
    }),
    input: ({ body }) => ({ subject: body.sub, issuedBefore: body.issued_before }),
    output: () => undefined,
  }),
  nativeRoute({
    operation: whoami,
    method: "GET",
    path: "/v1/whoami",
    summary: "Say who the caller is and what it is bound to",
    status: 200,
    response: z.strictObject({
      kind: z.string(),
      caller: z.string(),
      account_id: uuid.optional(),
      authenticated_by: z.enum(credentialMethods).optional(),
      expires_at: time.optional(),
      issuer: z.string().optional(),
      subject: z.string().optional(),
      bindings: z.array(bindingAnswer),
    }),
    input: () => undefined,
    output: ({ caller, bindings }) => ({
      kind: caller.kind,
      caller: caller.label,
      account_id: caller.accountId,
      ...shownCredential(caller.credential),
      bindings: bindings.map(shownBinding),
    }),
  }),
];

function shownProject({
  id,
  name,
  nameBefore,
  state,
  createdAt,
  deletion,
}: Project): z.input<typeof projectAnswer> {
  return {
    id,
    name: nameBefore ?? name,
    // A destroyed one has no name to ask for it by.
    state: state === "pending_deletion" ? state : "enabled",
    created_at: createdAt,
    deletion_at: deletion?.dueAt,
  };
}

/** An account as the wire has it. */
export function shownAccount({ account, bindings }: ShownAccount): z.input<typeof accountAnswer> {
  const { id, name, kind: accountKind, state = "enabled", createdAt } = account;
  const shown = { id, name, kind: accountKind, state, created_at: createdAt };
  return { ...shown, bindings: bindings.map(shownBinding) };
}

/** A binding as the wire has it. */
export function shownBinding({
  id,
  role: name,
  project,
  pattern: names,
}: ShownBinding): z.input<typeof bindingAnswer> {
  return { id, role: name, project, ...(names === undefined ? {} : { pattern: names }) };
}

function shownCredential(credential: Credential | undefined): object {
  if (credential === undefined) return {};
  const { method, expiresAtMs, issuer, subject } = credential;
  // Later than any date: an issuer may say so.
  const expiresAt = expiresAtMs > 8.64e15 ? undefined : new Date(expiresAtMs).toISOString();
  return { authenticated_by: method, expires_at: expiresAt, issuer, subject };
}

function shownToken({ id, label, createdAt, expiresAt }: ApiToken): z.input<typeof tokenAnswer> {
  return { id, label, created_at: createdAt, expires_at: expiresAt };
}
