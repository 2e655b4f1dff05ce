/**
 * The native API's rows as OpenAPI operations, and what the groups are that they stand in.
 * Invariant: a group is the first word of an operation's id.
 */
import { errorRegistry } from "../../errors.ts";
import {
  bodyExamples,
  idempotencyKeyParameter,
  parametersOf,
  projectParameter,
  replayedHeader,
  requestIdParameter,
  schemaOf,
  type Json,
} from "../openapi-fields.ts";
import { examples } from "./examples.ts";
import type { AnyNativeRoute } from "./native-route.ts";

/** One row at one of its paths. @param place which of its operation's paths it is, from 0 */
export function describeNative(route: AnyNativeRoute, place: number): Json {
  const { operation } = route;
  const example = examples[operation.id];
  const parameters = [
    ...parametersOf(route.params, "path", example),
    ...parametersOf(route.query, "query"),
    ...(operation.inProject ? [projectParameter] : []),
    ...(operation.replay === undefined ? [] : [idempotencyKeyParameter]),
    requestIdParameter,
  ];
  const answer = {
    description: "Done",
    ...(operation.replay === undefined ? {} : { headers: replayedHeader }),
    ...(route.response === undefined
      ? {}
      : {
          content: {
            "application/json": { schema: schemaOf(route.response, "output") },
            ...binaryContent(route.binary?.answer),
          },
        }),
  };
  return {
    operationId: place === 0 ? operation.id : `${operation.id}.${place + 1}`,
    tags: [groupOf(operation.id)],
    summary: route.summary,
    ...(operation.anonymous === true ? { security: [] } : {}),
    description: asked(operation),
    parameters,
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !route.body.safeParse({}).success,
            content: {
              "application/json": { schema: schemaOf(route.body, "input"), ...bodyExamples(example) },
              ...binaryContent(route.binary?.request),
            },
          },
        }),
    responses: {
      [route.status]: answer,
      default: {
        description: "Refused or failed",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

/** The groups of the rows, in the rows' order. */
export function nativeGroups(routes: readonly AnyNativeRoute[]): Json[] {
  const names = new Set(routes.map(({ operation }) => groupOf(operation.id)));
  return [...names].map((name) => {
    const description = groupDescriptions[name];
    return { name, ...(description === undefined ? {} : { description }) };
  });
}

function groupOf(operationId: string): string {
  return operationId.split(".")[0] ?? "";
}

const groupDescriptions: Readonly<Record<string, string>> = {
  key: "Keys: made, brought, changed and used; their material stays inside.",
  random: "Random bytes from the service's generator.",
  secret: "Values kept sealed, in versions.",
  project: "Projects, which keep tenants apart.",
  account: "People and services, and the roles they are bound to.",
  token: "API tokens of accounts.",
  jwt: "Tokens that others signed with the shared secret.",
  caller: "Who is asking.",
  password: "Passwords of accounts.",
  session: "Where an account is logged in.",
  login: "A password for short-lived tokens.",
  signup: "Invitations: a token that makes an account once.",
  login_key: "The keys that login tokens are signed with.",
  role: "Roles of your own beside the built-in ones.",
  policy: "Why something is allowed or not.",
  issuer: "Other systems whose tokens are taken.",
  barrier: "The keys that every record is sealed with.",
};

function asked(operation: AnyNativeRoute["operation"]): string {
  const { scope, anonymous } = operation;
  const besides = operation.ownAccount === undefined ? "" : ", but for the caller's own account";
  if (anonymous === true) return "Needs no credentials but those in its body.";
  if (scope === undefined) return "Any caller.";
  return `Needs the scope \`${scope}\`${besides}.`;
}

function binaryContent(description: string | undefined): Json {
  if (description === undefined) return {};
  return { "application/octet-stream": { schema: { description: `Frames of ${description}` } } };
}

export const problemSchema = {
  type: "object",
  description: "RFC 9457 problem details.",
  required: ["type", "title", "status", "code", "error", "request_id"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    field: { type: "string" },
    code: { type: "string", enum: Object.keys(errorRegistry) },
    error: { type: "string" },
    request_id: { type: "string" },
  },
};
