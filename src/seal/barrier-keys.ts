/**
 * The barrier's keys as they are stored: taken in, made, wrapped by another root key, and taken away.
 * Invariant: a key seals only after its row is durable, and its row goes only when no record needs it; all rows are
 * wrapped by one root key. Nodes that share a database find each other's keys here: by looking twice a second, and at once
 * where they meet a record of a version that they do not know.
 */
import type { CommitChange } from "../audit/change.ts";
import { equalConstantTime, wipe, type SecretBytes } from "../bytes.ts";
import { randomSecret } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import type { Barrier, BarrierKey } from "./barrier.ts";
import type { Seal } from "./root-key.ts";

export type BarrierKeyRow = Schema["barrier_keys"];

/** More than these at a time are refused: each has to be opened at a start. */
const KEYS_MAX = 100;
const CONFLICT_TRIES = 8;
const REFRESH_MS = 500;
/** Records of one unknown version make this process look for new keys once in this time. */
const LOOK_MS_MIN = 100;
/** So many versions are remembered as looked for. */
const LOOKS_MAX = 100;
const RESOURCE = "barrier:keys";

export interface BarrierKeysOptions {
  readonly store: Store;
  readonly seal: Seal;
  readonly barrier: Barrier;
  /** The time, milliseconds. */
  readonly now: () => number;
  /** Told once when a key is found that another root key wraps. */
  readonly onForeignRoot?: () => void;
}

export class BarrierKeys {
  readonly barrier: Barrier;
  readonly #options: BarrierKeysOptions;
  readonly #changes = new SerialQueue();
  #seal: Seal;
  #rows: readonly BarrierKeyRow[] = [];
  #readAt = -Infinity;
  #reading: Promise<readonly BarrierKeyRow[]> | undefined;
  /** For versions that were not here: when they were looked for last. */
  readonly #looks = new Map<number, { readonly at: number; readonly looking: Promise<void> }>();
  #foreign = false;
  #outdated = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BarrierKeysOptions) {
    this.#options = options;
    this.#seal = options.seal;
    this.barrier = options.barrier;
  }

  /** The rows as they were read last, the oldest key first. */
  get rows(): readonly BarrierKeyRow[] {
    return this.#rows;
  }

  /** For the metrics: the version that seals, and how many records older ones still seal. */
  figures(): { readonly version: number; readonly recordsLeft: number } {
    const recordsLeft = this.#rows.reduce((sum, { records_left: left }) => sum + (left ?? 0), 0);
    return { version: this.barrier.latest, recordsLeft };
  }

  /** How long ago the rows were read, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#readAt;
  }

  /**
   * True where a key newer than all that are here is wrapped by another root key: others seal with it and may delete the
   * keys of this node, so that nothing which this node seals may be kept any more.
   */
  get outdated(): boolean {
    return this.#outdated;
  }

  /** From now on takes in what other nodes make and take away. */
  start(): void {
    if (this.#options.store.exclusive) return;
    this.#timer = setInterval(() => void this.read().catch(() => undefined), REFRESH_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Reads the rows, takes new keys in and forgets those that are gone. Concurrent calls share one reading. */
  read(): Promise<readonly BarrierKeyRow[]> {
    // In turn with the changes: a list from before one must not be taken for the state after it.
    this.#reading ??= this.#changes
      .run("keys", () => this.#read())
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  /**
   * Whether a version is here, after a look for it. The look begins after the question, since what was read before may be of
   * a time when the version was not there; for the same version it is not repeated at once.
   */
  async knows(version: number): Promise<boolean> {
    if (this.barrier.has(version)) return true;
    const now = performance.now();
    let look = this.#looks.get(version);
    if (look === undefined || now - look.at > LOOK_MS_MIN) {
      if (this.#looks.size >= LOOKS_MAX) this.#looks.clear();
      look = { at: now, looking: this.#readAnew() };
      this.#looks.set(version, look);
    }
    await look.looking;
    return this.barrier.has(version);
  }

  async #readAnew(): Promise<void> {
    await this.#reading?.catch(() => undefined);
    await this.read();
  }

  /** Makes the next version, which seals from then on. Concurrent calls, on any node, make one version each. */
  rotate(commit: CommitChange): Promise<number> {
    return this.#changing(async (rows) => {
      const current = rows.at(-1);
      if (current === undefined) throw new Error("there is no barrier key");
      if (rows.length >= KEYS_MAX) throw new KeysteadError("limit_reached");
      this.#unwrap(current);
      const version = current.version + 1;
      const key = randomSecret(32);
      const { wrapped } = current;
      const row = {
        ...unusedRow(version, this.#options.now()),
        wrapped: this.#seal.wrapBarrierKey(version, key),
      };
      await commit(
        [
          // Wrapped by the same root key as its predecessor, or not at all: that one may be changing on another node.
          { update: "barrier_keys", where: { version: current.version, wrapped }, set: { wrapped } },
          { insert: "barrier_keys", row },
        ],
        { resource: RESOURCE, version },
      );
      this.barrier.add({ version, key });
      this.#rows = [...rows, row];
      return version;
    });
  }

  /** Deletes a key of which it is certain that no record needs it. */
  async retire(row: BarrierKeyRow, commit: CommitChange): Promise<void> {
    const { version, unused_since } = row;
    await this.#changes.run("keys", async () => {
      // Read now: a commit that found the rows too old would wait for a reading, and that one for the end of this.
      await this.#read();
      if (version >= this.barrier.latest || unused_since === null)
        throw new Error("the barrier key is in use");
      await commit([{ delete: "barrier_keys", where: { version, unused_since }, expect: "one" }], {
        resource: RESOURCE,
        version,
      });
      this.barrier.forget(version);
      this.#rows = this.#rows.filter((other) => other.version !== version);
    });
  }

  /** Remembers how far the records of an older key are. Only says what is; a row that is gone is left. */
  async note(version: number, progress: Pick<BarrierKeyRow, "records_left" | "unused_since">): Promise<void> {
    try {
      await this.#options.store.commit([{ update: "barrier_keys", where: { version }, set: progress }]);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
    }
    this.#rows = this.#rows.map((row) => (row.version === version ? { ...row, ...progress } : row));
  }

  /**
   * Wraps all keys by another root key, in one transaction: afterwards they open with that one only. Records stay as
   * they are. Each new wrapping is opened and compared before anything is written.
   * @throws KeysteadError `conflict` where the present root key does not open them, or is the new one
   */
  async rotateRoot(next: Seal, commit: CommitChange): Promise<void> {
    const change = this.#changing(async (rows) => {
      const last = rows.at(-1);
      if (last === undefined) throw new Error("there is no barrier key");
      // Conflicts with a key that another node makes meanwhile: it would be wrapped by the root key of before.
      const place = { ...unusedRow(last.version + 1, 0), wrapped: last.wrapped };
      await commit(
        [
          ...rows.map((row) => this.#rewrapped(row, next)),
          { insert: "barrier_keys", row: place },
          { delete: "barrier_keys", where: { version: place.version }, expect: "one" },
        ],
        { resource: "root:key", details: { keys: rows.length } },
      );
      this.#take(next);
    }, next);
    await change.finally(() => {
      if (this.#seal !== next) next.close();
    });
  }

  #take(next: Seal): void {
    if (this.#seal !== next) this.#seal.close();
    this.#seal = next;
  }

  #rewrapped({ version, wrapped }: BarrierKeyRow, next: Seal): Write {
    const key = this.#unwrap({ version, wrapped });
    const again = next.wrapBarrierKey(version, key);
    const opened = next.unwrapBarrierKey(version, again);
    const holds = opened !== undefined && equalConstantTime(opened, key);
    const same = this.#seal.unwrapBarrierKey(version, again);
    wipe(key, ...(opened === undefined ? [] : [opened]), ...(same === undefined ? [] : [same]));
    if (!holds) throw new Error("a barrier key does not open with the new root key");
    if (same !== undefined) throw new KeysteadError("conflict", { detail: "it is the root key already" });
    return { update: "barrier_keys", where: { version, wrapped }, set: { wrapped: again } };
  }

  /** Runs a change of the rows until it meets no other node's. */
  #changing<T>(change: (rows: readonly BarrierKeyRow[]) => Promise<T>, next?: Seal): Promise<T> {
    return this.#changes.run("keys", async () => {
      for (let tries = 0; tries < CONFLICT_TRIES; tries++) {
        const rows = await this.#read();
        try {
          return await change(rows);
        } catch (error) {
          if (error instanceof StoreConflict && error.table === "barrier_keys") continue;
          // It may have been committed all the same: only the database knows.
          await this.#settle(next).catch(() => undefined);
          throw error;
        }
      }
      throw new KeysteadError("conflict");
    });
  }

  async #settle(next: Seal | undefined): Promise<void> {
    const row = (await this.#read()).at(-1);
    if (next === undefined || row === undefined) return;
    const key = next.unwrapBarrierKey(row.version, row.wrapped);
    if (key === undefined) return;
    wipe(key);
    this.#take(next);
  }

  async #read(): Promise<readonly BarrierKeyRow[]> {
    const rows = await this.#options.store.select({ from: "barrier_keys", orderBy: "version" });
    for (const { version, wrapped } of rows) {
      if (this.barrier.has(version)) continue;
      const key = this.#seal.unwrapBarrierKey(version, wrapped);
      if (key !== undefined) this.barrier.add({ version, key });
      else this.#noteForeignRoot();
    }
    this.#outdated = rows.some(({ version }) => version > this.barrier.latest);
    // What has no row any more must seal nothing. (Before the first row is written there is none at all.)
    if (rows.length > 0) {
      const stored = new Set(rows.map(({ version }) => version));
      for (const version of this.barrier.versions) if (!stored.has(version)) this.barrier.forget(version);
    }
    this.#rows = rows;
    this.#readAt = performance.now();
    return rows;
  }

  #unwrap({ version, wrapped }: Pick<BarrierKeyRow, "version" | "wrapped">): SecretBytes {
    const key = this.#seal.unwrapBarrierKey(version, wrapped);
    if (key !== undefined) return key;
    this.#noteForeignRoot();
    throw new KeysteadError("conflict", {
      detail: "the root key was changed elsewhere; start this node with the new one",
    });
  }

  #noteForeignRoot(): void {
    if (!this.#foreign) this.#options.onForeignRoot?.();
    this.#foreign = true;
  }
}

/** The row of the first key of an empty database. */
export function firstBarrierRow({ version, key }: BarrierKey, seal: Seal, nowMs: number): BarrierKeyRow {
  return { ...unusedRow(version, nowMs), wrapped: seal.wrapBarrierKey(version, key) };
}

function unusedRow(version: number, nowMs: number): Omit<BarrierKeyRow, "wrapped"> {
  return { version, created_at: new Date(nowMs).toISOString(), records_left: null, unused_since: null };
}
