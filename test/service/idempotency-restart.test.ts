/** How long idempotency keys are remembered, and what cannot make them forget or lie. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { REMEMBERED_MS } from "../../src/service/idempotency.ts";
import { StoreConflict } from "../../src/storage/store.ts";
import { FakeSink } from "../audit/fake-sink.ts";
import { startServer, temporaryFolder } from "../harness.ts";
import { codeOf, isReplay, post } from "./keyed-request.ts";

describe("what is remembered", () => {
  const body = { name: "s", value: "x" };

  test("outlives a restart, and ends a day later", async () => {
    const folder = temporaryFolder();
    const settings = { KEYSTEAD_DATA_PATH: folder };
    let nowMs = Date.now();
    const now = (): number => nowMs;
    const first = await startServer(settings, { now });
    const token = await first.token("admin");
    const sent = { key: "restart", token };
    const made = await post(first, "/v1/secrets", body, sent);
    await first.close();
    await using second = await startServer(settings, { now });
    const again = await post(second, "/v1/secrets", body, sent);
    assert.ok(isReplay(again));
    assert.deepEqual(again.json, made.json);
    nowMs += REMEMBERED_MS;
    assert.ok(isReplay(await post(second, "/v1/secrets", body, sent)));
    nowMs += 1000;
    const late = await post(second, "/v1/secrets", body, sent);
    assert.deepEqual([isReplay(late), late.json["version"]], [false, 2]);
    const latest = await post(second, "/v1/secrets", body, sent);
    assert.deepEqual([isReplay(latest), latest.json["version"]], [true, 2]);
  });

  test("is true also where the change was made and its answer lost with the audit log", async () => {
    const sink = new FakeSink();
    await using service = await startServer({}, { auditSink: sink });
    const token = await service.token("admin");
    const sent = { key: "lost", token };
    sink.failing = true;
    // The change is committed before its line is written.
    assert.deepEqual(codeOf(await post(service, "/v1/secrets", body, sent)), [503, "audit_unavailable"]);
    sink.failing = false;
    const deadline = performance.now() + 10_000;
    let again = await post(service, "/v1/secrets", body, sent);
    while (again.status === 503 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      again = await post(service, "/v1/secrets", body, sent);
    }
    assert.deepEqual([again.status, isReplay(again), again.json["version"]], [201, true, 1]);
  });

  test("answers for no other request, whoever moves it there in the database", async () => {
    const folder = temporaryFolder();
    const settings = { KEYSTEAD_DATA_PATH: folder };
    const first = await startServer(settings);
    const token = await first.token("admin");
    await post(first, "/v1/secrets", body, { key: "a", token });
    await post(first, "/v1/secrets", { ...body, name: "t" }, { key: "b", token });
    await first.close();
    const database = new DatabaseSync(join(folder, "keystead.db"));
    const rows = database.prepare("select id, sealed from idempotency where created_at < '9999'").all();
    assert.equal(rows.length, 2);
    for (const [i, { id }] of rows.entries()) {
      database.prepare("update idempotency set sealed = ? where id = ?").run(rows[1 - i]!["sealed"]!, id!);
    }
    database.close();
    await using second = await startServer(settings);
    for (const [key, name] of [
      ["a", "s"],
      ["b", "t"],
    ] as const) {
      const answer = await post(second, "/v1/secrets", { ...body, name }, { key, token });
      assert.deepEqual(codeOf(answer), [500, "internal_error"]);
    }
  });

  test("by another node is no reason to try the change again, nor a name that is taken", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    const { auditor } = service.keystead.services;
    let tries = 0;
    auditor.commitChange = () => {
      tries++;
      return Promise.reject(new StoreConflict("idempotency"));
    };
    for (const [path, sentBody] of [
      ["/v1/keys", { name: "new" }],
      ["/v1/keys/k/rotate", {}],
      ["/v1/secrets", body],
    ] as const) {
      tries = 0;
      assert.deepEqual(codeOf(await post(service, path, sentBody, { key: "k", token })), [409, "conflict"]);
      assert.equal(tries, 1, path);
    }
  });
});
