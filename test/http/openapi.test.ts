import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { facades } from "../../src/facades/catalogue.ts";
import { rowKey, type AnyFacadeRoute } from "../../src/http/facade/facade.ts";
import { openapiDocument } from "../../src/http/openapi.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { serviceFor, startDev } from "../harness.ts";

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
}

interface Description {
  readonly openapi: string;
  readonly tags: readonly { name: string; description?: string }[];
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<
          string,
          {
            operationId?: string;
            tags: string[];
            security?: unknown[];
            parameters?: { name: string; in: string }[];
            requestBody?: { content: Record<string, { schema: Schema }> };
            responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
          }
        >
      >
    >
  >;
}

describe("the OpenAPI document", () => {
  const service = serviceFor(() => startDev());
  /** What of the document is the service's own. */
  const native = openapiDocument({
    native: nativeRoutes,
    facades: [],
    version: "0",
  }) as unknown as Description;
  let document: Description;
  before(async () => {
    document = (await service().request("GET", "/openapi.json")).json as unknown as Description;
  });

  test("describes every route that is served, and no other", () => {
    assert.match(document.openapi, /^3\.1\./);
    const described = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = nativeRoutes.flatMap((route) =>
      [route.path, ...(route.alsoAt ?? [])].map((path) => `${route.method} ${path}`),
    );
    const operator = [
      "/health",
      "/ready",
      "/metrics",
      "/.well-known/jwks.json",
      "/openapi.json",
      "/docs",
    ].map((path) => `GET ${path}`);
    const others = Object.values(facades).flatMap(({ routes }) => routes.flatMap(spellings));
    assert.deepEqual(described.sort(), [...served, ...operator, ...others].sort());
  });

  test("gives every operation an id of its own, its path's parameters and a closed body", () => {
    const ids = new Set<string>();
    for (const [path, item] of Object.entries(document.paths)) {
      for (const operation of Object.values(item)) {
        if (operation.operationId === undefined) continue;
        assert.ok(!ids.has(operation.operationId), operation.operationId);
        ids.add(operation.operationId);
        const inPath = (operation.parameters ?? [])
          .filter((parameter) => parameter.in === "path")
          .map(({ name }) => `{${name}}`);
        assert.deepEqual(path.match(/\{\w+\}/g) ?? [], inPath);
        const body = operation.requestBody?.content["application/json"]?.schema;
        if (body !== undefined && native.paths[path] !== undefined)
          assert.equal(body.additionalProperties, false, operation.operationId);
      }
    }
  });

  test("describes a facade only where it is on", async () => {
    const isOf = (title: string) => (group: { name: string }) => group.name === title;
    for (const facade of Object.values(facades)) {
      const paths = facade.routes.flatMap(spellings).map((line) => line.split(" ")[1] ?? "");
      await using off = await startDev({ KEYSTEAD_FACADES: "none" });
      const without = (await off.request("GET", "/openapi.json")).json as unknown as Description;
      assert.ok(!without.tags.some(isOf(facade.title ?? facade.name)));
      for (const path of paths) assert.equal(without.paths[path], undefined, path);
      assert.ok(document.tags.some(isOf(facade.title ?? facade.name)));
    }
  });

  test("puts every operation into one group that it explains, the native ones first", () => {
    const names = document.tags.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, description } of document.tags) assert.match(description ?? "", /\.$/, name);
    const used = Object.values(document.paths).flatMap((item) =>
      Object.values(item).flatMap(({ tags }) => tags),
    );
    assert.deepEqual([...new Set(used)].sort(), [...names].sort());
    const titles = Object.values(facades).map(({ title, name }) => title ?? name);
    assert.deepEqual(names.slice(-titles.length), titles);
  });

  test("says of every facade row what it answers, how it refuses and whether it asks for a token", () => {
    const undescribed: string[] = [];
    for (const facade of Object.values(facades)) {
      const { name, errors } = facade;
      if (facade.title === undefined || errors === undefined) undescribed.push(`${name}: title, errors`);
      for (const row of facade.routes) {
        const { path, response, open } = row;
        const described = document.paths[path]?.[row.method.toLowerCase()];
        assert.ok(described !== undefined, rowKey(row));
        assert.deepEqual(described.security, open === true ? [] : undefined, rowKey(row));
        const refused = Object.keys(described.responses["default"]?.content ?? {});
        assert.deepEqual(refused, [errors?.contentType ?? "*/*"], rowKey(row));
        const isEmpty = row.status === 204 || emptyAnswers.includes(rowKey(row));
        if (isEmpty !== (response === undefined)) undescribed.push(`${name}: ${rowKey(row)}`);
      }
    }
    assert.deepEqual(undescribed, []);
  });

  test("describes the answers as they are", async () => {
    const name = "described";
    const steps: [string, string, unknown?][] = [
      ["POST", "/v1/keys", { name }],
      ["GET", "/v1/keys"],
      ["GET", `/v1/keys/${name}`],
      ["POST", `/v1/keys/${name}/rotate`, {}],
      ["POST", `/v1/encrypt/${name}`, { plaintext: "x" }],
      ["POST", "/v1/secrets", { name, value: "x" }],
      ["GET", "/v1/secrets"],
      ["GET", `/v1/secrets/${name}`],
      ["POST", "/v1/projects", { name }],
      ["GET", "/v1/projects"],
      ["POST", "/v1/accounts", { name, kind: "service" }],
      ["POST", `/v1/accounts/${name}/bindings`, { role: "reader", project: name }],
      ["GET", `/v1/accounts/${name}`],
      ["GET", "/v1/accounts"],
      ["POST", `/v1/accounts/${name}/tokens`, {}],
      ["GET", `/v1/accounts/${name}/tokens`],
      ["GET", "/v1/whoami"],
      ["POST", `/v1/keys/${name}/revoke`, {}],
    ];
    for (const [method, path, body] of steps) {
      const answer = await service().request(method, path, body);
      const route = nativeRoutes.find((row) => row.method === method && sameShape(row.path, path));
      assert.ok(answer.status < 300, answer.text);
      assert.equal(route?.status, answer.status);
      const parsed = route.response?.safeParse(answer.json);
      assert.ok(parsed?.success, `${method} ${path}: ${answer.text}`);
    }
  });
});

/** Rows that answer with a status alone, though it is not 204. */
const emptyAnswers = ["POST /kms/Key/{id}/rotate"];

function spellings({ method, path, alsoAt = [] }: AnyFacadeRoute): string[] {
  return [path, ...alsoAt].map((one) => `${method} ${one}`);
}

function sameShape(pattern: string, path: string): boolean {
  const [a, b] = [pattern.split("/"), path.split("/")];
  return a.length === b.length && a.every((segment, i) => segment.startsWith("{") || segment === b[i]);
}
