/**
 * What follows a change of the barrier's key, and brings one about by age: records are sealed anew a slice at a time, and
 * an older key is deleted when no record has needed it for GRACE_MS.
 * Invariant: a key is deleted only after a walk through every sealed value that found none of its, which began GRACE_MS
 * after an earlier walk had left none: by then every node seals with a newer key, no request of before is under way, and
 * the cursors that it sealed have been used. Killed at any point, the job begins anew and finds what is left.
 */
import type { CommitChange } from "../audit/change.ts";
import type { BarrierKeyRow, BarrierKeys } from "../seal/barrier-keys.ts";
import type { Store } from "../storage/store.ts";
import type { Log } from "../telemetry/log.ts";
import { BarrierSweep } from "./barrier-sweep.ts";
import type { Job } from "./job-runner.ts";

/** How long a key that no record needs is kept. */
export const GRACE_MS = 3_600_000;
/** How long one round may take: other jobs wait for it. */
const ROUND_MS = 5000;
const NOTE_MS = 1000;
/** Records that do not open are met again on every walk: then the next one waits. */
const DAMAGED_WAIT_MS = 600_000;

export interface BarrierRewrapOptions {
  readonly store: Store;
  readonly keys: BarrierKeys;
  readonly log: Log;
  readonly now: () => number;
  /** The age at which the barrier's key changes by itself; undefined: never. */
  readonly maxAgeMs?: number | undefined;
  readonly graceMs?: number | undefined;
  /** How the service commits what nobody asked for. */
  readonly commitOwn: (action: "barrier.rotate" | "barrier.retire") => CommitChange;
}

export class BarrierRewrap implements Job {
  readonly name = "barrier";
  readonly #options: BarrierRewrapOptions;
  #sweep: BarrierSweep | undefined;
  #waitUntil = 0;
  #notedAt = 0;
  #rewrapped = 0;
  /** What of the walk is noted, by version. */
  #noted: ReadonlyMap<number, number> = new Map();

  constructor(options: BarrierRewrapOptions) {
    this.#options = options;
  }

  /** How many records this process has sealed anew. */
  get rewrapped(): number {
    return this.#rewrapped;
  }

  async run(stopped: () => boolean): Promise<void> {
    const { keys } = this.#options;
    const deadline = performance.now() + ROUND_MS;
    await keys.read();
    await this.#rotateByAge();
    while (!stopped() && performance.now() < deadline) {
      const sweep = this.#nextSweep();
      if (sweep === undefined) return;
      while (!sweep.done) {
        if (stopped() || performance.now() > deadline) return this.#note(sweep);
        await sweep.step();
        if (performance.now() - this.#notedAt > NOTE_MS) await this.#note(sweep);
      }
      await this.#finish(sweep);
    }
  }

  async #rotateByAge(): Promise<void> {
    const { keys, maxAgeMs, now, commitOwn } = this.#options;
    const latest = keys.rows.at(-1);
    if (maxAgeMs === undefined || latest === undefined) return;
    if (Date.parse(latest.created_at) + maxAgeMs <= now()) await keys.rotate(commitOwn("barrier.rotate"));
  }

  /** The walk under way or the next one; undefined where there is nothing to do now. */
  #nextSweep(): BarrierSweep | undefined {
    const { store, keys } = this.#options;
    const { latest: target } = keys.barrier;
    const old = this.#oldRows();
    if (this.#sweep !== undefined && this.#sweep.target === target && !this.#sweep.done) return this.#sweep;
    const uncounted = old.some(({ records_left: left }) => left === null);
    const isWorthIt =
      uncounted ||
      (this.#now() >= this.#waitUntil && old.some((row) => row.unused_since === null || this.#isDue(row)));
    this.#noted = new Map();
    this.#sweep = isWorthIt
      ? new BarrierSweep({ store, barrier: keys.barrier, target, counting: uncounted })
      : undefined;
    return this.#sweep;
  }

  async #finish(sweep: BarrierSweep): Promise<void> {
    const { keys, log, commitOwn } = this.#options;
    if (sweep.target !== keys.barrier.latest) return;
    await this.#note(sweep);
    if (sweep.counting) return;
    for (const row of this.#oldRows()) {
      const { version } = row;
      const found = sweep.found.get(version) ?? 0;
      const left = sweep.left.get(version) ?? 0;
      const now = new Date(this.#now()).toISOString();
      if (left > 0) await keys.note(version, { records_left: left, unused_since: null });
      else if (found === 0 && this.#isDue(row)) await keys.retire(row, commitOwn("barrier.retire"));
      else if (found > 0 || row.unused_since === null)
        await keys.note(version, { records_left: 0, unused_since: now });
    }
    for (const [table, count] of sweep.unopened) {
      this.#waitUntil = this.#now() + DAMAGED_WAIT_MS;
      log.error("records do not open, so that their barrier key stays", { table, count });
    }
  }

  /** Says how far the walk is, where everybody can read it. */
  async #note({ counting, done, found, rewrapped }: BarrierSweep): Promise<void> {
    this.#notedAt = performance.now();
    if (counting && !done) return;
    for (const { version, unused_since, records_left: before } of this.#oldRows()) {
      const since = (rewrapped.get(version) ?? 0) - (this.#noted.get(version) ?? 0);
      const left = counting ? (found.get(version) ?? 0) : Math.max(0, (before ?? 0) - since);
      if (left !== before) await this.#options.keys.note(version, { records_left: left, unused_since });
    }
    this.#rewrapped += sum(rewrapped) - sum(this.#noted);
    this.#noted = new Map(rewrapped);
  }

  #oldRows(): readonly BarrierKeyRow[] {
    const { keys } = this.#options;
    return keys.rows.filter(({ version }) => version < keys.barrier.latest);
  }

  /** Whether the time has come to look for the last time, and then to delete the key. */
  #isDue({ unused_since: since }: BarrierKeyRow): boolean {
    if (since === null) return false;
    const waited = this.#now() - Date.parse(since);
    return waited >= (this.#options.graceMs ?? GRACE_MS);
  }

  #now(): number {
    return this.#options.now();
  }
}

function sum(counts: ReadonlyMap<number, number>): number {
  let total = 0;
  for (const count of counts.values()) total += count;
  return total;
}
