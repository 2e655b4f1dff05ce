/** The native API's routes for external issuers. */
import { z } from "zod";
import {
  issuerAlgorithms,
  placeholder,
  type Issuer,
  type IssuerRule,
  type IssuerSettings,
  type KeySource,
} from "../../identity/issuer.ts";
import {
  issuerCreate,
  issuerDelete,
  issuerGet,
  issuerList,
  issuerUpdate,
} from "../../service/issuer-operations.ts";
import { lowerCaseName, namePattern, time, uuid } from "./fields.ts";
import { projectOrAll } from "./identity-routes.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const BODY_BYTES_MAX = 256 * 1024;
const LIFETIME_SECONDS_DEFAULT = 24 * 3600;
const LIFETIME_SECONDS_MAX = 31 * 24 * 3600;

const named = z.strictObject({ name: lowerCaseName });
const text = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, "no control characters");
const url = z
  .string()
  .max(512)
  .regex(/^https?:\/\/[!-~]+$/, "an https URL");
const audiences = z.array(text).min(1).max(20);
const algorithms = z.array(z.enum(issuerAlgorithms)).min(1).max(issuerAlgorithms.length);
/** A claim's name, or a JSON pointer. */
const claim = text.regex(/^(?:[^/]|(?:\/(?:[^/~]|~[01])+)+$)/, "a claim's name, or a JSON pointer");
const keySource = z.discriminatedUnion("from", [
  z.strictObject({ from: z.literal("discovery") }),
  z.strictObject({ from: z.literal("url"), url }),
  z.strictObject({
    from: z.literal("pinned"),
    jwks: z.object({ keys: z.array(z.record(z.string(), z.json())).min(1).max(100) }),
  }),
]);
const caPem = z.string().max(128 * 1024);
const condition = z.union([
  z.strictObject({ claim, equals: z.union([text, z.number(), z.boolean()]) }),
  z.strictObject({
    claim,
    // What every text matches is no condition.
    matches: text.regex(/[^*]/, "a pattern with more than stars"),
  }),
]);
const when = z.array(condition).min(1).max(8);
const account = z
  .string()
  .max(128)
  .refine(
    (template) => lowerCaseName.safeParse(template.replace(placeholder, "x")).success,
    "an account's name",
  );
const rule = z.union([
  z.strictObject({
    when,
    bindings: z
      .array(z.strictObject({ role: lowerCaseName, project: projectOrAll, pattern: namePattern.optional() }))
      .min(1)
      .max(20),
  }),
  z.strictObject({ when, account }),
]);
const rules = z.array(rule).max(50);
const lifetime = z.int().min(60).max(LIFETIME_SECONDS_MAX);

const issuerAnswer = z.strictObject({
  id: uuid,
  name: lowerCaseName,
  issuer: z.string(),
  enabled: z.boolean(),
  audiences: z.array(z.string()),
  algorithms: z.array(z.enum(issuerAlgorithms)),
  key_source: keySource,
  ca_pem: z.string().optional(),
  subject_claim: z.string(),
  max_lifetime_seconds: z.int(),
  rules: z.array(rule),
  created_at: time,
});

export const issuerRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: issuerCreate,
    method: "POST",
    path: "/v1/issuers",
    summary: "Take the tokens of an external issuer, and say what they are worth",
    status: 201,
    bodyBytesMax: BODY_BYTES_MAX,
    body: z.strictObject({
      name: lowerCaseName,
      issuer: url,
      audiences,
      rules,
      enabled: z.boolean().default(true),
      algorithms: algorithms.default(["RS256", "ES256", "EdDSA"]),
      key_source: keySource.default({ from: "discovery" }),
      ca_pem: caPem.optional(),
      subject_claim: claim.default("sub"),
      max_lifetime_seconds: lifetime.default(LIFETIME_SECONDS_DEFAULT),
    }),
    response: issuerAnswer,
    input: ({ body }) => ({
      name: body.name,
      issuer: body.issuer,
      audiences: body.audiences,
      rules: body.rules.map(givenRule),
      enabled: body.enabled,
      algorithms: body.algorithms,
      keySource: givenKeySource(body.key_source),
      subjectClaim: body.subject_claim,
      lifetimeSecondsMax: body.max_lifetime_seconds,
      ...(body.ca_pem === undefined ? {} : { caPem: body.ca_pem }),
    }),
    output: shownIssuer,
  }),
  nativeRoute({
    operation: issuerList,
    method: "GET",
    path: "/v1/issuers",
    summary: "List the external issuers",
    status: 200,
    response: z.strictObject({ issuers: z.array(issuerAnswer) }),
    input: () => undefined,
    output: (issuers) => ({ issuers: issuers.map(shownIssuer) }),
  }),
  nativeRoute({
    operation: issuerGet,
    method: "GET",
    path: "/v1/issuers/{name}",
    summary: "Get an external issuer",
    status: 200,
    params: named,
    response: issuerAnswer,
    input: ({ params }) => params,
    output: shownIssuer,
  }),
  nativeRoute({
    operation: issuerUpdate,
    method: "PATCH",
    path: "/v1/issuers/{name}",
    summary: "Change an external issuer; disable or enable it",
    status: 200,
    bodyBytesMax: BODY_BYTES_MAX,
    params: named,
    body: z.strictObject({
      audiences: audiences.optional(),
      rules: rules.optional(),
      enabled: z.boolean().optional(),
      algorithms: algorithms.optional(),
      key_source: keySource.optional(),
      ca_pem: caPem.nullable().optional(),
      subject_claim: claim.optional(),
      max_lifetime_seconds: lifetime.optional(),
    }),
    response: issuerAnswer,
    input: ({ params, body }) => ({
      name: params.name,
      audiences: body.audiences,
      rules: body.rules?.map(givenRule),
      enabled: body.enabled,
      algorithms: body.algorithms,
      keySource: body.key_source === undefined ? undefined : givenKeySource(body.key_source),
      caPem: body.ca_pem,
      subjectClaim: body.subject_claim,
      lifetimeSecondsMax: body.max_lifetime_seconds,
    }),
    output: shownIssuer,
  }),
  nativeRoute({
    operation: issuerDelete,
    method: "DELETE",
    path: "/v1/issuers/{name}",
    summary: "Refuse the tokens of an external issuer from now on",
    status: 204,
    params: named,
    input: ({ params }) => params,
    output: () => undefined,
  }),
];

function givenRule(given: z.output<typeof rule>): IssuerRule {
  if (!("bindings" in given)) return given;
  const bindings = given.bindings.map(({ pattern, ...binding }) =>
    pattern === undefined ? binding : { ...binding, pattern },
  );
  return { when: given.when, bindings };
}

function givenKeySource(given: z.output<typeof keySource>): KeySource {
  return given.from === "pinned" ? { from: "pinned", keys: given.jwks.keys } : given;
}

function shownIssuer(issuer: Issuer): unknown {
  const { id, name, createdAt, ...record } = issuer;
  return {
    id,
    name,
    issuer: record.issuer,
    ...shownSettings(record),
    created_at: createdAt,
  };
}

function shownSettings(settings: IssuerSettings): Record<string, unknown> {
  const { enabled, keySource: source, caPem: certificates } = settings;
  return {
    enabled,
    audiences: settings.audiences,
    algorithms: settings.algorithms,
    key_source: source.from === "pinned" ? { from: source.from, jwks: { keys: source.keys } } : source,
    ca_pem: certificates,
    subject_claim: settings.subjectClaim,
    max_lifetime_seconds: settings.lifetimeSecondsMax,
    rules: settings.rules,
  };
}
