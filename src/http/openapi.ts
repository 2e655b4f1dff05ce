/**
 * The OpenAPI 3.1 document of the native API, made from the rows that serve it.
 * Invariant: nothing is described that is not served, and nothing served is left out.
 */
import { z } from "zod";
import { errorRegistry } from "../errors.ts";
import type { AnyNativeRoute } from "./native/native-route.ts";

type Json = Record<string, unknown>;

/** Makes the document. */
export function openapiDocument(routes: readonly AnyNativeRoute[], version: string): Json {
  const paths: Record<string, Json> = {};
  const places = new Map<string, number>();
  for (const route of routes) {
    for (const path of [route.path, ...(route.alsoAt ?? [])]) {
      const { id } = route.operation;
      const before = places.get(id) ?? 0;
      places.set(id, before + 1);
      const item = (paths[path] ??= {});
      item[route.method.toLowerCase()] = describe(route, before);
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Keystead",
      version,
      description: "Keys, encryption, signatures and secrets behind one audited door.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    paths: { ...paths, ...operatorPaths },
    components: {
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "An API token (kst_…), the token of a login, or another JWT.",
        },
      },
      schemas: { Problem: problemSchema },
    },
  };
}

function describe(route: AnyNativeRoute, alias: number): Json {
  const { operation } = route;
  const [group = ""] = operation.id.split(".");
  const parameters = [
    ...parametersOf(route.params, "path"),
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
    operationId: alias === 0 ? operation.id : `${operation.id}.${alias + 1}`,
    tags: [group],
    summary: route.summary,
    ...(operation.anonymous === true ? { security: [] } : {}),
    description: asked(operation),
    parameters,
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !z.safeParse(route.body, {}).success,
            content: {
              "application/json": { schema: schemaOf(route.body, "input") },
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

function asked(operation: AnyNativeRoute["operation"]): string {
  const { scope, anonymous } = operation;
  if (anonymous === true) return "Needs no credentials but those in its body.";
  if (scope === undefined) return "Any caller.";
  return `Needs the scope \`${scope}\`${operation.ownAccount === undefined ? "" : ", but for the caller's own account"}.`;
}

function binaryContent(description: string | undefined): Json {
  if (description === undefined) return {};
  return { "application/octet-stream": { schema: { description: `Frames of ${description}` } } };
}

function parametersOf(schema: z.ZodType | undefined, where: "path" | "query"): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(schema, "input") as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === "path" || required.includes(name),
    schema: property,
  }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const json = z.toJSONSchema(schema, { target: "draft-2020-12", io, unrepresentable: "any" }) as Json;
  delete json["$schema"];
  return json;
}

const projectParameter = {
  name: "X-Keystead-Project",
  in: "header",
  required: false,
  description: "The project to act in.",
  schema: { type: "string", default: "default" },
};

const requestIdParameter = {
  name: "X-Request-Id",
  in: "header",
  required: false,
  description: "An id that the answer and the audit entry repeat.",
  schema: { type: "string", pattern: "^[A-Za-z0-9._-]{1,64}$" },
};

const idempotencyKeyParameter = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "Text of the client's choice: what comes twice under it within 24 hours is done once.",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

const replayedHeader = {
  "Idempotency-Replayed": {
    description: "There where the request was done before under the same idempotency key.",
    schema: { type: "string", const: "true" },
  },
};

const problemSchema = {
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

const open = (summary: string, type: string, statuses: readonly number[]): Json => ({
  get: {
    tags: ["service"],
    summary,
    security: [],
    responses: Object.fromEntries(
      statuses.map((status) => [
        status,
        { description: status === 200 ? "Yes" : "No", content: { [type]: {} } },
      ]),
    ),
  },
});

const operatorPaths: Record<string, Json> = {
  "/health": open("Whether every part works", "application/json", [200, 503]),
  "/ready": open("Whether requests are taken", "application/json", [200, 503]),
  "/metrics": open("Prometheus metrics", "text/plain", [200]),
  "/.well-known/jwks.json": open("The public keys of login tokens", "application/jwk-set+json", [200]),
  "/openapi.json": open("This document", "application/json", [200]),
};
