import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClockWatch } from "../../src/telemetry/clock-watch.ts";
import { Health } from "../../src/telemetry/health.ts";

const steady = new ClockWatch({ onJump: () => undefined });

describe("health", () => {
  test("is degraded by one check that fails, throws or does not answer in its time, and says which", async () => {
    const health = new Health(
      {
        good: () => true,
        bad: () => false,
        broken: () => Promise.reject(new Error("never shown")),
        silent: () => new Promise<boolean>(() => undefined),
      },
      steady,
    );
    assert.deepEqual(await health.report(), {
      status: "degraded",
      checks: { good: "ok", bad: "failed", broken: "failed", silent: "failed", clock: "ok" },
    });
  });

  test("runs its checks once for many who ask at the same time", async () => {
    let runs = 0;
    const health = new Health({ counted: () => ++runs > 0 }, steady);
    const reports = await Promise.all(Array.from({ length: 50 }, () => health.report()));
    assert.equal(runs, 1);
    assert.ok(reports.every(({ status }) => status === "ok"));
  });

  test("tells of a clock that jumped, and goes on", async () => {
    let wall = Date.now();
    const clock = new ClockWatch({ wall: () => wall, onJump: () => undefined });
    wall += 3_600_000;
    assert.deepEqual(await new Health({ good: () => true }, clock).report(), {
      status: "ok",
      checks: { good: "ok", clock: "jumped" },
    });
  });
});
