/**
 * A load run: prepares a workload, lets a number of clients repeat it for a time, and says how it went.
 * Invariant: memory is bounded by the number of keys, never by that of operations; requests under way at the end are
 * waited for and counted.
 */
import { KeysteadApiError } from "../../sdk/api-error.ts";
import type { CredentialSource } from "../../sdk/credentials.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { KeysteadConnectionError } from "../../sdk/connection-error.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { makePayload, runPrefix, workloads, type Round, type WorkloadName } from "./workloads.ts";

/** How long a client rests after an error: a failing service is not hammered, and the figures stay readable. */
const REST_MS = 10;

export interface LoadOptions {
  readonly url: string;
  readonly token?: string | CredentialSource | undefined;
  readonly project?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly tryTimeoutMs?: number | undefined;
  readonly workload: WorkloadName;
  readonly durationMs: number;
  readonly clients: number;
  /** How many keys (or secrets) the load is spread over. */
  readonly keys: number;
  readonly payloadBytes: number;
  /** Ends the run early; its figures are given all the same. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  readonly phase: "preparing" | "running";
  readonly operations: number;
  readonly errors: number;
  readonly elapsedMs: number;
}

export interface LoadResult {
  readonly workload: WorkloadName;
  readonly clients: number;
  readonly seconds: number;
  /** Requests, the failed ones included. */
  readonly operations: number;
  readonly errors: number;
  readonly errorsByCode: Readonly<Record<string, number>>;
  readonly operationsPerSecond: number;
  /** Of the requests that succeeded, in milliseconds. */
  readonly latencyMs: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
  };
}

/** Runs a load. Rejects where the preparation fails; errors after it are counted. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { url, token, project, timeoutMs, tryTimeoutMs, clients, keys, payloadBytes, workload } = options;
  const client = new KeysteadClient({ url, token, project, timeoutMs, tryTimeoutMs });
  const run = new LoadRun(options);
  const round = await workloads[workload]({
    client,
    prefix: runPrefix(),
    keys,
    payload: makePayload(payloadBytes),
    each: (count, prepare) => eachOf(count, clients, prepare, run),
  });
  return run.measure(round);
}

class LoadRun {
  readonly #options: LoadOptions;
  readonly #latencies = new LatencyHistogram();
  readonly #errorsByCode = new Map<string, number>();
  #errors = 0;
  #turn = 0;
  #startedAt = performance.now();
  #toldAt = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  async measure(round: Round): Promise<LoadResult> {
    const { workload, clients, durationMs } = this.#options;
    this.#startedAt = performance.now();
    const endsAt = this.#startedAt + durationMs;
    await Promise.all(Array.from({ length: clients }, () => this.#repeat(round, endsAt)));
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const latencies = this.#latencies;
    const operations = latencies.total + this.#errors;
    return {
      workload,
      clients,
      seconds,
      operations,
      errors: this.#errors,
      errorsByCode: Object.fromEntries([...this.#errorsByCode].sort(([, a], [, b]) => b - a)),
      operationsPerSecond: operations / seconds,
      latencyMs: {
        p50: latencies.quantile(0.5),
        p95: latencies.quantile(0.95),
        p99: latencies.quantile(0.99),
        max: latencies.maxMs,
      },
    };
  }

  /** Tells of progress, a few times a second. */
  tell(phase: LoadProgress["phase"], operations: number): void {
    const now = performance.now();
    if (now - this.#toldAt < 200) return;
    this.#toldAt = now;
    const elapsedMs = now - this.#startedAt;
    this.#options.onProgress?.({ phase, operations, errors: this.#errors, elapsedMs });
  }

  async #repeat(round: Round, endsAt: number): Promise<void> {
    while (performance.now() < endsAt && !this.isAborted()) {
      for (const step of round(this.#turn++)) {
        const startedAt = performance.now();
        try {
          await step();
          this.#latencies.record(performance.now() - startedAt);
        } catch (error) {
          this.#countError(error);
          await new Promise((resolve) => setTimeout(resolve, REST_MS));
          // The rest of the round needs what this step should have brought.
          break;
        }
        this.tell("running", this.#latencies.total + this.#errors);
        if (performance.now() >= endsAt || this.isAborted()) break;
      }
    }
  }

  #countError(error: unknown): void {
    const isKnown = error instanceof KeysteadApiError || error instanceof KeysteadConnectionError;
    const code = isKnown ? error.code : "unexpected";
    this.#errors++;
    this.#errorsByCode.set(code, (this.#errorsByCode.get(code) ?? 0) + 1);
  }
}

async function eachOf(
  count: number,
  parallel: number,
  prepare: (index: number) => Promise<void>,
  run: LoadRun,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count && !run.isAborted()) {
      await prepare(next++);
      run.tell("preparing", next);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, count) }, work));
}
