/**
 * Every operation that the API's own description tells of, facades' among them, called with what fits its schema, with what almost does, and
 * with rubbish. Invariant: nothing is a failure of the service, no refusal repeats what was sent, and every answer has the
 * shape that the description promises.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { serviceFor, startDev, type Answer } from "../harness.ts";

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly pattern?: string;
  readonly format?: string;
  readonly contentEncoding?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

interface Media {
  readonly schema?: Schema;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Described {
  readonly operationId?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Media>> }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const RUNS_AN_OPERATION = Number(process.env["FUZZ_RUNS"] ?? 40);
const keys = ["aes-256", "xaes-256", "ed25519", "ecdsa-p256", "hmac-256", "ml-kem-768", "aes-256-kwp"];
const facadeKeys = ["AES256_GCM", "CHACHA20_POLY1305"];
/** Names and ids of what is there. */
const ids: string[] = [];
const known = [...keys.map((type) => `fuzz-${type}`), "fuzz-secret", "fuzz-account", "default", "absent"];

describe("whatever is sent to any operation of the description", () => {
  const service = serviceFor(() => startDev());
  let document: Document;
  /** What the description says itself, an answer may say without repeating anything. */
  let description = "";
  before(async () => {
    const answer = await service().request("GET", "/openapi.json");
    description = answer.text;
    document = answer.json as unknown as Document;
    for (const type of keys) await service().request("POST", "/v1/keys", { name: `fuzz-${type}`, type });
    for (const algorithm of facadeKeys) {
      const body = { name: `fuzz ${algorithm}`, algorithm };
      const id = String((await service().request("POST", "/kms/Key", body)).json["id"]);
      // An Auto KMS version's id is its key's, with the number in the last digits.
      ids.push(id, `${id.slice(0, -8)}00000001`);
    }
    await service().request("POST", "/v1/secrets", { name: "fuzz-secret", value: "x" });
    await service().request("POST", "/v1/accounts", { name: "fuzz-account", kind: "service" });
  });

  test("fails in no way of the service's own, is not repeated, and is answered as described", async () => {
    const answered = new Set<number>();
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, described]) => ({ path, method, described })),
    );
    // What ends things comes last, so that the others find some.
    const isEnd = ({ path, method }: { path: string; method: string }): boolean =>
      method === "delete" || /revoke|disable|delet/.test(path);
    for (const part of [operations.filter((one) => !isEnd(one)), operations.filter(isEnd)]) {
      for (const { path, method, described } of part) {
        const body = described.requestBody?.content["application/json"];
        const inPath = (described.parameters ?? []).filter((parameter) => parameter.in === "path");
        const inQuery = (described.parameters ?? []).filter((parameter) => parameter.in === "query");
        const calls = fc.sample(
          fc.record({
            path: fc.tuple(...inPath.map(({ schema }) => segmentOf(schema))),
            query: fc.record(
              Object.fromEntries(
                inQuery.map(({ name, schema }) => [
                  name,
                  fc.oneof(
                    { weight: 4, arbitrary: valueOf(schema).map(String) },
                    { weight: 1, arbitrary: fc.string() },
                  ),
                ]),
              ),
              { requiredKeys: [] },
            ),
            body: body?.schema === undefined ? fc.constant(undefined) : bodyOf(body.schema, body.examples),
          }),
          { numRuns: RUNS_AN_OPERATION },
        );
        for (const call of calls) {
          let target = path;
          inPath.forEach(({ name }, at) => (target = target.replace(`{${name}}`, call.path[at] ?? "x")));
          const query = new URLSearchParams(call.query as Record<string, string>).toString();
          if (query !== "") target += `?${query}`;
          const answer = await service().request(method.toUpperCase(), target, call.body);
          answered.add(answer.status);
          const what = `${method} ${path} ${JSON.stringify(call)}: ${answer.status} ${answer.text}`;
          assert.ok(answer.status < 500, what);
          if (answer.status >= 400) {
            for (const sent of textsOf([call.path, call.query, call.body]))
              assert.ok(!answer.text.includes(sent) || description.includes(sent), what);
          }
          assertDescribed(described, answer, what);
        }
      }
    }
    for (const status of [200, 201, 204, 400, 404]) assert.ok(answered.has(status), `never ${status}`);
  });

  function valueOf(schema: Schema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return valueOf(resolved(schema.$ref));
    if (schema.const !== undefined) return fc.constant(schema.const);
    // Making an RSA key takes too long to be done often.
    if (schema.enum !== undefined)
      return fc.constantFrom(...schema.enum.filter((value) => !/^rsa|RSA/.test(String(value))));
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices !== undefined) return fc.oneof(...choices.map((choice) => valueOf(choice)));
    switch (String(schema.type)) {
      case "object": {
        const fields = Object.entries(schema.properties ?? {}).map(
          ([name, field]) => [name, valueOf(field)] as const,
        );
        const known = fc.record(Object.fromEntries(fields), { requiredKeys: [...(schema.required ?? [])] });
        const { additionalProperties: other = false } = schema;
        if (typeof other === "boolean") return known;
        const member = fc.oneof(valueOf(other), fc.jsonValue({ maxDepth: 1 }));
        const more = fc.dictionary(fc.stringMatching(/^[a-z ]{12,40}$/), member, { minKeys: 1, maxKeys: 4 });
        return fc.tuple(known, fc.oneof(fc.constant({}), more)).map(([own, odd]) => ({ ...odd, ...own }));
      }
      case "array":
        return fc.array(schema.items === undefined ? fc.jsonValue() : valueOf(schema.items), {
          minLength: Math.min(schema.minItems ?? 0, 3),
          maxLength: Math.min(schema.maxItems ?? 4, 4),
        });
      case "integer":
      case "number":
        return fc.integer({
          min: Math.max(schema.minimum ?? -5, -(2 ** 31)),
          max: Math.min(schema.maximum ?? 2 ** 31 - 1, 2 ** 31 - 1),
        });
      case "boolean":
        return fc.boolean();
      case "string":
        return fc.oneof({ weight: 3, arbitrary: fittingText(schema) }, { weight: 1, arbitrary: text });
      default:
        return fc.jsonValue({ maxDepth: 2 });
    }
  }

  /** What fits, what lacks or adds a field, and what is something else. */
  function bodyOf(schema: Schema, examples: Media["examples"] = {}): fc.Arbitrary<unknown> {
    const shown = Object.values(examples).map(({ value }) => fc.constant(value));
    const fitting = fc.oneof(valueOf(schema), ...shown);
    const withOdd = fc
      .tuple(fitting, fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 2 }))
      .map(([value, name, odd]) =>
        typeof value === "object" && value !== null && !Array.isArray(value)
          ? { ...value, [name]: odd }
          : odd,
      );
    const withWrong = fc.tuple(fitting, fc.nat(), fc.jsonValue({ maxDepth: 2 })).map(([value, at, wrong]) => {
      if (typeof value !== "object" || value === null) return wrong;
      if (Array.isArray(value))
        return value.length === 0 ? [wrong] : (value as unknown[]).with(at % value.length, wrong);
      const names = Object.keys(value);
      const name = names[at % Math.max(1, names.length)];
      return name === undefined ? wrong : { ...value, [name]: wrong };
    });
    return fc.oneof(
      { weight: 4, arbitrary: fitting },
      { weight: 2, arbitrary: withOdd },
      { weight: 2, arbitrary: withWrong },
      { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
    );
  }

  function resolved(reference: string): Schema {
    return document.components.schemas[reference.split("/").at(-1) ?? ""] ?? {};
  }

  const schemas = new Map<unknown, z.ZodType>();

  function assertDescribed(described: Described, answer: Answer, what: string): void {
    const response = described.responses[answer.status] ?? described.responses["default"];
    assert.ok(response !== undefined, `not described: ${what}`);
    if (response.content === undefined) {
      assert.equal(answer.text, "", what);
      return;
    }
    const type = (answer.headers.get("content-type") ?? "").split(";")[0] ?? "";
    const media = response.content[type] ?? response.content["*/*"];
    assert.ok(media !== undefined, `${type} is not described: ${what}`);
    if (media.schema === undefined || !type.endsWith("json")) return;
    let schema = schemas.get(media.schema);
    if (schema === undefined) {
      const plain = media.schema.$ref === undefined ? media.schema : resolved(media.schema.$ref);
      schema = z.fromJSONSchema(readable(plain) as Parameters<typeof z.fromJSONSchema>[0]);
      schemas.set(media.schema, schema);
    }
    const result = schema.safeParse(JSON.parse(answer.text));
    assert.ok(result.success, `${what}\n${String(result.error)}`);
  }
});

const knownName = fc.constantFrom(...known);
/** An id that is there when it is asked for. */
const knownId = fc.nat().map((at) => ids[at % ids.length] ?? "");
const anyBase64 = fc
  .oneof(
    fc.uint8Array({ maxLength: 64 }),
    ...[12, 16, 32].map((length) => fc.uint8Array({ minLength: length, maxLength: length })),
  )
  .map((bytes) => Buffer.from(bytes).toString("base64"));

const text = fc.oneof(
  knownName,
  knownId,
  fc.constantFrom(...keys, ...facadeKeys),
  fc.string(),
  fc.string({ unit: "binary", maxLength: 40 }),
  anyBase64,
  fc.stringMatching(/^[a-z][a-z0-9-]{0,40}$/),
);

/** What a schema of texts says that fits. */
function fittingText({ format, contentEncoding, pattern }: Schema): fc.Arbitrary<string> {
  if (format === "uuid") return fc.oneof({ weight: 4, arbitrary: knownId }, fc.uuid());
  if (format === "date-time") return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (contentEncoding === "base64") return anyBase64;
  if (pattern === undefined) return text;
  const names = known.filter((name) => new RegExp(pattern, "u").test(name));
  try {
    const made = fc.stringMatching(new RegExp(pattern, "u"));
    return names.length === 0 ? made : fc.oneof(fc.constantFrom(...names), made);
  } catch {
    // Not every pattern can be gone backwards.
    return names.length === 0 ? text : fc.constantFrom(...names);
  }
}

/** Without patterns that name Unicode properties: zod reads patterns as if they were not about Unicode. */
function readable(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(readable);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([name, value]) => name !== "pattern" || !String(value).includes("\\p{"))
      .map(([name, value]) => [name, readable(value)] as const),
  );
}

/** One segment of a path: mostly of something that is there. */
function segmentOf({ format }: Schema): fc.Arbitrary<string> {
  return fc.oneof({ weight: 3, arbitrary: format === "uuid" ? knownId : knownName }, knownId, segment);
}

/** One segment of a path, percent-encoded where it must be. */
const segment = fc
  .oneof(
    fc.stringMatching(/^[A-Za-z0-9._~-]{1,70}$/),
    fc.string({ minLength: 1, maxLength: 20 }).map(encodeURIComponent),
  )
  .filter((value) => value !== "." && value !== "..");

/** The texts of a call that are long enough to be recognised in an answer. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return value.length >= 12 ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    ...(Array.isArray(value) ? [] : textsOf(name)),
    ...textsOf(inner),
  ]);
}
