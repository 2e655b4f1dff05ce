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

  test("forgets nobody for the sake of tries that were refused or given up", () => {
    let now = 1_000_000;
    const throttle = new LoginThrottle(() => now, 50);
    throttle.begin("ann", "10.0.0.1").succeeded();
    for (let i = 0; i < 30; i++) throttle.begin(`first-${i}`, "10.6.6.6").failed();
    for (let i = 0; i < 6; i++) {
      now += 60_000;
      throttle.begin("ann", "10.6.6.6").failed();
    }
    for (let i = 0; i < 40; i++) {
      throttle.begin(`given-up-${i}`, "10.7.7.7").abandoned();
      throttle.begin(`elsewhere-${i}`, `10.8.0.${i}`).abandoned();
    }
    const before = throttle.size;
    now += 1;
    for (let i = 0; i < 200; i++) {
      assert.throws(() => throttle.begin(`name-${i}`, "10.6.6.6"), { code: "rate_limited" });
    }
    assert.equal(throttle.size, before);
    const known = throttle.begin("ann", "10.0.0.1");
    assert.equal(known.lane, "known");
    known.abandoned();
    now += 7000;
    assert.throws(() => throttle.begin("ann", "10.6.6.6"), { code: "rate_limited" }, "eight seconds for six");
  });

  test("keeps who logged in, and tries under way, whatever fails meanwhile", () => {
    const throttle = new LoginThrottle(() => 0, 50);
    throttle.begin("ann", "10.0.0.1").succeeded();
    const tries = [1, 2, 3].map(() => throttle.begin("bob", "10.0.0.2"));
    for (let i = 0; i < 500; i++) throttle.begin(`name-${i}`, `10.1.${i >> 8}.${i & 255}`).failed();
    assert.equal(throttle.begin("ann", "10.0.0.1").lane, "known");
    assert.throws(() => throttle.begin("bob", "10.0.0.2"), { code: "rate_limited" });
    for (const one of tries) one.failed();
    assert.throws(() => throttle.begin("bob", "10.0.0.2"), { code: "rate_limited" });
  });

  test("says the lane of an address before the account is known, where it depends on no account", () => {
    const throttle = new LoginThrottle(() => 0, 2);
    assert.equal(throttle.laneOf("10.0.0.1"), "fresh");
    throttle.begin("ann", "10.0.0.1").failed();
    assert.equal(throttle.laneOf("10.0.0.1"), "suspect");
    throttle.begin("ann", "10.0.0.1").succeeded();
    throttle.begin("bob", "10.0.0.1").succeeded();
    assert.equal(throttle.laneOf("10.0.0.1"), undefined);
    // Of two that are remembered the older goes; the address is known for the other one still.
    throttle.begin("ann", "10.0.0.2").succeeded();
    assert.equal(throttle.laneOf("10.0.0.1"), undefined);
    throttle.begin("bob", "10.0.0.2").succeeded();
    assert.equal(throttle.laneOf("10.0.0.1"), "suspect");
  });

  test("ends by itself where the failures do, however many log in meanwhile", () => {
    let now = 0;
    const throttle = new LoginThrottle(() => now);
    for (let i = 0; i < 30; i++) throttle.begin(`name-${i}`, "10.0.0.1").failed();
    for (let i = 0; i < 25; i++) throttle.begin("ann", `10.0.1.${i}`).failed();
    assert.throws(() => throttle.begin("new", "10.0.0.1"), { code: "rate_limited" });
    for (let minutes = 0; minutes < 24 * 60; minutes += 50) {
      now += 50 * 60_000;
      throttle.begin("known", "10.0.0.1").succeeded();
      throttle.begin("ann", "10.0.0.9").succeeded();
    }
    const newcomers = [1, 2].map((i) => throttle.begin(`new-${i}`, "10.0.0.1"));
    for (const one of newcomers) one.abandoned();
    for (let i = 0; i < 3; i++) throttle.begin("ann", "10.0.0.3").failed();
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
