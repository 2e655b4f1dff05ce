/**
 * What of a request did not fit a row's schemas, item by item, for facades whose answers say so.
 * Invariant: an issue names a place and a rule; the value that came is in none of it. A place is made of names from our own
 * schemas and of indexes; a name that the client made up stands as `?`.
 */
import type { z } from "zod";
import { KeysteadError } from "../../errors.ts";

/** One thing that does not fit, in the words of Pydantic, which clients of FastAPI services know. */
export interface WireIssue {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
}

/** A refusal that can say where and why. */
export class InvalidWire extends KeysteadError {
  readonly issues: readonly WireIssue[];

  constructor(issues: readonly WireIssue[], options: { field?: string } = {}) {
    super("invalid_body", options);
    this.issues = issues;
  }
}

const ISSUES_MAX = 20;
const expectedTypes: Readonly<Record<string, { readonly type: string; readonly what: string }>> = {
  string: { type: "string_type", what: "string" },
  int: { type: "int_type", what: "integer" },
  number: { type: "float_type", what: "number" },
  boolean: { type: "bool_type", what: "boolean" },
  array: { type: "list_type", what: "list" },
  object: { type: "dict_type", what: "dictionary" },
  record: { type: "dict_type", what: "dictionary" },
};

/** What a schema found in `value`. */
export function wireIssues(
  place: "path" | "query" | "body",
  schema: z.core.$ZodType,
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
): WireIssue[] {
  return issuesOf(place, issues, value).map((issue) => ({
    ...issue,
    loc: [place, ...inOwnNames(schema, issue.loc.slice(1))],
  }));
}

/** `value` is what came, to tell what is absent from what is ill-typed. Places still have the client's names in them. */
function issuesOf(place: string, issues: readonly z.core.$ZodIssue[], value: unknown): WireIssue[] {
  return issues.slice(0, ISSUES_MAX).flatMap((issue) => {
    const loc = [place, ...issue.path.map((part) => (typeof part === "number" ? part : String(part)))];
    if (issue.code === "unrecognized_keys") {
      return [{ loc: [...loc, "?"], msg: "Extra inputs are not permitted", type: "extra_forbidden" }];
    }
    if (issue.code === "invalid_union") {
      const branch = issue.errors.find((found) =>
        found.every((inner) => inner.path.length > 0 || inner.code === "unrecognized_keys"),
      );
      const at = valueAt(value, issue.path);
      if (branch !== undefined) {
        return issuesOf(place, branch, at).map((inner) => ({
          ...inner,
          loc: [...loc, ...inner.loc.slice(1)],
        }));
      }
    }
    return [{ loc, ...wordsFor(issue, valueAt(value, issue.path) === undefined) }];
  });
}

/** A place in what a schema is held against, with `?` for every name that is none of the schema's. */
function inOwnNames(
  schema: z.core.$ZodType,
  path: readonly (string | number)[],
): readonly (string | number)[] {
  let at = structuresOf(schema);
  return path.map((part) => {
    at = at.flatMap(({ _zod: { def } }) => {
      if (typeof part === "number") return isArray(def) ? structuresOf(def.element) : [];
      const field = isObject(def) && Object.hasOwn(def.shape, part) ? def.shape[part] : undefined;
      return field === undefined ? [] : structuresOf(field);
    });
    return typeof part === "number" || at.length > 0 ? part : "?";
  });
}

/** The schemas that say what a value is made of, behind those that say whether it may be absent, or what becomes of it. */
function structuresOf(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  const { def } = schema._zod;
  if ("innerType" in def) return structuresOf((def as z.core.$ZodOptionalDef).innerType);
  if (def.type === "pipe") return structuresOf((def as z.core.$ZodPipeDef).in);
  if (def.type === "union") return (def as z.core.$ZodUnionDef).options.flatMap(structuresOf);
  return [schema];
}

function isArray(def: z.core.$ZodTypeDef): def is z.core.$ZodArrayDef {
  return def.type === "array";
}

function isObject(def: z.core.$ZodTypeDef): def is z.core.$ZodObjectDef {
  return def.type === "object";
}

function wordsFor(issue: z.core.$ZodIssue, isAbsent: boolean): { msg: string; type: string } {
  if (isAbsent) return { msg: "Field required", type: "missing" };
  if (issue.code === "invalid_type") {
    const expected = expectedTypes[issue.expected];
    if (expected !== undefined)
      return { msg: `Input should be a valid ${expected.what}`, type: expected.type };
  }
  if (issue.code === "invalid_format" && issue.format === "uuid")
    return { msg: "Input should be a valid UUID", type: "uuid_parsing" };
  if (issue.code === "invalid_value") {
    const values = issue.values.map((one) => `'${String(one)}'`);
    const last = values.pop() ?? "";
    const msg = `Input should be ${values.length === 0 ? last : `${values.join(", ")} or ${last}`}`;
    return { msg, type: values.length === 0 ? "literal_error" : "enum" };
  }
  if (issue.code === "too_big") {
    const characters = issue.origin === "string";
    return characters
      ? {
          msg: `String should have at most ${String(issue.maximum)} characters`,
          type: "string_too_long",
        }
      : { msg: `Input should be at most ${String(issue.maximum)}`, type: "less_than_equal" };
  }
  if (issue.code === "too_small") {
    const characters = issue.origin === "string";
    return characters
      ? {
          msg: `String should have at least ${String(issue.minimum)} character${issue.minimum === 1 ? "" : "s"}`,
          type: "string_too_short",
        }
      : { msg: `Input should be at least ${String(issue.minimum)}`, type: "greater_than_equal" };
  }
  // What is left are the schemas' own sentences.
  return { msg: issue.message, type: "value_error" };
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}
