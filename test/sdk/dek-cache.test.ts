import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DekCache, type CachedDek, type DekCacheOptions } from "../../sdk/dek-cache.ts";

const large: DekCacheOptions = { ttlSeconds: 900, usesMax: 1e9, bytesMax: 1e12, entriesMax: 1000 };

interface NumberedDek extends CachedDek {
  readonly number: number;
}

/** Keys that are told apart, and remembered so that their wiping shows. */
function source() {
  const made: NumberedDek[] = [];
  const fetch = async (): Promise<NumberedDek> => {
    const dek = { number: made.length + 1, key: new Uint8Array(32).fill(7) };
    made.push(dek);
    return dek;
  };
  const isWiped = (number: number): boolean => made[number - 1]!.key.every((byte) => byte === 0);
  return { made, fetch, isWiped };
}

const numberOf = ({ number }: NumberedDek): number => number;

describe("the cache of data keys", () => {
  test("fetches once for a thousand that miss together, and for those that come later", async () => {
    const cache = new DekCache(large);
    const { fetch, made } = source();
    const used = await Promise.all(Array.from({ length: 1000 }, () => cache.use("a", 1, fetch, numberOf)));
    assert.deepEqual(new Set(used), new Set([1]));
    assert.equal(await cache.use("a", 1, fetch, numberOf), 1);
    assert.equal(made.length, 1);
  });

  test("keeps ids apart", async () => {
    const cache = new DekCache(large);
    const { fetch } = source();
    assert.equal(await cache.use("a", 1, fetch, numberOf), 1);
    assert.equal(await cache.use("b", 1, fetch, numberOf), 2);
    assert.equal(await cache.use("a", 1, fetch, numberOf), 1);
  });

  test("hands out no key from its time on", async () => {
    let now = 5000;
    const cache = new DekCache({ ...large, ttlSeconds: 10, now: () => now });
    const { fetch, isWiped } = source();
    await cache.use("a", 1, fetch, numberOf);
    now += 9_999;
    assert.equal(await cache.use("a", 1, fetch, numberOf), 1);
    now += 1;
    assert.equal(await cache.use("a", 1, fetch, numberOf), 2);
    assert.ok(isWiped(1));
    assert.ok(!isWiped(2));
  });

  test("wipes a key at its time although nobody asks for it again", async () => {
    const cache = new DekCache({ ...large, ttlSeconds: 0.01 });
    const wiped = new Promise<void>((resolve) => {
      const dek = { key: new Uint8Array(32).fill(7), wipe: resolve };
      void cache.use(
        "a",
        1,
        async () => dek,
        () => undefined,
      );
    });
    // The cache's own timer keeps no process alive.
    const alive = setTimeout(() => undefined, 60_000);
    await wiped;
    clearTimeout(alive);
    assert.equal(cache.size, 0);
  });

  test("wipes a key with its last use, and never serves more", async () => {
    const cache = new DekCache({ ...large, usesMax: 3 });
    const { fetch, isWiped } = source();
    const used: number[] = [];
    for (let i = 0; i < 7; i++) used.push(await cache.use("a", 1, fetch, numberOf));
    assert.deepEqual(used, [1, 1, 1, 2, 2, 2, 3]);
    assert.ok(isWiped(1) && isWiped(2) && !isWiped(3));
    const together = await Promise.all(
      Array.from({ length: 8 }, () => new DekCache({ ...large, usesMax: 3 })).map((one) =>
        Promise.all(Array.from({ length: 10 }, () => one.use("a", 1, fetch, numberOf))),
      ),
    );
    for (const numbers of together) {
      for (const number of numbers) assert.ok(numbers.filter((other) => other === number).length <= 3);
    }
  });

  test("counts bytes, and lets one use be larger than all that are allowed", async () => {
    const cache = new DekCache({ ...large, bytesMax: 100 });
    const { fetch } = source();
    const used: number[] = [];
    for (const bytes of [60, 40, 1, 1000, 100]) used.push(await cache.use("a", bytes, fetch, numberOf));
    assert.deepEqual(used, [1, 1, 2, 3, 4]);
  });

  test("makes room by wiping the key that was used the longest ago", async () => {
    const cache = new DekCache({ ...large, entriesMax: 2 });
    const { fetch, isWiped } = source();
    for (const id of ["a", "b", "a", "c"]) await cache.use(id, 1, fetch, numberOf);
    assert.equal(cache.size, 2);
    assert.deepEqual([1, 2, 3].map(isWiped), [false, true, false]);
  });

  test("with any limit at zero keeps nothing, and wipes each key after its use", async () => {
    for (const zero of ["ttlSeconds", "usesMax", "bytesMax", "entriesMax"] as const) {
      const cache = new DekCache({ ...large, [zero]: 0 });
      const { fetch, isWiped } = source();
      const used = await Promise.all([1, 2, 3].map(() => cache.use("a", 1, fetch, numberOf)));
      assert.deepEqual(used.sort(), [1, 2, 3], zero);
      assert.equal(cache.size, 0, zero);
      assert.ok([1, 2, 3].every(isWiped), zero);
    }
  });

  test("wipes no key under the hands of a work, and wipes it after", async () => {
    const cache = new DekCache(large);
    const { fetch, isWiped } = source();
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const began = new Promise<void>((resolve) => {
      void cache.use("a", 1, fetch, async () => {
        resolve();
        await ended;
      });
    });
    await began;
    cache.clear();
    assert.equal(cache.size, 0);
    assert.ok(!isWiped(1));
    end();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(isWiped(1));
  });

  test("wipes what work failed with all the same", async () => {
    const cache = new DekCache({ ...large, usesMax: 1 });
    const { fetch, isWiped } = source();
    await assert.rejects(
      cache.use("a", 1, fetch, () => {
        throw new Error("work");
      }),
      { message: "work" },
    );
    assert.ok(isWiped(1));
  });

  test("does not cache what was being fetched when its id was dropped", async () => {
    for (const forget of ["drop", "clear"] as const) {
      const cache = new DekCache(large);
      const { fetch, isWiped } = source();
      const first = cache.use("a", 1, fetch, numberOf);
      const second = cache.use("a", 1, fetch, numberOf);
      cache[forget]("a");
      assert.equal(await first, 1);
      assert.equal(await second, 2);
      assert.ok(isWiped(1) && !isWiped(2));
    }
  });

  test("gives a failed fetch to all who waited, and tries again for the next", async () => {
    const cache = new DekCache(large);
    const { fetch } = source();
    let failures = 0;
    const failing = async (): Promise<NumberedDek> => {
      failures++;
      throw new Error("down");
    };
    const results = await Promise.allSettled([1, 2, 3].map(() => cache.use("a", 1, failing, numberOf)));
    assert.ok(results.every(({ status }) => status === "rejected"));
    assert.equal(failures, 1);
    assert.equal(await cache.use("a", 1, fetch, numberOf), 1);
  });

  test("refuses limits that are none", () => {
    for (const limit of [-1, NaN]) {
      assert.throws(() => new DekCache({ ...large, usesMax: limit }), RangeError);
    }
  });

  test("whatever happens, no key serves more than its limits, and no work sees a wiped one", async () => {
    const step = fc.record({
      id: fc.constantFrom("a", "b", "c", "d"),
      bytes: fc.integer({ min: 0, max: 20 }),
      turns: fc.integer({ min: 0, max: 3 }),
      forget: fc.constantFrom(undefined, undefined, undefined, "drop", "clear"),
      wait: fc.integer({ min: 0, max: 400 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        let now = 0;
        const limits = { ttlSeconds: 1, usesMax: 4, bytesMax: 50, entriesMax: 2 };
        const cache = new DekCache({ ...limits, now: () => now });
        const { fetch, made, isWiped } = source();
        const served = new Map<number, number[]>();
        const works = steps.map(({ id, bytes, turns, forget, wait }) => {
          now += wait;
          if (forget !== undefined) cache[forget](id);
          return cache.use(id, bytes, fetch, async ({ number }) => {
            served.set(number, [...(served.get(number) ?? []), bytes]);
            for (let i = 0; i < turns; i++) await Promise.resolve();
            assert.ok(!isWiped(number));
          });
        });
        await Promise.all(works);
        assert.ok(cache.size <= limits.entriesMax);
        for (const bytes of served.values()) {
          assert.ok(bytes.length <= limits.usesMax);
          const sum = bytes.reduce((all, one) => all + one, 0);
          assert.ok(bytes.length === 1 || sum <= limits.bytesMax);
        }
        cache.clear();
        assert.ok(made.every((_, i) => isWiped(i + 1)));
      }),
    );
  });
});
