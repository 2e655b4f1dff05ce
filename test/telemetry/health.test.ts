import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Health } from "../../src/telemetry/health.ts";

describe("health", () => {
  test("is degraded by one check that fails, throws or does not answer in its time, and says which", async () => {
    const health = new Health({
      good: () => true,
      bad: () => false,
      broken: () => Promise.reject(new Error("never shown")),
      silent: () => new Promise<boolean>(() => undefined),
    });
    assert.deepEqual(await health.report(), {
      status: "degraded",
      checks: { good: "ok", bad: "failed", broken: "failed", silent: "failed" },
    });
  });

  test("runs its checks once for many who ask at the same time", async () => {
    let runs = 0;
    const health = new Health({ counted: () => ++runs > 0 });
    const reports = await Promise.all(Array.from({ length: 50 }, () => health.report()));
    assert.equal(runs, 1);
    assert.ok(reports.every(({ status }) => status === "ok"));
  });
});
