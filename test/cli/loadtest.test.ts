import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LatencyHistogram } from "../../cli/load/latency-histogram.ts";
import { runLoad, type LoadOptions, type LoadProgress } from "../../cli/load/run-load.ts";
import { workloadNames } from "../../cli/load/workloads.ts";
import { serviceFor, startDev } from "../harness.ts";
import { runCli } from "./cli-process.ts";

describe("the load test", () => {
  const service = serviceFor(() => startDev());
  const small = (): Omit<LoadOptions, "workload"> => ({
    url: service().url,
    durationMs: 300,
    clients: 4,
    keys: 8,
    payloadBytes: 256,
  });

  for (const workload of workloadNames) {
    test(`${workload}: runs in this process without an error, and its figures agree with each other`, async () => {
      const result = await runLoad({ ...small(), workload });
      assert.deepEqual(result.errorsByCode, {});
      assert.equal(result.errors, 0);
      assert.ok(result.operations > 0);
      assert.ok(result.seconds >= 0.3 && result.seconds < 10);
      assert.ok(Math.abs(result.operationsPerSecond * result.seconds - result.operations) < 1);
      const { p50, p95, p99, max } = result.latencyMs;
      assert.ok(p50 > 0 && p50 <= p95 && p95 <= p99 && p99 <= max);
    });
  }

  test("errors are counted by their code, and their clients go on", async () => {
    await using other = await startDev();
    let closing: Promise<void> | undefined;
    const onProgress = ({ phase }: LoadProgress): void => {
      if (phase === "running") closing ??= other.close();
    };
    const result = await runLoad({
      ...small(),
      url: other.url,
      durationMs: 800,
      workload: "encrypt",
      onProgress,
    });
    await closing;
    assert.ok(result.errors > 1);
    const counted = Object.values(result.errorsByCode).reduce((sum, count) => sum + count, 0);
    assert.equal(counted, result.errors);
  });

  test("an aborted run ends early with its figures; a preparation that fails is an error", async () => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      abort.abort();
    }, 200);
    const result = await runLoad({ ...small(), durationMs: 60_000, workload: "mixed", signal: abort.signal });
    clearTimeout(timer);
    assert.ok(result.seconds < 10);
    await assert.rejects(runLoad({ ...small(), token: "wrong", workload: "mixed" }), {
      code: "unauthenticated",
    });
  });

  test("the command takes Go's flags, and prints the figures for people and as JSON", async () => {
    const flags = ["-url", service().url, "-duration", "200ms", "-clients", "2", "-keys", "2"];
    const shown = await runCli(["loadtest", ...flags, "-payload-size", "16", "-workload", "secrets"]);
    assert.equal(shown.status, 0, shown.stderr);
    assert.equal(shown.stderr, "", "no progress line where nobody watches");
    for (const line of [
      "Total ops:",
      "Errors: +0",
      "Ops/sec:",
      "Latency P50:",
      "Latency P95:",
      "Latency P99:",
    ]) {
      assert.match(shown.stdout, new RegExp(`^${line}`, "m"));
    }
    const json = JSON.parse((await runCli(["loadtest", "--json", ...flags])).stdout) as Record<
      string,
      unknown
    >;
    assert.equal(json["workload"], "mixed");
    assert.equal(json["errors"], 0);
    assert.ok(Number(json["total_ops"]) > 0);
    assert.equal((await runCli(["loadtest", "-clients", "0"])).status, 2);
  });
});

describe("the latency histogram", () => {
  test("gives quantiles within 1/64 of the exact ones, from microseconds to hours", () => {
    const histogram = new LatencyHistogram();
    const values: number[] = [];
    for (let i = 0; i < 20_000; i++) values.push((0.001 * 1.0011 ** i) % 3_600_000);
    for (const value of values) histogram.record(value);
    values.sort((a, b) => a - b);
    for (const share of [0.01, 0.5, 0.95, 0.99, 1]) {
      const exact = values[Math.ceil(share * values.length) - 1] ?? 0;
      const error = Math.abs(histogram.quantile(share) - exact);
      assert.ok(error <= exact / 64 + 0.001, `${share}: ${histogram.quantile(share)} for ${exact}`);
    }
  });

  test("has nothing to say of no values, and counts what is too long for it as the longest", () => {
    const histogram = new LatencyHistogram();
    assert.equal(histogram.quantile(0.5), 0);
    histogram.record(10 ** 9);
    histogram.record(0);
    assert.equal(histogram.total, 2);
    assert.ok(histogram.quantile(1) > 4_000_000);
    assert.equal(histogram.quantile(0.5), 0);
  });
});
