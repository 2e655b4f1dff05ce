/**
 * The Prometheus series of the service.
 * Invariant: labels are route patterns, operation ids, codes and states; never a name, an address or a value, so that the
 * number of series is bounded by this program's own tables.
 */
import { Counter, Gauge, Registry } from "prom-client";
import { registerRequestSeries, RequestMeter } from "./request-meter.ts";

const LOOP_SAMPLE_MS = 100;

/** What is read when somebody asks for the metrics. */
export interface MetricSources {
  caches(): readonly {
    readonly name: string;
    readonly size: number;
    readonly hits: number;
    readonly misses: number;
  }[];
  audit(): { readonly waiting: number; readonly head: number; readonly available: boolean };
  storeWaiting(): number;
  requestsInFlight(): number;
  barrier(): { readonly version: number; readonly recordsLeft: number; readonly rewrapped: number };
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #meters: RequestMeter[] = [];
  /** Operation id → outcome → count. */
  readonly #operations = new Map<string, Map<string, number>>();
  readonly #jobs: Counter<"job" | "status">;
  #loopDelayMaxSeconds = 0;
  readonly #loopTimer: NodeJS.Timeout;

  constructor() {
    registerRequestSeries(this.#registry, this.#meters);
    const operations = this.#operations;
    new Counter({
      name: "keystead_operations_total",
      help: "Operations by id and outcome: ok, or the error's code.",
      labelNames: ["operation", "status"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [operation, outcomes] of operations) {
          for (const [status, count] of outcomes) this.inc({ operation, status }, count);
        }
      },
    });
    this.#jobs = new Counter({
      name: "keystead_job_runs_total",
      help: "Runs of what the service does by itself, by job and outcome.",
      labelNames: ["job", "status"],
      registers: [this.#registry],
    });
    let expected = performance.now() + LOOP_SAMPLE_MS;
    this.#loopTimer = setInterval(() => {
      const now = performance.now();
      this.#loopDelayMaxSeconds = Math.max(this.#loopDelayMaxSeconds, (now - expected) / 1000);
      expected = now + LOOP_SAMPLE_MS;
    }, LOOP_SAMPLE_MS);
    this.#loopTimer.unref();
  }

  /** Adds the series that are read from elsewhere when they are asked for. */
  observe(sources: MetricSources): void {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    for (const [field, help] of [
      ["size", "Records that a cache holds."],
      ["hits", "Look-ups that a cache answered."],
      ["misses", "Look-ups that had to load a record."],
    ] as const) {
      new Gauge({
        name: field === "size" ? "keystead_cache_entries" : `keystead_cache_${field}_total`,
        help,
        labelNames: ["cache"],
        registers,
        collect() {
          for (const cache of sources.caches()) this.set({ cache: cache.name }, cache[field]);
        },
      });
    }
    gauge(
      "keystead_audit_queue_entries",
      "Audit entries that wait to be written.",
      () => sources.audit().waiting,
    );
    gauge("keystead_audit_entries", "Sequence number of the last audit entry.", () => sources.audit().head);
    gauge("keystead_audit_available", "1 while the audit log can be written.", () =>
      sources.audit().available ? 1 : 0,
    );
    gauge("keystead_storage_queue_calls", "Calls that wait for the database.", () => sources.storeWaiting());
    gauge("keystead_http_requests_in_flight", "Requests that are being answered.", () =>
      sources.requestsInFlight(),
    );
    gauge(
      "keystead_barrier_version",
      "Version of the key that seals the records.",
      () => sources.barrier().version,
    );
    gauge(
      "keystead_barrier_records_left",
      "Records that older barrier keys still seal, as last counted.",
      () => sources.barrier().recordsLeft,
    );
    gauge(
      "keystead_barrier_records_rewrapped_total",
      "Records that this process sealed anew under a newer barrier key.",
      () => sources.barrier().rewrapped,
    );
    gauge(
      "keystead_event_loop_delay_max_seconds",
      "Longest delay of the event loop since the last scrape.",
      () => {
        const delay = this.#loopDelayMaxSeconds;
        this.#loopDelayMaxSeconds = 0;
        return delay;
      },
    );
    gauge(
      "keystead_process_resident_memory_bytes",
      "Resident memory of the process.",
      () => process.memoryUsage().rss,
    );
    gauge("keystead_process_cpu_seconds_total", "CPU time of the process, user and system.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
  }

  /** Counts the requests of one route; made once, when the route is. */
  requestMeter(method: string, path: string): RequestMeter {
    const meter = new RequestMeter(method, path);
    this.#meters.push(meter);
    return meter;
  }

  /** Counts one run of a job: `ok` or `failed`. */
  countJob(job: string, outcome: "ok" | "failed"): void {
    this.#jobs.inc({ job, status: outcome });
  }

  countOperation(operation: string, outcome: string): void {
    let outcomes = this.#operations.get(operation);
    if (outcomes === undefined) this.#operations.set(operation, (outcomes = new Map<string, number>()));
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  close(): void {
    clearInterval(this.#loopTimer);
    this.#registry.clear();
  }
}
