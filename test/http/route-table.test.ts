import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { buildRouteTable, matchPath } from "../../src/http/route-table.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import type { HttpMethod, WireRoute } from "../../src/http/wire.ts";

const route = (method: HttpMethod, path: string): WireRoute => ({
  method,
  path,
  handle: () => Promise.reject(new Error("not called here")),
});
const table = buildRouteTable([
  route("GET", "/v1/keys"),
  route("POST", "/v1/keys"),
  route("GET", "/v1/keys/{name}"),
  route("GET", "/v1/keys/special"),
  route("POST", "/v1/keys/{name}/rotate"),
]);

const found = (path: string): [string, Record<string, string>] | undefined => {
  const match = matchPath(table, path);
  return match === undefined ? undefined : [match.entry.path, match.params];
};

describe("the route table", () => {
  test("puts the methods of one path into one entry", () => {
    assert.equal(table.length, 4);
    assert.deepEqual([...(matchPath(table, "/v1/keys")?.entry.methods.keys() ?? [])], ["GET", "POST"]);
  });

  test("refuses two rows for one method and path", () => {
    assert.throws(() => buildRouteTable([route("GET", "/a"), route("GET", "/a")]), /two routes for GET \/a/);
  });

  test("refuses rows whose paths differ in parameter names only", () => {
    assert.throws(
      () => buildRouteTable([route("GET", "/a/{x}"), route("POST", "/a/{y}")]),
      /differ in parameter names only/,
    );
  });

  test("takes the native API's rows", () => {
    const rows = nativeRoutes.flatMap(({ method, path, alsoAt = [] }) =>
      [path, ...alsoAt].map((one) => route(method, one)),
    );
    assert.ok(buildRouteTable(rows).length > 0);
  });
});

describe("matching a path", () => {
  test("finds literals and hands over parameters as they stand", () => {
    assert.deepEqual(found("/v1/keys"), ["/v1/keys", {}]);
    assert.deepEqual(found("/v1/keys/orders"), ["/v1/keys/{name}", { name: "orders" }]);
    assert.deepEqual(found("/v1/keys/orders/rotate"), ["/v1/keys/{name}/rotate", { name: "orders" }]);
  });

  test("prefers a literal segment to a parameter, in whatever order the rows came", () => {
    assert.deepEqual(found("/v1/keys/special"), ["/v1/keys/special", {}]);
    const rows = [route("GET", "/a/b"), route("GET", "/a/{x}")];
    for (const order of [rows, rows.toReversed()]) {
      assert.equal(matchPath(buildRouteTable(order), "/a/b")?.entry.path, "/a/b");
    }
  });

  test("normalises nothing: no dots, no empty segments, no escapes, no letter case, no trailing slash", () => {
    for (const path of [
      "",
      "/",
      "//v1/keys",
      "/v1//keys",
      "/v1/keys/",
      "/V1/keys",
      "/v1/keys//rotate",
      "/v1/./keys",
      "/v1/x/../keys",
      "/v1/%6beys",
      "/v1%2Fkeys",
      "/v1\\keys",
      "/v1/keys/a/b",
      "/v1/keys/a/rotate/",
      "/v1/keys/a/ROTATE",
    ]) {
      assert.equal(found(path), undefined, path);
    }
    assert.deepEqual(found("/v1/keys/%2e%2e")?.[1], { name: "%2e%2e" });
    assert.deepEqual(found("/v1/keys/a\\b")?.[1], { name: "a\\b" });
  });

  test("gives back every parameter byte for byte", () => {
    const segment = fc.string({ minLength: 1, unit: "binary" }).filter((text) => !text.includes("/"));
    fc.assert(
      fc.property(segment, (name) => {
        fc.pre(name !== "special");
        assert.deepEqual(found(`/v1/keys/${name}`), ["/v1/keys/{name}", { name }]);
        assert.deepEqual(found(`/v1/keys/${name}/rotate`), ["/v1/keys/{name}/rotate", { name }]);
      }),
    );
  });
});
