/** The store's contract: what the rest of the service relies on, on a real database. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openSqlite, type SqliteStore } from "../../src/storage/sqlite.ts";
import { StoreConflict, type Write } from "../../src/storage/store.ts";
import { temporaryFolder } from "../harness.ts";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
let ids = 0;
const project = (name: string, revision = 1): Write => ({
  insert: "projects",
  row: {
    id: `id-${++ids}`,
    name,
    revision,
    created_at: "2026-01-01T00:00:00.000Z",
    due_at: null,
    sealed: bytes(name),
  },
});

describe("the store on SQLite", () => {
  let store: SqliteStore;
  const file = join(temporaryFolder(), "store.db");
  before(async () => {
    store = await openSqlite(file, (error) => {
      throw error;
    });
  });
  after(() => store.close());

  test("gives back what was committed, bytes included", async () => {
    await store.commit([project("plain")]);
    const [row] = await store.select({ from: "projects", where: { name: "plain" } });
    assert.deepEqual(Buffer.from(row?.sealed ?? []).toString(), "plain");
    assert.equal(row?.revision, 1);
  });

  test("applies all writes of a change or none", async () => {
    await assert.rejects(store.commit([project("half"), project("plain")]), StoreConflict);
    assert.deepEqual(await store.select({ from: "projects", where: { name: "half" } }), []);
  });

  test("keeps the changes beside one that does not apply, in the same turn", async () => {
    const results = await Promise.allSettled([
      store.commit([project("left")]),
      store.commit([project("middle"), project("plain")]),
      store.commit([project("right")]),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    for (const [name, there] of [
      ["left", 1],
      ["middle", 0],
      ["right", 1],
    ] as const) {
      assert.equal((await store.select({ from: "projects", where: { name } })).length, there, name);
    }
  });

  test("lets one of many win who update the same revision", async () => {
    await store.commit([project("raced")]);
    const update: Write = { update: "projects", where: { name: "raced", revision: 1 }, set: { revision: 2 } };
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => store.commit([update])));
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    assert.ok(
      results.every((result) => result.status === "fulfilled" || result.reason instanceof StoreConflict),
    );
  });

  test("conflicts on a delete of what is not there, unless any number will do", async () => {
    await assert.rejects(
      store.commit([{ delete: "projects", where: { name: "absent" }, expect: "one" }]),
      StoreConflict,
    );
    await store.commit([{ delete: "projects", where: { name: "absent" }, expect: "any" }]);
  });

  test("pages in byte order", async () => {
    for (const name of ["z-B", "z-a", "z-a-b", "z-a.b", "z-ä"]) await store.commit([project(name)]);
    const first = await store.select({ from: "projects", orderBy: "name", after: "z", limit: 3 });
    const rest = await store.select({ from: "projects", orderBy: "name", after: first.at(-1)?.name ?? "" });
    assert.deepEqual(
      [...first, ...rest].map(({ name }) => name),
      ["z-B", "z-a", "z-a-b", "z-a.b", "z-ä"],
    );
  });

  test("answers in one turn what many ask at once", async () => {
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.commit([project(`many-${i}`)])));
    const rows = await store.select({ from: "projects", orderBy: "name", after: "many-", limit: 1000 });
    assert.equal(rows.filter(({ name }) => name.startsWith("many-")).length, 200);
    assert.equal(store.waiting(), 0);
  });

  test("refuses calls after it was closed", async () => {
    const other = await openSqlite(":memory:", () => undefined);
    await other.commit([project("x")]);
    await other.close();
    await assert.rejects(other.commit([project("y")]), { code: "stopping" });
    await other.close();
  });
});
