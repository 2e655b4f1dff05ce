import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { NonceCounter } from "../../src/keyring/nonce-counter.ts";

/** The database's side: one durable count, shared by the counters of several processes. */
class Reservations {
  reserved = 0;
  readonly #noncesMax: number;

  constructor(noncesMax: number) {
    this.#noncesMax = noncesMax;
  }

  counter(): NonceCounter {
    return new NonceCounter({
      noncesMax: this.#noncesMax,
      reserved: this.reserved,
      reserve: async (wanted) => {
        await Promise.resolve();
        const from = this.reserved;
        this.reserved = Math.min(Math.max(wanted, from), this.#noncesMax);
        return { from, to: this.reserved };
      },
    });
  }
}

describe("the nonce counter", () => {
  for (const [noncesMax, name] of [
    [1, "one"],
    [5, "few"],
    [3000, "more than a block"],
    [200_000, "many blocks"],
  ] as const) {
    test(`under any interleaving, restarts and other processes: drawn ≤ reserved ≤ limit (${name})`, async () => {
      const step = fc.record({
        what: fc.constantFrom("take", "take", "take", "reserve", "restart", "settle"),
        process: fc.nat(2),
        count: fc.constantFrom(1, 1, 1, 2, 10, 700, 5000),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), async (steps) => {
          const storage = new Reservations(noncesMax);
          const counters = [storage.counter(), storage.counter(), storage.counter()];
          let drawn = 0;
          const pending: Promise<void>[] = [];
          for (const { what, process, count } of steps) {
            const counter = counters[process];
            assert.ok(counter);
            if (what === "take" && counter.take(count)) drawn += count;
            if (what === "reserve") pending.push(counter.reserve(count));
            if (what === "restart") counters[process] = storage.counter();
            if (what === "settle") await Promise.all(pending);
            assert.ok(counter.used <= storage.reserved, `used ${counter.used} of ${storage.reserved}`);
            assert.ok(drawn <= storage.reserved, `drawn ${drawn} of ${storage.reserved}`);
            assert.ok(storage.reserved <= noncesMax);
          }
          await Promise.all(pending);
          assert.ok(drawn <= noncesMax);
        }),
        { numRuns: 300 },
      );
    });
  }

  test("lends out every nonce of the limit, and then none", async () => {
    const storage = new Reservations(3000);
    const counter = storage.counter();
    let drawn = 0;
    while (!counter.isSpent(1)) {
      if (counter.take(1)) drawn++;
      else await counter.reserve(1);
    }
    assert.equal(drawn, 3000);
    assert.equal(counter.take(1), false);
    await counter.reserve(1);
    assert.equal(counter.take(1), false);
    assert.equal(counter.used, 3000);
  });

  test("lends nothing before the reservation is durable", async () => {
    const durable = Promise.withResolvers<{ from: number; to: number }>();
    const counter = new NonceCounter({ noncesMax: 100, reserved: 0, reserve: () => durable.promise });
    const reserving = counter.reserve(1);
    assert.equal(counter.take(1), false);
    durable.resolve({ from: 0, to: 100 });
    await reserving;
    assert.equal(counter.take(1), true);
  });

  test("gives up what an earlier process reserved", async () => {
    const storage = new Reservations(10_000);
    const first = storage.counter();
    await first.reserve(1);
    assert.ok(first.take(1));
    const { reserved } = storage;
    const second = storage.counter();
    assert.equal(second.used, reserved);
    assert.equal(second.take(1), false);
  });

  test("gives the nonces of one block to one process only", async () => {
    const storage = new Reservations(100_000);
    const [first, second] = [storage.counter(), storage.counter()];
    await first.reserve(1);
    const afterFirst = storage.reserved;
    await second.reserve(1);
    while (!second.take(1)) await second.reserve(1);
    // What the second draws counts after everything that the first may draw.
    assert.ok(second.used > afterFirst);
  });

  test("shares one reservation among concurrent calls", async () => {
    let calls = 0;
    const counter = new NonceCounter({
      noncesMax: 100_000,
      reserved: 0,
      reserve: async (to) => {
        calls++;
        return Promise.resolve({ from: 0, to });
      },
    });
    await Promise.all(Array.from({ length: 50 }, () => counter.reserve(1)));
    assert.equal(calls, 1);
  });

  test("tries again after a reservation that failed", async () => {
    let fails = true;
    const counter = new NonceCounter({
      noncesMax: 100,
      reserved: 0,
      reserve: async (to) =>
        fails ? Promise.reject(new Error("database down")) : Promise.resolve({ from: 0, to }),
    });
    await assert.rejects(counter.reserve(1), /database down/);
    assert.equal(counter.take(1), false);
    fails = false;
    await counter.reserve(1);
    assert.equal(counter.take(1), true);
  });

  test("counts a batch by its items, or not at all", async () => {
    const storage = new Reservations(10);
    const counter = storage.counter();
    await counter.reserve(1);
    assert.equal(counter.take(11), false);
    assert.equal(counter.used, 0);
    assert.ok(counter.take(10));
    assert.equal(counter.used, 10);
    assert.ok(counter.isSpent(1));
  });
});
