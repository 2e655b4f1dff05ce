/** `keystead loadtest`: measures a running service with BunKMS's workloads. */
import type { Command } from "commander";
import type { CommandContext } from "./command-context.ts";
import { parseDurationMs } from "./duration.ts";
import { EXIT_FAILURE } from "./exit-code.ts";
import { runLoad, type LoadProgress, type LoadResult } from "./load/run-load.ts";
import { workloadNames, type WorkloadName } from "./load/workloads.ts";
import { parseCount } from "./numbers.ts";
import { visibleText } from "./output.ts";

const CLIENTS_MAX = 10_000;
const KEYS_MAX = 1_000_000;
const PAYLOAD_BYTES_MAX = 512 * 1024;

interface LoadFlags {
  readonly duration: string;
  readonly clients: string;
  readonly keys: string;
  readonly payloadSize: string;
  readonly workload: WorkloadName;
}

/** Adds the command. */
export function addLoadtestCommand(program: Command, context: CommandContext): void {
  const command = program.command("loadtest");
  command
    .description("measure a running service: operations a second, and latencies")
    .option("--duration <duration>", "how long, such as 500ms, 10s or 2m", "10s")
    .option("--clients <count>", "how many at once", "20")
    .option("--keys <count>", "how many keys (or secrets) to spread over", "1000")
    .option("--payload-size <bytes>", "bytes of each plaintext or secret value", "256")
    .addOption(
      command.createOption("--workload <name>", "what to do").choices(workloadNames).default("mixed"),
    )
    .addHelpText(
      "after",
      `
Workloads:
  encrypt   encrypts
  decrypt   decrypts what it encrypted before the clock started
  mixed     encrypts, then decrypts that
  secrets   puts a secret, then gets it
  keys      creates a key, then gets it

An operation is one request. Keys are made before the clock starts; they and the secrets stay behind, under names that
begin with load-, so use a service (or a --project) that is there for tests. Latencies are those of the requests that
succeeded. Ctrl-C ends the run early, with its figures. Exit code 1 where any request failed.

A server allows 20000 requests a second for one caller unless its KEYSTEAD_RATE_LIMIT says otherwise.

Examples:
  keystead loadtest
  keystead loadtest -url http://localhost:8080 -workload encrypt -duration 5s -clients 10`,
    )
    .action(async (flags: LoadFlags) => {
      const options = {
        ...context.connection(),
        workload: flags.workload,
        durationMs: parseDurationMs(flags.duration),
        clients: parseCount(flags.clients, "--clients", CLIENTS_MAX),
        keys: parseCount(flags.keys, "--keys", KEYS_MAX),
        payloadBytes: parseCount(flags.payloadSize, "--payload-size", PAYLOAD_BYTES_MAX),
      };
      const abort = new AbortController();
      process.once("SIGINT", () => abort.abort());
      const showsProgress = process.stderr.isTTY;
      const result = await runLoad({
        ...options,
        signal: abort.signal,
        ...(showsProgress ? { onProgress: showProgress } : {}),
      }).finally(() => {
        if (showsProgress) process.stderr.write("\r\u001b[K");
      });
      const output = context.output();
      if (output.options.json) await output.line("", jsonOf(result));
      else await output.lines(reportOf(result), undefined);
      if (result.errors > 0) process.exitCode = EXIT_FAILURE;
    });
}

function showProgress({ phase, operations, errors, elapsedMs }: LoadProgress): void {
  const text =
    phase === "preparing"
      ? `preparing: ${operations}`
      : `${(elapsedMs / 1000).toFixed(1)} s: ${operations} operations, ${errors} errors`;
  process.stderr.write(`\r\u001b[K${text}`);
}

function reportOf(result: LoadResult): string {
  const { workload, clients, seconds, operations, errors, operationsPerSecond, latencyMs } = result;
  const codes = Object.entries(result.errorsByCode).map(
    ([code, count]) => `  ${visibleText(code)}: ${count}`,
  );
  return [
    `Workload:     ${workload}, ${clients} clients, ${seconds.toFixed(1)} s`,
    `Total ops:    ${operations}`,
    `Errors:       ${errors}`,
    ...codes,
    `Ops/sec:      ${operationsPerSecond.toFixed(1)}`,
    `Latency P50:  ${shownMs(latencyMs.p50)}`,
    `Latency P95:  ${shownMs(latencyMs.p95)}`,
    `Latency P99:  ${shownMs(latencyMs.p99)}`,
  ].join("\n");
}

function jsonOf({ latencyMs, ...result }: LoadResult): unknown {
  return {
    workload: result.workload,
    clients: result.clients,
    seconds: round(result.seconds),
    total_ops: result.operations,
    errors: result.errors,
    errors_by_code: result.errorsByCode,
    ops_per_second: round(result.operationsPerSecond),
    latency_p50_ms: round(latencyMs.p50),
    latency_p95_ms: round(latencyMs.p95),
    latency_p99_ms: round(latencyMs.p99),
    latency_max_ms: round(latencyMs.max),
  };
}

function shownMs(milliseconds: number): string {
  return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 1)} ms`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
