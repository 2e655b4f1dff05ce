import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RecordCache } from "../src/record-cache.ts";

const forever = { entriesMax: 100, ageMsMax: undefined };

describe("the record cache", () => {
  test("never holds more than its bound, whatever is set, read, loaded and dropped", async () => {
    const step = fc.record({
      what: fc.constantFrom("set", "peek", "get", "forget"),
      handle: fc.nat(30).map(String),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 12 }),
        fc.array(step, { maxLength: 100, size: "max" }),
        async (entriesMax, steps) => {
          const cache = new RecordCache<string>({ entriesMax, ageMsMax: undefined });
          for (const { what, handle } of steps) {
            if (what === "set") cache.set(handle, handle);
            if (what === "forget") cache.forget(handle);
            const found =
              what === "get"
                ? await cache.get(handle, async () => Promise.resolve(handle))
                : cache.peek(handle);
            assert.ok(found === undefined || found === handle);
            assert.ok(cache.size <= entriesMax, `${cache.size} of ${entriesMax}`);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("drops the records that a change may have ended, and what is being loaded meanwhile", async () => {
    const cache = new RecordCache<string>({ entriesMax: 4, ageMsMax: undefined });
    for (const handle of ["1", "2", "3"]) cache.set(handle, handle === "2" ? "stays" : "ends");
    const loading = Promise.withResolvers<string>();
    const got = cache.get("4", () => loading.promise);
    cache.forgetWhere((record) => record === "ends");
    loading.resolve("ends");
    assert.equal(await got, "ends");
    assert.deepEqual(
      ["1", "2", "3", "4"].map((handle) => cache.peek(handle)),
      [undefined, "stays", undefined, undefined],
    );
  });

  test("keeps what is read often, while others pass through", () => {
    const cache = new RecordCache<string>({ entriesMax: 10, ageMsMax: undefined });
    cache.set("hot", "record");
    for (let i = 0; i < 1000; i++) {
      cache.set(`passing ${i}`, "record");
      assert.equal(cache.peek("hot"), "record");
    }
  });

  test("shares one load among concurrent calls", async () => {
    const cache = new RecordCache<string>(forever);
    const row = Promise.withResolvers<string>();
    let loads = 0;
    const load = (): Promise<string> => {
      loads++;
      return row.promise;
    };
    const calls = Array.from({ length: 20 }, () => cache.get("a", load));
    row.resolve("record");
    assert.deepEqual(new Set(await Promise.all(calls)), new Set(["record"]));
    assert.equal(await cache.get("a", load), "record");
    assert.equal(loads, 1);
    assert.deepEqual({ hits: cache.hits, misses: cache.misses }, { hits: 1, misses: 1 });
  });

  test("does not remember a load that a set overtook", async () => {
    const cache = new RecordCache<string>(forever);
    const row = Promise.withResolvers<string>();
    const loading = cache.get("a", () => row.promise);
    cache.set("a", "new");
    row.resolve("old");
    assert.equal(await loading, "old");
    assert.equal(cache.peek("a"), "new");
  });

  test("does not remember a load that a forget overtook", async () => {
    const cache = new RecordCache<string>(forever);
    const row = Promise.withResolvers<string>();
    const loading = cache.get("a", () => row.promise);
    cache.forget("a");
    row.resolve("old");
    await loading;
    assert.equal(cache.peek("a"), undefined);
    assert.equal(await cache.get("a", () => Promise.resolve("new")), "new");
  });

  test("gives a call after a forget a load of its own, and keeps that one's result", async () => {
    const cache = new RecordCache<string>(forever);
    const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const before = cache.get("a", () => first.promise);
    cache.forget("a");
    const after = cache.get("a", () => second.promise);
    second.resolve("new");
    assert.equal(await after, "new");
    first.resolve("old");
    assert.equal(await before, "old");
    assert.equal(cache.peek("a"), "new");
  });

  test("remembers neither an absent record nor a failed load", async () => {
    const cache = new RecordCache<string>(forever);
    assert.equal(await cache.get("a", () => Promise.resolve(undefined)), undefined);
    await assert.rejects(
      cache.get("a", () => Promise.reject(new Error("database down"))),
      /database down/,
    );
    assert.equal(await cache.get("a", () => Promise.resolve("record")), "record");
  });

  test("gives a failed load's error to everyone who waits for it", async () => {
    const cache = new RecordCache<string>(forever);
    const row = Promise.withResolvers<string>();
    const calls = [cache.get("a", () => row.promise), cache.get("a", () => row.promise)];
    row.reject(new Error("database down"));
    for (const call of calls) await assert.rejects(call, /database down/);
  });

  test("uses no record longer than its age, counted from before the load began", async (context) => {
    let now = 1000;
    context.mock.method(performance, "now", () => now);
    const cache = new RecordCache<string>({ entriesMax: 100, ageMsMax: 900 });
    const row = Promise.withResolvers<string>();
    const loading = cache.get("a", () => row.promise);
    now = 1400;
    row.resolve("record");
    await loading;
    now = 1900;
    assert.equal(cache.peek("a"), "record");
    now = 1901;
    assert.equal(cache.peek("a"), undefined);
    assert.equal(cache.size, 0);
    await cache.get("b", () => Promise.resolve("record"));
    now = 2801;
    assert.equal(cache.peek("b"), "record");
    // Reading a record does not make it younger.
    now = 2802;
    assert.equal(cache.peek("b"), undefined);
  });

  test("waits for no load that began longer ago than a record may be old", async (context) => {
    let now = 1000;
    context.mock.method(performance, "now", () => now);
    const cache = new RecordCache<string>({ entriesMax: 100, ageMsMax: 900 });
    const slow = Promise.withResolvers<string>();
    const first = cache.get("a", () => slow.promise);
    now = 1900;
    const second = cache.get("a", () => assert.fail("one load is enough"));
    now = 1901;
    assert.equal(await cache.get("a", () => Promise.resolve("revoked")), "revoked");
    slow.resolve("active");
    assert.deepEqual(await Promise.all([first, second]), ["active", "active"]);
    assert.equal(cache.peek("a"), "revoked");
  });

  test("remembers of a change made here only that the record is another one, where others change it too", async () => {
    const shared = new RecordCache<string>({ entriesMax: 100, ageMsMax: 900 });
    const own = new RecordCache<string>({ entriesMax: 100, ageMsMax: undefined });
    for (const cache of [shared, own]) {
      await cache.get("a", () => Promise.resolve("before"));
      cache.set("a", "enabled");
    }
    assert.equal(shared.peek("a"), undefined);
    assert.equal(await shared.get("a", () => Promise.resolve("disabled")), "disabled");
    assert.equal(own.peek("a"), "enabled");
  });
});
