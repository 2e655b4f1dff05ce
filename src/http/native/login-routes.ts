/** The native API's routes for logins, sessions, passwords, signups, and the state of accounts. */
import { z } from "zod";
import type { Login } from "../../identity/logins.ts";
import { PASSWORD_UNITS_MAX } from "../../identity/passwords.ts";
import type { Session } from "../../identity/sessions.ts";
import { SIGNUP_TTL_SECONDS_MAX } from "../../identity/signing-keys.ts";
import { accountDelete, accountDisable, accountEnable } from "../../service/account-operations.ts";
import {
  loginCreate,
  loginKeyRotate,
  loginRefresh,
  loginRevoke,
  passwordSet,
  sessionList,
  sessionRevoke,
} from "../../service/login-operations.ts";
import {
  signupCreate,
  signupList,
  signupRedeem,
  signupRevoke,
  type ShownSignup,
} from "../../service/signup-operations.ts";
import { lowerCaseName, pageQuery, time, uuid } from "./fields.ts";
import {
  accountAnswer,
  bindingAnswer,
  kind,
  named,
  pattern,
  projectOrAll,
  role,
  shownAccount,
  shownBinding,
} from "./identity-routes.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const SIGNUP_TTL_SECONDS_DEFAULT = 24 * 3600;
const BINDINGS_MAX = 20;

const emptyBody = z.strictObject({});
/** How long it is at least is asked where one is set: a login says no more than that it was wrong. */
const password = z.string().max(PASSWORD_UNITS_MAX, "12 to 128 characters");
const token = z.string().max(4096, "a token");

const loginAnswer = z.strictObject({
  token: z.string(),
  token_type: z.literal("Bearer"),
  expires_at: time,
  refresh_token: z.string(),
  refresh_expires_at: time,
  session: uuid,
  account: lowerCaseName,
  kind,
});
const sessionAnswer = z.strictObject({
  id: uuid,
  created_at: time,
  refreshed_at: time,
  expires_at: time,
  address: z.string(),
});
const signupAnswer = z.strictObject({
  id: uuid,
  name: lowerCaseName,
  kind,
  created_at: time,
  expires_at: time,
  bindings: z.array(bindingAnswer),
});

export const loginRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: accountDisable,
    method: "POST",
    path: "/v1/accounts/{name}/disable",
    summary: "Refuse whatever an account comes with, and end its sessions",
    status: 200,
    params: named,
    body: emptyBody,
    response: accountAnswer,
    input: ({ params }) => params,
    output: shownAccount,
  }),
  nativeRoute({
    operation: accountEnable,
    method: "POST",
    path: "/v1/accounts/{name}/enable",
    summary: "Let an account in again",
    status: 200,
    params: named,
    body: emptyBody,
    response: accountAnswer,
    input: ({ params }) => params,
    output: shownAccount,
  }),
  nativeRoute({
    operation: accountDelete,
    method: "DELETE",
    path: "/v1/accounts/{name}",
    summary: "Delete an account with its tokens, password, sessions and role bindings",
    status: 204,
    params: named,
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: passwordSet,
    method: "POST",
    path: "/v1/accounts/{name}/password",
    summary: "Set an account's password: its own with the current one, another's as an administrator",
    status: 204,
    params: named,
    body: z.strictObject({ password, current_password: password.optional() }),
    input: ({ params, body }) => ({
      name: params.name,
      password: body.password,
      currentPassword: body.current_password,
    }),
    output: () => undefined,
  }),
  nativeRoute({
    operation: sessionList,
    method: "GET",
    path: "/v1/accounts/{name}/sessions",
    summary: "List an account's sessions",
    status: 200,
    params: named,
    response: z.strictObject({ sessions: z.array(sessionAnswer) }),
    input: ({ params }) => params,
    output: (sessions) => ({ sessions: sessions.map(shownSession) }),
  }),
  nativeRoute({
    operation: sessionRevoke,
    method: "DELETE",
    path: "/v1/accounts/{name}/sessions/{session}",
    summary: "End a session",
    status: 204,
    params: z.strictObject({ name: lowerCaseName, session: uuid }),
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: loginCreate,
    method: "POST",
    path: "/v1/login",
    summary: "Log in with a password",
    status: 200,
    body: z.strictObject({ account: lowerCaseName, password }),
    response: loginAnswer,
    input: ({ body }) => body,
    output: shownLogin,
  }),
  nativeRoute({
    operation: loginRefresh,
    method: "POST",
    path: "/v1/login/refresh",
    summary: "Change a refresh token for the next one and a fresh token",
    status: 200,
    body: z.strictObject({ refresh_token: token }),
    response: loginAnswer,
    input: ({ body }) => ({ refreshToken: body.refresh_token }),
    output: shownLogin,
  }),
  nativeRoute({
    operation: loginRevoke,
    method: "POST",
    path: "/v1/logout",
    summary: "End the session that the caller's token is of",
    status: 204,
    body: emptyBody,
    input: () => undefined,
    output: () => undefined,
  }),
  nativeRoute({
    operation: signupCreate,
    method: "POST",
    path: "/v1/signups",
    summary:
      "Let somebody make one account of this name, with a password; the token is shown in this answer only",
    status: 201,
    body: z.strictObject({
      name: lowerCaseName,
      kind,
      ttl_seconds: z.int().min(1).max(SIGNUP_TTL_SECONDS_MAX).default(SIGNUP_TTL_SECONDS_DEFAULT),
      bindings: z
        .array(z.strictObject({ role, project: projectOrAll, pattern: pattern.optional() }))
        .max(BINDINGS_MAX)
        .default([]),
    }),
    response: signupAnswer.extend({ token: z.string() }),
    input: ({ body }) => ({
      name: body.name,
      kind: body.kind,
      ttlSeconds: body.ttl_seconds,
      bindings: body.bindings.map((binding) => ({
        role: binding.role,
        project: binding.project,
        pattern: binding.pattern,
      })),
    }),
    output: ({ token: signupToken, ...shown }) => ({ token: signupToken, ...shownSignup(shown) }),
  }),
  nativeRoute({
    operation: signupList,
    method: "GET",
    path: "/v1/signups",
    summary: "List the signups that are still open, without their tokens",
    status: 200,
    query: pageQuery,
    response: z.strictObject({ signups: z.array(signupAnswer), next_cursor: z.string().optional() }),
    input: ({ query }) => ({ limit: query.limit, cursor: query.cursor }),
    output: (page) => ({ signups: page.items.map(shownSignup), next_cursor: page.nextCursor }),
  }),
  nativeRoute({
    operation: signupRevoke,
    method: "DELETE",
    path: "/v1/signups/{signup}",
    summary: "Take a signup back",
    status: 204,
    params: z.strictObject({ signup: uuid }),
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: signupRedeem,
    method: "POST",
    path: "/v1/signup",
    summary: "Make the account that a signup allows, with a password, and log in",
    status: 201,
    body: z.strictObject({ token, password }),
    response: loginAnswer,
    input: ({ body }) => body,
    output: shownLogin,
  }),
  nativeRoute({
    operation: loginKeyRotate,
    method: "POST",
    path: "/v1/login-keys/rotate",
    summary: "Make the next key that logins are signed with",
    status: 201,
    body: z.strictObject({ immediately: z.boolean().default(false) }),
    response: z.strictObject({ kid: uuid, created_at: time, used_from: time }),
    input: ({ body }) => ({ immediately: body.immediately }),
    output: ({ id, createdAtMs, usedFromMs }) => ({
      kid: id,
      created_at: new Date(createdAtMs).toISOString(),
      used_from: new Date(usedFromMs).toISOString(),
    }),
  }),
];

function shownLogin(login: Login): z.input<typeof loginAnswer> {
  const { session, account } = login;
  return {
    token: login.token,
    token_type: "Bearer",
    expires_at: new Date(login.expiresAtMs).toISOString(),
    refresh_token: login.refreshToken,
    refresh_expires_at: session.expiresAt,
    session: session.id,
    account: account.name,
    kind: account.kind,
  };
}

function shownSession(session: Session): z.input<typeof sessionAnswer> {
  const { id, createdAt, refreshedAt, expiresAt, address } = session;
  return { id, created_at: createdAt, refreshed_at: refreshedAt, expires_at: expiresAt, address };
}

function shownSignup({ signup, bindings }: ShownSignup): z.input<typeof signupAnswer> {
  const { id, name, kind: accountKind, createdAt, expiresAt } = signup;
  const shown = { id, name, kind: accountKind, created_at: createdAt, expires_at: expiresAt };
  return { ...shown, bindings: bindings.map(shownBinding) };
}
