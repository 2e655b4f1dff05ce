/**
 * Runs what has to be done when its time comes, without anybody asking: at the start, and then every few seconds.
 * Invariant: one round at a time; where a newer program has changed the tables, a job of one node is left to it, since here
 * not all that is in them is known; what fails is logged and tried again in the next round; nothing here keeps the process
 * alive or delays its end by more than the step under way.
 */
import { causeOf, type Log } from "../telemetry/log.ts";
import { SCHEMA_VERSION } from "../storage/migrations.ts";
import type { Store } from "../storage/store.ts";
import { takeLease } from "./lease.ts";

const ROUND_MS = 10_000;
const LEASE_SECONDS = 60;

/** One kind of work. */
export interface Job {
  readonly name: string;
  /** Each node does it for itself, without a lease. */
  readonly everyNode?: true;
  /** Does what is due; looks at `stopped` between two steps. */
  run(stopped: () => boolean): Promise<void>;
}

export interface JobRunnerOptions {
  readonly store: Store;
  readonly node: string;
  readonly jobs: readonly Job[];
  readonly log: Log;
  readonly now: () => number;
  /** Told of every run, for the metrics. */
  readonly onRun?: ((job: string, outcome: "ok" | "failed") => void) | undefined;
}

export class JobRunner {
  readonly #options: JobRunnerOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #stopped = false;
  #outdated = false;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  /** Begins with a round at once. */
  start(): void {
    void this.runDue();
    this.#timer = setInterval(() => void this.runDue(), ROUND_MS);
    this.#timer.unref();
  }

  /** Does what is due now; resolves when it is done. Joins the round under way, if there is one. */
  runDue(): Promise<void> {
    this.#round ??= this.#runRound().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  /** Begins nothing new, and waits for the step under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#round;
  }

  async #runRound(): Promise<void> {
    const { store, node, jobs, log, now } = this.#options;
    const stopped = (): boolean => this.#stopped;
    for (const job of jobs) {
      if (stopped()) return;
      try {
        const lease = { store, holder: node, name: job.name, ttlSeconds: LEASE_SECONDS };
        const mine =
          store.exclusive ||
          job.everyNode === true ||
          (!(await this.#isOutdated()) && (await takeLease(lease, now())));
        if (!mine) continue;
        await job.run(stopped);
        this.#options.onRun?.(job.name, "ok");
      } catch (error) {
        this.#options.onRun?.(job.name, "failed");
        if (!stopped())
          log.error("a job failed and is tried again", { job: job.name, cause: causeOf(error) });
      }
    }
  }

  /** Whether another node has brought the database to a schema that this program does not know. */
  async #isOutdated(): Promise<boolean> {
    const { store, log } = this.#options;
    const [row] = await store.select({ from: "schema_version", limit: 1 });
    const outdated = row !== undefined && row.version > SCHEMA_VERSION;
    if (outdated && !this.#outdated)
      log.warn("a newer Keystead has changed the database: start this node anew with it");
    this.#outdated = outdated;
    return outdated;
  }
}
