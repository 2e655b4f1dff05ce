/** Leases: one node at a time does a job. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { takeLease } from "../../src/jobs/lease.ts";
import type { Store } from "../../src/storage/store.ts";
import { bound, storeWith } from "../audit/test-auditor.ts";
import { forEachStore } from "../harness.ts";
import { twoNodes } from "./nodes.ts";

const START_MS = Date.parse("2026-01-01T00:00:00.000Z");

function take(store: Store, holder: string, seconds: number, name = "job"): Promise<boolean> {
  return takeLease({ store, holder, name, ttlSeconds: 60 }, START_MS + seconds * 1000);
}

describe("a lease", () => {
  test("has one holder at a time, who may renew it", async () => {
    await using store = await storeWith([]);
    assert.equal(await take(store, "a", 0), true);
    assert.equal(await take(store, "b", 1), false);
    assert.equal(await take(store, "a", 50), true);
    assert.equal(await take(store, "b", 61), false);
    assert.equal(await take(store, "b", 109.999), false);
  });

  test("runs out to the moment, so that a node that died keeps nobody out for longer", async () => {
    await using store = await storeWith([]);
    assert.equal(await take(store, "a", 0), true);
    assert.equal(await take(store, "b", 59.999), false);
    assert.equal(await take(store, "b", 60), true);
    assert.equal(await take(store, "a", 61), false);
  });

  test("on one job says nothing of another", async () => {
    await using store = await storeWith([]);
    assert.equal(await take(store, "a", 0, "one"), true);
    assert.equal(await take(store, "b", 0, "other"), true);
    assert.equal(await take(store, "a", 1, "other"), false);
  });

  test("goes to one of those who ask at the same time, when it is new and when it ran out", async () => {
    await using store = await storeWith([]);
    // Whoever asks has read the row before anybody wrote it.
    let waiting = 0;
    let go: () => void = () => undefined;
    const racing = (): Store => {
      const all = new Promise<void>((resolve) => (go = resolve));
      waiting = 0;
      return {
        ...bound(store),
        async select(query) {
          const rows = await store.select(query);
          if (++waiting === 3) go();
          await all;
          return rows;
        },
      };
    };
    for (const seconds of [0, 60, 1000]) {
      const raced = racing();
      const taken = await Promise.all(["a", "b", "c"].map((holder) => take(raced, holder, seconds)));
      assert.equal(taken.filter(Boolean).length, 1, `after ${seconds} s`);
    }
  });

  test("of a holder whose clock is ahead lasts no longer for the others than a lease does", async () => {
    await using store = await storeWith([]);
    assert.equal(await take(store, "ahead", 86_400), true);
    assert.equal(await take(store, "b", 0), true);
    assert.equal(await take(store, "c", 1), false);
  });

  test("is not lost to a holder whose clock is behind", async () => {
    await using store = await storeWith([]);
    assert.equal(await take(store, "a", 30), true);
    assert.equal(await take(store, "b", 31), false);
    assert.equal(await take(store, "a", 30), true);
  });
});

forEachStore(({ store }) => {
  test("of two nodes one does a job, and the other takes over when it is silent", async () => {
    let clock = START_MS;
    const now = (): number => clock;
    await using running = await twoNodes([now, now], store);
    const [first, second] = running.nodes;
    const holders = async (): Promise<string[]> =>
      (await running.store.select({ from: "leases", orderBy: "name" })).map(({ holder }) => holder);
    await first.jobs.runDue();
    await second.jobs.runDue();
    assert.deepEqual(await holders(), ["first", "first", "first", "first"]);
    clock += 61_000;
    await second.jobs.runDue();
    assert.deepEqual(await holders(), ["second", "second", "second", "second"]);
  });

  test("a node whose program is older than the tables leaves the jobs to others, and says so once", async () => {
    await using running = await twoNodes([Date.now, Date.now], store);
    const [first] = running.nodes;
    const [row] = await running.store.select({ from: "schema_version" });
    assert.ok(row);
    const next = { version: row.version + 1 };
    await running.store.commit([{ update: "schema_version", where: row, set: next }]);
    await first.jobs.runDue();
    await first.jobs.runDue();
    assert.deepEqual(await running.store.select({ from: "leases" }), []);
    assert.equal(first.logLines.filter((line) => line.includes("newer Keystead")).length, 1);
    await running.store.commit([{ update: "schema_version", where: next, set: row }]);
    await first.jobs.runDue();
    assert.equal((await running.store.select({ from: "leases" })).length, 4);
  });
});
