/** The native API's routes for own roles, and for the explanation of decisions. */
import { z } from "zod";
import type { Statement } from "../../policy/roles.ts";
import { ALL_SCOPES, scopes } from "../../policy/roles.ts";
import { policyExplain, verdicts } from "../../service/policy-operations.ts";
import {
  roleCreate,
  roleDelete,
  roleGet,
  roleList,
  roleUpdate,
  type ShownRole,
} from "../../service/role-operations.ts";
import { lowerCaseName, namePattern, resourceName, time } from "./fields.ts";
import { bindingAnswer, shownBinding } from "./identity-routes.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const STATEMENTS_MAX = 50;
const PATTERNS_MAX = 50;

const named = z.strictObject({ name: lowerCaseName });
const description = z
  .string()
  .max(256)
  .regex(/^[\p{L}\p{N}\p{P}\p{S} ]*$/u, "letters, digits, punctuation and spaces");
const someScopes = z.array(z.enum(scopes)).min(1).max(scopes.length);
const patterns = z.array(namePattern).min(1).max(PATTERNS_MAX).optional();
const statement = z.union([
  z.strictObject({ effect: z.literal("allow"), scopes: someScopes, patterns }),
  // Only a denial may speak of scopes that are not there yet.
  z.strictObject({
    effect: z.literal("deny"),
    scopes: z.union([z.tuple([z.literal(ALL_SCOPES)]), someScopes]),
    patterns,
  }),
]);
const statements = z.array(statement).min(1).max(STATEMENTS_MAX);

const roleAnswer = z.strictObject({
  name: lowerCaseName,
  built_in: z.boolean(),
  description: z.string(),
  statements: z.array(
    z.strictObject({
      effect: z.enum(["allow", "deny"]),
      scopes: z.array(z.enum([ALL_SCOPES, ...scopes])),
      patterns: z.array(z.string()).optional(),
    }),
  ),
  created_at: time.optional(),
});

export const roleRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: roleCreate,
    method: "POST",
    path: "/v1/roles",
    summary: "Make a role: what it allows, and what it denies",
    status: 201,
    body: z.strictObject({ name: lowerCaseName, description: description.default(""), statements }),
    response: roleAnswer,
    input: ({ body }) => ({ ...body, statements: body.statements.map(withoutUndefined) }),
    output: shownRole,
  }),
  nativeRoute({
    operation: roleList,
    method: "GET",
    path: "/v1/roles",
    summary: "List all roles, built-in ones first",
    status: 200,
    response: z.strictObject({ roles: z.array(roleAnswer) }),
    input: () => undefined,
    output: (roles) => ({ roles: roles.map(shownRole) }),
  }),
  nativeRoute({
    operation: roleGet,
    method: "GET",
    path: "/v1/roles/{name}",
    summary: "Get a role",
    status: 200,
    params: named,
    response: roleAnswer,
    input: ({ params }) => params,
    output: shownRole,
  }),
  nativeRoute({
    operation: roleUpdate,
    method: "PATCH",
    path: "/v1/roles/{name}",
    summary: "Change a role, for everybody who is bound to it",
    status: 200,
    params: named,
    body: z.strictObject({ description: description.optional(), statements: statements.optional() }),
    response: roleAnswer,
    input: ({ params, body }) => ({
      name: params.name,
      description: body.description,
      statements: body.statements?.map(withoutUndefined),
    }),
    output: shownRole,
  }),
  nativeRoute({
    operation: roleDelete,
    method: "DELETE",
    path: "/v1/roles/{name}",
    summary: "Delete a role that nothing is bound to",
    status: 204,
    params: named,
    input: ({ params }) => params,
    output: () => undefined,
  }),
  nativeRoute({
    operation: policyExplain,
    method: "POST",
    path: "/v1/can",
    summary: "Say whether an account may do something, and by what",
    status: 200,
    body: z.strictObject({
      action: z.string().max(64),
      account: lowerCaseName.optional(),
      project: lowerCaseName.default("default"),
      resource: resourceName.optional(),
    }),
    response: z.strictObject({
      allowed: z.boolean(),
      verdict: z.enum(verdicts),
      caller: z.string(),
      scope: z.enum(scopes).optional(),
      reasons: z.array(
        z.strictObject({
          effect: z.enum(["allow", "deny", "role_missing"]),
          binding: bindingAnswer,
          statement: z.int().optional(),
        }),
      ),
    }),
    input: ({ body }) => ({
      account: body.account,
      action: body.action,
      project: body.project,
      resource: body.resource,
    }),
    output: ({ reasons, ...explanation }) => ({
      ...explanation,
      reasons: reasons.map((reason) => ({ ...reason, binding: shownBinding(reason.binding) })),
    }),
  }),
];

function withoutUndefined({ patterns: names, ...rest }: z.output<typeof statement>): Statement {
  return names === undefined ? rest : { ...rest, patterns: names };
}

function shownRole({ name, description: text, statements: list, createdAt }: ShownRole): unknown {
  return {
    name,
    built_in: createdAt === undefined,
    description: text,
    statements: list,
    created_at: createdAt,
  };
}
