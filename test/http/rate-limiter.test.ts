import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RateLimiter } from "../../src/http/rate-limiter.ts";

describe("the rate limiter", () => {
  test("lets no name take more than its burst and its rate in any window, whenever it asks", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.nat(300), { maxLength: 200, size: "max" }),
        (perSecond, burst, pauses) => {
          const limiter = new RateLimiter(perSecond, burst);
          const taken: number[] = [];
          let now = 1000;
          for (const pause of pauses) {
            now += pause;
            if (limiter.take("a", now)) taken.push(now);
          }
          for (const [i, from] of taken.entries()) {
            for (const [j, to] of taken.entries()) {
              if (j < i) continue;
              const allowed = burst + ((to - from) * perSecond) / 1000;
              assert.ok(j - i + 1 <= allowed + 1e-6, `${j - i + 1} in ${to - from} ms`);
            }
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test("lets a name that keeps to its rate take every time", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 2, max: 10 }), (perSecond, burst) => {
        const limiter = new RateLimiter(perSecond, burst);
        for (let i = 0; i < 100; i++) assert.ok(limiter.take("a", 5000 + (i * 1000) / perSecond));
      }),
    );
  });

  test("gives a whole burst after a pause, and then one for each interval", () => {
    // A power of two: its interval is an exact number of binary milliseconds.
    const limiter = new RateLimiter(8, 4);
    const burstAt = (now: number): number => {
      let taken = 0;
      while (limiter.take("a", now)) taken++;
      return taken;
    };
    assert.equal(burstAt(1000), 4);
    assert.equal(burstAt(1124), 0);
    assert.equal(burstAt(1125), 1);
    assert.equal(burstAt(1375), 2);
    assert.equal(burstAt(60_000), 4);
  });

  test("keeps one name's allowance apart from another's", () => {
    const limiter = new RateLimiter(1, 1);
    assert.equal(limiter.take("a", 0), true);
    assert.equal(limiter.take("a", 0), false);
    assert.equal(limiter.take("b", 0), true);
  });

  test("does not charge for a refusal", () => {
    const limiter = new RateLimiter(1, 1);
    assert.ok(limiter.take("a", 0));
    for (let i = 0; i < 1000; i++) assert.equal(limiter.take("a", 500), false);
    assert.ok(limiter.take("a", 1000));
  });

  test("forgets idle names before busy ones when there are more than it remembers", () => {
    const limiter = new RateLimiter(1, 1);
    for (let i = 0; i < 99_999; i++) limiter.take(`idle ${i}`, 0);
    assert.ok(limiter.take("busy", 5000));
    // The 100,001st name makes room: the idle ones go.
    assert.ok(limiter.take("new", 5000));
    assert.equal(limiter.take("busy", 5000), false);
    assert.equal(limiter.take("new", 5000), false);
  });

  test("answers in any case when all names it remembers are busy", () => {
    const limiter = new RateLimiter(1, 1);
    for (let i = 0; i < 100_000; i++) limiter.take(`busy ${i}`, 0);
    assert.ok(limiter.take("new", 0));
    assert.equal(limiter.take("new", 0), false);
  });
});
