/**
 * Which API a path belongs to: no two rows of whatever is enabled match one request, and what nothing matches is answered in
 * the shape of the path's owner.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { facades } from "../../src/facades/catalogue.ts";
import { facadeNames } from "../../src/facades/facade-names.ts";
import { ownsPath, type Facade } from "../../src/http/facade/facade.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { buildRouteTable, isParameter } from "../../src/http/route-table.ts";
import { serviceFor, startDev } from "../harness.ts";

interface Row {
  readonly owner: string;
  readonly method: string;
  readonly path: string;
}

const operatorPaths = ["/health", "/ready", "/metrics", "/openapi.json"];
const all: readonly Facade[] = Object.values(facades);
const rows: readonly Row[] = [
  ...nativeRoutes.flatMap(({ method, path, alsoAt = [] }) =>
    [path, ...alsoAt].map((one) => ({ owner: "native", method, path: one })),
  ),
  ...operatorPaths.map((path) => ({ owner: "native", method: "GET", path })),
  ...all.flatMap(({ name, routes }) =>
    routes.flatMap(({ method, path, alsoAt = [] }) =>
      [path, ...alsoAt].map((one) => ({ owner: name, method, path: one })),
    ),
  ),
];

/** Whether some path matches both patterns; of a literal and a parameter in one place, the literal does. */
function canMeet(a: string, b: string): boolean {
  const [left, right] = [a.split("/"), b.split("/")];
  return (
    left.length === right.length &&
    left.every((segment, at) => {
      const other = right[at] ?? "";
      if (isParameter(segment)) return isParameter(other) || other !== "";
      return isParameter(other) ? segment !== "" : segment === other;
    })
  );
}

const literals = (path: string): number => path.split("/").filter((segment) => !isParameter(segment)).length;

describe("the rows of all APIs together", () => {
  test("the catalogue has every facade under its own name", () => {
    assert.deepEqual(Object.keys(facades).sort(), [...facadeNames].sort());
    for (const [name, facade] of Object.entries(facades)) assert.equal(facade.name, name);
  });

  test("make one table for the listeners, without ambiguity", () => {
    const handle = (): Promise<never> => Promise.reject(new Error("not called here"));
    buildRouteTable(rows.map(({ method, path }) => ({ method: method as "GET", path, handle })));
  });

  test("rows of two APIs never match one path, whatever its method", () => {
    assert.ok(canMeet("/a/{x}", "/a/b") && canMeet("/a/{x}", "/{y}/b") && !canMeet("/a/{x}", "/a/b/c"));
    const met: string[] = [];
    for (const [at, a] of rows.entries())
      for (const b of rows.slice(at + 1))
        if (a.owner !== b.owner && canMeet(a.path, b.path)) met.push(`${a.path} and ${b.path}`);
    assert.deepEqual(met, []);
  });

  test("of two rows of one API that match one request, one is the more literal", () => {
    const met: string[] = [];
    for (const [at, a] of rows.entries())
      for (const b of rows.slice(at + 1))
        if (a.method === b.method && canMeet(a.path, b.path) && literals(a.path) === literals(b.path))
          met.push(`${a.method} ${a.path} and ${b.path}`);
    assert.deepEqual(met, []);
  });

  test("each row of a facade lies on paths that it owns, and on no other's", () => {
    for (const { owner, path } of rows) {
      const sample = path.replaceAll(/\{\w+\}/g, "x");
      const owners = all.filter((facade) => ownsPath(facade, sample)).map(({ name }) => name);
      assert.deepEqual(owners, owner === "native" ? [] : [owner], path);
    }
  });

  test("no two facades own one path, and none owns what is the native API's or kept for others", () => {
    for (const { name, owns } of all)
      for (const own of owns) {
        for (const path of [own, `${own}x`]) {
          if (!own.endsWith("/") && path !== own) continue;
          const owners = all.filter((facade) => ownsPath(facade, path)).map((facade) => facade.name);
          assert.deepEqual(owners, [name], path);
        }
        assert.doesNotMatch(own, /^\/(v1(\/|$)|docs|health|ready|metrics|openapi\.json|$)/);
      }
  });

  test("the native API keeps off the paths that are kept for others", () => {
    for (const { path, method } of rows) {
      assert.doesNotMatch(path, /^\/v1\/(sys|auth|transit|secret|identity|cubbyhole)(\/|$)/);
      assert.ok(path !== "/" || method !== "POST");
    }
  });
});

/** A request target as it is, without a client library to tidy it up. */
function raw(port: number, line: string, body = ""): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => {
      const type = body === "" ? "" : "Content-Type: application/json\r\n";
      socket.write(
        `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    });
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => {
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text });
    });
    socket.on("error", reject);
  });
}

describe("what no row matches", () => {
  const on = serviceFor(() => startDev());
  const off = serviceFor(() => startDev({ KEYSTEAD_FACADES: "none" }));

  const isNative = (text: string): boolean => text.includes("application/problem+json");
  const isAutoKms = (text: string): boolean => /\r\n\r\n\{"detail":/.test(text);

  for (const [line, status, is] of [
    ["GET /kms/nothing", 404, isAutoKms],
    ["GET /kms/", 404, isAutoKms],
    ["GET /kms/Key/", 404, isAutoKms],
    ["GET /system/nothing", 404, isAutoKms],
    ["GET /kms/KEY", 404, isAutoKms],
    ["PUT /system/healthz", 405, isAutoKms],
    ["OPTIONS /kms/Key", 405, isAutoKms],
    ["GET /kms/Key/%41", 400, isAutoKms],
    ["GET /v1/../kms/nothing", 404, isAutoKms],
    ["GET /kms", 404, isNative],
    ["GET /kmsx/Key", 404, isNative],
    ["GET /", 404, isNative],
    ["GET /kms/../v1/nothing", 404, isNative],
    ["GET /v1/nothing", 404, isNative],
    ["DELETE /v1/keys", 405, isNative],
  ] as const) {
    test(`is answered by its owner: ${line}`, async () => {
      const answer = await raw(on().port, line);
      assert.equal(answer.status, status, answer.text);
      assert.ok(is(answer.text), answer.text);
    });
  }

  test("a bad body is answered by the path's owner", async () => {
    const ours = await raw(on().port, "POST /v1/keys", "{");
    assert.ok(ours.status === 400 && isNative(ours.text), ours.text);
    const theirs = await raw(on().port, "POST /kms/Key", "{");
    assert.ok(theirs.status === 422 && isAutoKms(theirs.text), theirs.text);
  });

  test("a facade that is off owns nothing and serves nothing", async () => {
    for (const line of ["GET /kms/Key", "GET /system/healthz", "GET /kms/nothing"]) {
      const answer = await raw(off().port, line);
      assert.equal(answer.status, 404);
      assert.ok(isNative(answer.text), answer.text);
    }
  });
});
