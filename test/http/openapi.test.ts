import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
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
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<
          string,
          {
            operationId?: string;
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
    assert.deepEqual(described.sort(), [...served, ...operator].sort());
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
        if (body !== undefined) assert.equal(body.additionalProperties, false, operation.operationId);
      }
    }
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

function sameShape(pattern: string, path: string): boolean {
  const [a, b] = [pattern.split("/"), path.split("/")];
  return a.length === b.length && a.every((segment, i) => segment.startsWith("{") || segment === b[i]);
}
