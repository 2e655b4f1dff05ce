import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { examples } from "../../../src/http/native/examples.ts";
import { nativeRoutes } from "../../../src/http/native/native-api.ts";
import { parseWith } from "../../../src/http/native/native-route.ts";
import { startDev } from "../../harness.ts";

const routeOf = (id: string) => nativeRoutes.find((route) => route.operation.id === id);

describe("the examples of the API's description", () => {
  test("stand for every operation that takes a path's name or a body", () => {
    for (const { operation, params, body } of nativeRoutes) {
      if (params === undefined && body === undefined) continue;
      assert.ok(examples[operation.id] !== undefined, operation.id);
    }
    for (const id of Object.keys(examples)) assert.ok(routeOf(id) !== undefined, `${id} is no operation`);
  });

  test("have the shape of their operation's path and body", () => {
    for (const [id, { params, body, otherBodies = {} }] of Object.entries(examples)) {
      const route = routeOf(id);
      if (route?.params !== undefined && !JSON.stringify(params).includes("["))
        parseWith(route.params, params);
      if (route?.body === undefined) {
        assert.equal(body, undefined, id);
        continue;
      }
      for (const example of [body, ...Object.values(otherBodies)]) parseWith(route.body, example);
    }
  });

  test("work one after the other in a fresh dev mode, but for those that need an earlier answer", async () => {
    await using service = await startDev();
    for (const [id, { params = {}, body, otherBodies = {}, needs }] of Object.entries(examples)) {
      const route = routeOf(id);
      if (needs !== undefined || route === undefined) continue;
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => params[name] ?? "");
      for (const example of [body, ...Object.values(otherBodies)]) {
        const answer = await service.request(route.method, path, example);
        assert.ok(answer.status < 300, `${id}: ${answer.status} ${answer.text}`);
      }
    }
  });
});
