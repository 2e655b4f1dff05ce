import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { LoginThrottle } from "../../src/identity/login-throttle.ts";

describe("the delay of wrong passwords", () => {
  test("keeps memory bounded, whatever names and addresses come", () => {
    const throttle = new LoginThrottle(() => 0, 50);
    for (let i = 0; i < 1000; i++) throttle.begin(`name-${i}`, `10.0.${i >> 8}.${i & 255}`).failed();
    assert.ok(throttle.size <= 150);
  });

  test("doubles up to a minute, and is over when it is over", () => {
    let now = 0;
    const throttle = new LoginThrottle(() => now);
    const fail = (): void => {
      throttle.begin("ann", "10.0.0.1").failed();
    };
    for (let i = 0; i < 3; i++) fail();
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      now += seconds * 1000 - 1;
      assert.throws(fail, { code: "rate_limited" });
      now += 1;
      fail();
    }
  });

  test("is no longer where the clock is put back", () => {
    let now = 10 * 3600_000;
    const throttle = new LoginThrottle(() => now);
    for (let i = 0; i < 40; i++) throttle.begin(`name-${i}`, "10.0.0.1").abandoned();
    for (let i = 0; i < 3; i++) throttle.begin("ann", "10.0.0.1").failed();
    now -= 3600_000;
    assert.throws(() => throttle.begin("ann", "10.0.0.1"), { code: "rate_limited" });
    now += 1000;
    throttle.begin("ann", "10.0.0.1").succeeded();
  });

  test("never holds up an address that has not failed itself, whatever others do", () => {
    const event = fc.record({
      account: fc.constantFrom("ann", "bob"),
      address: fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3"),
      right: fc.boolean(),
      waitMs: fc.constantFrom(0, 500, 5000),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        let now = 0;
        const throttle = new LoginThrottle(() => now);
        for (const { account, address, right, waitMs } of events) {
          now += waitMs;
          try {
            const attempt = throttle.begin(account, address);
            if (right) attempt.succeeded();
            else attempt.failed();
          } catch {
            // Refused: it did not count.
          }
        }
        for (const account of ["ann", "bob"]) {
          const attempt = throttle.begin(account, "10.0.0.9");
          assert.equal(attempt.lane, "fresh");
          attempt.abandoned();
        }
      }),
    );
  });

  test("is at most ten seconds where somebody logged in before", () => {
    let now = 0;
    const throttle = new LoginThrottle(() => now);
    throttle.begin("ann", "10.0.0.1").succeeded();
    for (let i = 0; i < 50; i++) {
      now += 10_000;
      throttle.begin("ann", "10.0.0.1").failed();
    }
    now += 10_000;
    assert.equal(throttle.begin("ann", "10.0.0.1").lane, "known");
  });
});
