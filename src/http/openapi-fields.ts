/**
 * What the descriptions of rows are made of: schemas, parameters, bodies with their examples, and the headers that several
 * APIs have in common.
 * Invariant: a schema is described as it comes over the wire: input before it is parsed, output after it was made.
 */
import { z } from "zod";
import { earlierField, type RouteExample } from "./route-example.ts";

export type Json = Record<string, unknown>;

/** A schema as JSON Schema 2020-12. */
export function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const json = z.toJSONSchema(schema, { target: "draft-2020-12", io, unrepresentable: "any" }) as Json;
  delete json["$schema"];
  return json;
}

/** The parameters that an object's fields are, in a path or a query. */
export function parametersOf(
  schema: z.ZodType | undefined,
  where: "path" | "query",
  example?: RouteExample,
): Json[] {
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
    ...exampleOf(example?.params?.[name]),
  }));
}

/** What comes from an earlier answer is said, and the field left empty: no value would do. */
function exampleOf(value: string | undefined): Json {
  if (value === undefined) return {};
  const field = earlierField(value);
  return field === undefined ? { example: value } : { description: `The \`${field}\` of an earlier answer.` };
}

/** The examples of a JSON body, as members of its media type. */
export function bodyExamples(example: RouteExample | undefined): Json {
  if (example?.body === undefined) return {};
  const { body, otherBodies = {} } = example;
  const named = Object.entries({ "to begin with": body, ...otherBodies });
  return { examples: Object.fromEntries(named.map(([name, value]) => [name, { value }])) };
}

export const projectParameter = {
  name: "X-Keystead-Project",
  in: "header",
  required: false,
  description: "The project to act in.",
  schema: { type: "string", default: "default" },
};

export const requestIdParameter = {
  name: "X-Request-Id",
  in: "header",
  required: false,
  description: "An id that the answer and the audit entry repeat.",
  schema: { type: "string", pattern: "^[A-Za-z0-9._-]{1,64}$" },
};

/** Where something is changed: the header of the request, and what an answer given before has. */
export const idempotencyKeyParameter = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "Text of the client's choice: what comes twice under it within 24 hours is done once.",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

export const replayedHeader = {
  "Idempotency-Replayed": {
    description: "There where the request was done before under the same idempotency key.",
    schema: { type: "string", const: "true" },
  },
};
