import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GRACE_MS } from "../../src/jobs/barrier-rewrap.ts";
import { sealedColumns } from "../../src/jobs/sealed-tables.ts";
import { forEachStore, startServer, type TestService } from "../harness.ts";
import { keptDatabase, type KeptDatabase } from "../storage/kept-database.ts";
import { allTables, someOfAllTables, type Found, type Question } from "../storage/some-of-all-tables.ts";
import { someOfEverything } from "./some-of-everything.ts";

const DAY_MS = 86_400_000;

interface Status {
  readonly version: number;
  readonly keys: { version: number; state: string; records_left?: number; unused_since?: string }[];
}

async function rotate(service: TestService, token: string): Promise<Status> {
  const answer = await service.request("POST", "/v1/barrier/rotate", {}, { token });
  assert.equal(answer.status, 200, answer.text);
  return answer.json as unknown as Status;
}

async function statusOf(service: TestService, token: string): Promise<Status> {
  return (await service.request("GET", "/v1/barrier", undefined, { token })).json as unknown as Status;
}

/** Every value of a database, whatever its table and column, that states an older version of the barrier's key. */
async function sealedBefore(database: KeptDatabase, version: number): Promise<string[]> {
  const found: string[] = [];
  for (const table of await database.tables()) {
    for (const row of await database.sql(`select * from ${table}`)) {
      for (const [column, value] of Object.entries(row)) {
        const bytes =
          value instanceof Uint8Array
            ? Buffer.from(value)
            : Buffer.from(typeof value === "string" ? value : "", "base64");
        if (bytes.length > 40 && bytes[0] === 1 && bytes.readUInt32BE(1) < version)
          found.push(`${table}.${column}`);
      }
    }
  }
  return found;
}

forEachStore(({ store }) => {
  describe("a new barrier key", () => {
    test("takes every sealed value of every table along, and the old key goes an hour after the last", async () => {
      const database = await keptDatabase(store);
      let nowMs = Date.now();
      const settings = { ...allTables.settings, ...database.settings };
      const options = { ...allTables.options, now: () => nowMs };
      const service = await startServer(settings, options);
      const made = await someOfEverything(service);
      const { questions } = await someOfAllTables(service);
      const lasting = questions.filter(({ once }) => once !== true);
      const answers = new Map<Question, Found>();
      for (const question of lasting) answers.set(question, await question.ask(service));
      const { admin } = made;
      const before = await sealedBefore(database, 2);
      const columns = [...sealedColumns].flatMap(([table, names]) => names.map((name) => `${table}.${name}`));
      // What stands in the log already is in the outbox no more.
      const isLasting = (column: string): boolean => column !== "outbox.entry";
      assert.deepEqual(
        [...new Set(before)].filter(isLasting).sort(),
        columns.filter(isLasting).sort(),
        "the test has a value in each column",
      );

      const rotating = await rotate(service, admin);
      assert.deepEqual(
        rotating.keys.map(({ version, state }) => [version, state]),
        [
          [1, "rewrapping"],
          [2, "current"],
        ],
      );
      await service.keystead.runJobs();
      const rewrapped = await statusOf(service, admin);
      assert.equal(rewrapped.keys[0]!.state, "unused");
      assert.equal(rewrapped.keys[0]!.records_left, 0);
      assert.deepEqual(await sealedBefore(database, 2), []);
      await made.check(service);
      for (const question of lasting)
        assert.deepEqual(await question.ask(service), answers.get(question), question.what);

      nowMs += GRACE_MS - 1;
      await service.keystead.runJobs();
      assert.equal((await statusOf(service, admin)).keys.length, 2);
      nowMs += 1;
      await service.keystead.runJobs();
      const { keys } = await statusOf(service, admin);
      assert.deepEqual(
        keys.map(({ version, state }) => [version, state]),
        [[2, "current"]],
      );
      await made.check(service);
      assert.match((await service.request("GET", "/metrics")).text, /keystead_barrier_version 2\n/);
      const entries = service.auditEntries();
      const retired = entries.find(({ action }) => action === "barrier.retire");
      assert.equal(retired?.["version"], 1);
      assert.equal(retired["caller"], "system:keystead");
      const rotated = entries.find(({ action }) => action === "barrier.rotate");
      assert.deepEqual([rotated?.["version"], rotated?.["severity"]], [2, "WARNING"]);
      await service.close();
      assert.deepEqual(await sealedBefore(database, 2), []);

      // What was remembered in memory is read anew.
      await using again = await startServer(settings, options);
      await made.check(again);
      // By now logins have ended; what opens no more would be a failure of the service.
      for (const question of questions)
        assert.notEqual((await question.ask(again)).status, 500, question.what);
    });
  });
});

describe("a barrier key", () => {
  test("changes by itself when it is as old as the setting says, and not before", async () => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    await using service = await startServer({ KEYSTEAD_BARRIER_MAX_AGE: "30" }, { now: () => nowMs });
    const admin = await service.token("admin", { project: "*" });
    nowMs += 30 * DAY_MS - 1;
    await service.keystead.runJobs();
    assert.equal((await statusOf(service, admin)).version, 1);
    nowMs += 1;
    await service.keystead.runJobs();
    assert.equal((await statusOf(service, admin)).version, 2);
    await service.keystead.runJobs();
    assert.equal((await statusOf(service, admin)).version, 2);
    const entry = service.auditEntries().find(({ action }) => action === "barrier.rotate");
    assert.deepEqual(entry?.["details"], { reason: "age" });
  });

  test("never changes by itself where the setting is off", async () => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    await using service = await startServer({ KEYSTEAD_BARRIER_MAX_AGE: "off" }, { now: () => nowMs });
    const admin = await service.token("admin", { project: "*" });
    nowMs += 4000 * DAY_MS;
    await service.keystead.runJobs();
    assert.equal((await statusOf(service, admin)).version, 1);
  });

  test("asked for twice at once is made twice, each under its own number", async () => {
    await using service = await startServer();
    const admin = await service.token("admin", { project: "*" });
    const made = await Promise.all([rotate(service, admin), rotate(service, admin), rotate(service, admin)]);
    assert.equal(Math.max(...made.map(({ version }) => version)), 4);
    const { keys } = await statusOf(service, admin);
    assert.deepEqual(
      keys.map(({ version }) => version),
      [1, 2, 3, 4],
    );
  });

  test("is refused when there are a hundred at a time", async () => {
    await using service = await startServer();
    const admin = await service.token("admin", { project: "*" });
    for (let version = 2; version <= 100; version++) await rotate(service, admin);
    const refused = await service.request("POST", "/v1/barrier/rotate", {}, { token: admin });
    assert.equal(refused.json["code"], "limit_reached");
  });

  test("stays where a record does not open, which is told, while every other record goes along", async () => {
    const kept = await keptDatabase("SQLite");
    let nowMs = Date.now();
    const { settings } = kept;
    const first = await startServer(settings);
    const admin = await first.token("admin", { project: "*" });
    for (const name of ["good", "bad"])
      await first.request("POST", "/v1/secrets", { name, value: name }, { token: admin });
    await first.close();
    await kept.sql(
      "update secret_versions set sealed = cast(substr(sealed, 1, 40) || x'00000000' || substr(sealed, 45) as blob) where secret_id = (select id from secrets where name = 'bad')",
    );
    await using service = await startServer(settings, { now: () => nowMs, barrierGraceMs: 0 });
    await rotate(service, admin);
    for (let round = 0; round < 3; round++) {
      await service.keystead.runJobs();
      nowMs += DAY_MS;
    }
    const { keys } = await statusOf(service, admin);
    assert.deepEqual([keys[0]?.version, keys[0]?.state, keys[0]?.records_left], [1, "rewrapping", 1]);
    assert.deepEqual(await sealedBefore(kept, 2), ["secret_versions.sealed"]);
    assert.ok(service.logLines.some((line) => line.includes("records do not open")));
    const good = await service.request("GET", "/v1/secrets/good", undefined, { token: admin });
    assert.equal(good.json["value"], "good");
    const bad = await service.request("GET", "/v1/secrets/bad", undefined, { token: admin });
    assert.equal(bad.json["code"], "internal_error");
  });

  test("leaves a cursor of before good until the old key is deleted", async () => {
    let nowMs = Date.now();
    await using service = await startServer({}, { now: () => nowMs });
    const admin = await service.token("admin", { project: "*" });
    for (const name of ["a", "b", "c"]) await service.request("POST", "/v1/keys", { name }, { token: admin });
    const page = await service.request("GET", "/v1/keys?limit=1", undefined, { token: admin });
    const next = `/v1/keys?limit=1&cursor=${String(page.json["next_cursor"])}`;
    await rotate(service, admin);
    await service.keystead.runJobs();
    assert.equal((await service.request("GET", next, undefined, { token: admin })).status, 200);
    nowMs += GRACE_MS;
    await service.keystead.runJobs();
    assert.equal((await statusOf(service, admin)).keys.length, 1);
    const late = await service.request("GET", next, undefined, { token: admin });
    assert.deepEqual([late.status, late.json["field"]], [400, "cursor"]);
  });
});
