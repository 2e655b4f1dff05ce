/** What clients and the audit log see when PostgreSQL goes away, and when a connection breaks in the moment of a commit. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { until } from "../audit/test-auditor.ts";
import { onPostgres, startServer, temporaryFolder, type TestService } from "../harness.ts";
import { newDatabase, newDatabaseOn, query, startPostgres } from "../postgres.ts";
import { Wire } from "./cut-wire.ts";

async function behindWire(): Promise<{ service: TestService; wire: Wire; token: string; url: string }> {
  const url = await newDatabase();
  const wire = await Wire.to(Number(new URL(url).port));
  const service = await startServer({ ...(await onPostgres()), KEYSTEAD_DATABASE_URL: wire.url(url) });
  const token = await service.token("admin");
  await cleaned(url);
  return { service, wire, token, url };
}

/** Waits until the service commits nothing by itself: the outbox is empty. */
async function cleaned(url: string): Promise<void> {
  await until(async () => (await query(url, "select 1 from outbox")).length === 0);
}

/** The audit entries that made a key of this name. */
const creations = (service: TestService, name: string): Record<string, unknown>[] =>
  service
    .auditEntries()
    .filter((entry) => entry["action"] === "key.create" && entry["resource"] === `key:${name}`);

describe("a connection that breaks in the moment of a commit", () => {
  test("is answered with success where the database had committed, with one entry", async () => {
    const { service, wire, token } = await behindWire();
    await using running = service;
    wire.cut = "after";
    const answer = await running.request("POST", "/v1/keys", { name: "k" }, { token });
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(
      creations(running, "k").map(({ outcome }) => outcome),
      ["ok"],
    );
    assert.equal((await running.request("GET", "/v1/keys/k", undefined, { token })).status, 200);
  });

  test("is answered with a failure where it had not, and nothing was changed", async () => {
    const { service, wire, token } = await behindWire();
    await using running = service;
    wire.cut = "before";
    const answer = await running.request("POST", "/v1/keys", { name: "k" }, { token });
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.json["code"], "storage_unavailable");
    assert.deepEqual(
      creations(running, "k").map(({ outcome }) => outcome),
      ["storage_unavailable"],
    );
    assert.equal((await running.request("GET", "/v1/keys/k", undefined, { token })).status, 404);
    assert.equal((await running.request("POST", "/v1/keys", { name: "k" }, { token })).status, 201);
  });

  for (const cut of ["after", "before"] as const) {
    test(`is said to be unknown while the database stays away (cut ${cut} the commit), and the log tells later`, async () => {
      const { service, wire, token } = await behindWire();
      await using running = service;
      wire.cut = cut;
      wire.away = true;
      const started = performance.now();
      const answer = await running.request("POST", "/v1/keys", { name: "k" }, { token });
      assert.equal(answer.status, 503, answer.text);
      assert.equal(answer.json["code"], "outcome_unknown");
      assert.ok(performance.now() - started < 5000);
      wire.back();
      const made = cut === "after";
      await until(async () => {
        const { status } = await running.request("GET", "/v1/keys/k", undefined, { token });
        return status === (made ? 200 : 404);
      });
      if (made) await until(() => Promise.resolve(creations(running, "k").length === 2));
      assert.deepEqual(
        creations(running, "k").map(({ outcome }) => outcome),
        made ? ["outcome_unknown", "ok"] : ["outcome_unknown"],
      );
    });
  }

  test("leaves the entry to the next start where the process ends before the database is back", async () => {
    const url = await newDatabase();
    const wire = await Wire.to(Number(new URL(url).port));
    const settings = {
      ...(await onPostgres()),
      KEYSTEAD_AUDIT_LOG: join(temporaryFolder(), "audit.log"),
    };
    const first = await startServer({ ...settings, KEYSTEAD_DATABASE_URL: wire.url(url) });
    const token = await first.token("admin");
    await cleaned(url);
    wire.cut = "after";
    wire.away = true;
    const answer = await first.request("POST", "/v1/keys", { name: "k" }, { token });
    assert.equal(answer.json["code"], "outcome_unknown");
    await first.close();
    await using second = await startServer({ ...settings, KEYSTEAD_DATABASE_URL: url });
    assert.deepEqual(
      creations(second, "k").map(({ outcome }) => outcome),
      ["outcome_unknown", "ok"],
    );
  });

  test("makes a change once under its idempotency key, whatever became of the first try", async () => {
    const { service, wire, token, url } = await behindWire();
    await using running = service;
    const headers = { "idempotency-key": "once" };
    await running.request(
      "POST",
      "/v1/secrets",
      { name: "other", value: "v" },
      { token, headers: { "idempotency-key": "warm" } },
    );
    await cleaned(url);
    wire.cut = "after";
    wire.away = true;
    const put = { name: "s", value: "v" };
    const first = await running.request("POST", "/v1/secrets", put, { token, headers });
    assert.equal(first.json["code"], "outcome_unknown", first.text);
    wire.back();
    await until(async () => {
      const again = await running.request("POST", "/v1/secrets", put, { token, headers });
      return again.status < 300 && again.json["version"] === 1;
    });
  });
});

describe("a database that goes away", () => {
  test("leaves what is remembered for a second, then a clear 503 at once, and is back without a restart", async (t) => {
    const postgres = await startPostgres();
    t.after(() => {
      postgres.stop();
    });
    const settings = { ...(await onPostgres()), KEYSTEAD_DATABASE_URL: await newDatabaseOn(postgres) };
    await using service = await startServer(settings);
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    const encrypt = (): ReturnType<TestService["request"]> =>
      service.request("POST", "/v1/encrypt/k", { plaintext: "x" }, { token });
    assert.equal((await encrypt()).status, 200);
    await postgres.kill();
    const away = performance.now();
    // Bounded: what was remembered is used for a second and no longer.
    await until(async () => (await encrypt()).status !== 200);
    assert.ok(performance.now() - away < 3000);
    for (const [method, path, body] of [
      ["POST", "/v1/encrypt/k", { plaintext: "x" }],
      ["GET", "/v1/keys", undefined],
      ["POST", "/v1/keys", { name: "other" }],
    ] as const) {
      const asked = performance.now();
      const answer = await service.request(method, path, body, { token });
      assert.equal(answer.status, 503, answer.text);
      assert.equal(answer.json["code"], "storage_unavailable");
      assert.ok(performance.now() - asked < 2000, path);
    }
    // Its keys are remembered no longer either.
    await until(async () => (await service.request("GET", "/.well-known/jwks.json")).status !== 200);
    const keys = await service.request("GET", "/.well-known/jwks.json");
    assert.deepEqual([keys.status, keys.json["code"]], [503, "storage_unavailable"], keys.text);
    await until(async () => {
      const health = await service.request("GET", "/health");
      const checks = health.json["checks"] as Record<string, string> | undefined;
      return health.status === 503 && checks?.["storage"] === "failed";
    });
    await postgres.start();
    await until(async () => (await encrypt()).status === 200);
    await until(
      async () =>
        (await service.request("POST", "/v1/keys", { name: `back-${Math.random()}` }, { token })).status ===
        201,
    );
    await until(async () => (await service.request("GET", "/health")).status === 200);
  });

  test("that stops answering keeps nobody waiting for long", async (t) => {
    const postgres = await startPostgres();
    t.after(() => {
      postgres.stop();
    });
    const settings = { ...(await onPostgres()), KEYSTEAD_DATABASE_URL: await newDatabaseOn(postgres) };
    const service = await startServer(settings);
    const token = await service.token("admin");
    await postgres.pause();
    const asked = performance.now();
    const answer = await service.request("GET", "/v1/keys", undefined, { token });
    assert.equal(answer.status, 503);
    assert.ok(performance.now() - asked < 15_000);
    await postgres.resume();
    await until(async () => (await service.request("GET", "/v1/keys", undefined, { token })).status === 200);
    await service.close();
  });

  test("that is full or only reads refuses changes, says so in /health, and is whole again by itself", async () => {
    const url = await newDatabase();
    await using service = await startServer({ ...(await onPostgres()), KEYSTEAD_DATABASE_URL: url });
    const token = await service.token("admin");
    // What a full disk does: this change, and no other, is refused by the database itself.
    await query(
      url,
      "create function keystead.disk_full() returns trigger language plpgsql as $$ begin raise exception using errcode = '53100'; end $$",
    );
    for (const table of ["outbox", "schema_version"])
      await query(
        url,
        `create trigger disk_full before insert or update on keystead.${table} execute function keystead.disk_full()`,
      );
    const refused = await service.request("POST", "/v1/keys", { name: "k" }, { token });
    assert.equal(refused.json["code"], "storage_unavailable", refused.text);
    await until(async () => (await service.request("GET", "/health")).status === 503);
    for (const table of ["outbox", "schema_version"])
      await query(url, `drop trigger disk_full on keystead.${table}`);
    await until(async () => (await service.request("GET", "/health")).status === 200);
    assert.equal((await service.request("POST", "/v1/keys", { name: "k" }, { token })).status, 201);
  });
});
