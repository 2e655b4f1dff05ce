/**
 * Counts requests and their durations, route by route, in plain numbers: prom-client's own counters hash their labels on
 * every call, which costs as much as the encryption itself. The series are handed to prom-client when somebody asks.
 * Invariant: one meter a route pattern and method; statuses are those that this program answers with.
 */
import { Counter, type Metric, type MetricValueWithName, type Registry } from "prom-client";

/** Upper bounds in seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;
const DURATIONS = "keystead_http_request_duration_seconds";

export class RequestMeter {
  readonly method: string;
  readonly path: string;
  readonly statuses = new Map<number, number>();
  /** Requests whose duration fell into each bucket; the last counts those beyond all. */
  readonly buckets = new Float64Array(BUCKETS.length + 1);
  seconds = 0;
  timed = 0;

  constructor(method: string, path: string) {
    this.method = method;
    this.path = path;
  }

  /** Counts an answered request and its duration. */
  observe(status: number, seconds: number): void {
    this.count(status);
    let bucket = 0;
    while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] ?? 0)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
    this.seconds += seconds;
    this.timed++;
  }

  /** Counts an answered request whose duration is of no interest. */
  count(status: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
  }
}

/** Adds the series of all meters, those that are made later included, to a registry. */
export function registerRequestSeries(registry: Registry, meters: readonly RequestMeter[]): void {
  new Counter({
    name: "keystead_http_requests_total",
    help: "HTTP requests by method, route pattern and status.",
    labelNames: ["method", "path", "status"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { method, path, statuses } of meters) {
        for (const [status, count] of statuses) this.inc({ method, path, status }, count);
      }
    },
  });
  const histogram = {
    name: DURATIONS,
    get: () =>
      Promise.resolve({
        name: DURATIONS,
        help: "Time from a request's arrival to its answer, by method and route pattern.",
        type: "histogram",
        aggregator: "sum",
        values: meters.filter(({ timed }) => timed > 0).flatMap(histogramValues),
      }),
    reset: () => undefined,
  };
  registry.registerMetric(histogram as unknown as Metric);
}

function histogramValues(meter: RequestMeter): MetricValueWithName<string>[] {
  const labels = { method: meter.method, path: meter.path };
  let below = 0;
  const buckets = [...BUCKETS, Infinity].map((bound, i) => {
    below += meter.buckets[i] ?? 0;
    const le = bound === Infinity ? "+Inf" : bound;
    return { metricName: `${DURATIONS}_bucket`, labels: { le, ...labels }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${DURATIONS}_sum`, labels, value: meter.seconds },
    { metricName: `${DURATIONS}_count`, labels, value: meter.timed },
  ];
}
