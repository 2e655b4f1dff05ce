/**
 * Idempotency keys: a change that was asked for twice under one key is made once.
 * For a day the service remembers who asked for which operation in which project under which key, a keyed hash of the
 * request, and the object and version that came of it: never an answer, and neither the key nor the request itself.
 * Invariant: the row is written in the transaction of the change, so that neither exists without the other; while it is
 * remembered the operation does not run again, on any node.
 * A row: its id is HMAC-SHA-256 over project, caller, operation and key; `sealed` holds a MemoryRecord. One more row,
 * whose time never comes, holds the random key of these hashes: sealed like every record, it outlives restarts and changes
 * of the barrier's keys.
 */
import { Buffer } from "node:buffer";
import { equalConstantTime, lengthPrefixed, secretBytes, type SecretBytes } from "../bytes.ts";
import { deriveKey, hmacSha256, sha256 } from "../crypto/digest.ts";
import { randomSecret } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Caller } from "../identity/caller.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import { SerialQueue } from "../serial-queue.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { canonicalInput } from "./canonical-input.ts";
import type { Remembered } from "./operation.ts";

export const REMEMBERED_MS = 24 * 60 * 60 * 1000;
const SWEEP_EVERY_MS = 10 * 60 * 1000;
const SWEEP_ROWS = 500;
/** How long a request waits for the one that came before it under the same key. */
const WAIT_MS_MAX = 10_000;
/** How many requests under one key are held at a time. */
const TURNS_MAX = 100;
const KEY_BYTES = 32;
const keyRowId = sha256("keystead/idempotency/v1/key");
const KEY_ROW_TIME = "9999-12-31T23:59:59.999Z";

interface MemoryRecord extends Remembered {
  readonly createdAt: string;
  /** The keyed hash of the request, base64. */
  readonly request: string;
}

export interface IdempotencyOptions {
  readonly store: Store;
  readonly barrier: Barrier;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly waitMsMax?: number;
}

/** A call of a mutation that came with a key. */
export interface KeyedCall {
  /** The project's id; "" for an operation on the service as a whole. */
  readonly project: string;
  readonly caller: Caller;
  readonly operation: string;
  readonly key: string;
  readonly input: unknown;
}

/** The first run under a key: what its transaction has to take along. */
export class Attempt {
  /** Set as soon as the change is durable. */
  committed = false;
  readonly #rowWrites: (remembered: Remembered) => readonly Write[];

  constructor(rowWrites: (remembered: Remembered) => readonly Write[]) {
    this.#rowWrites = rowWrites;
  }

  /**
   * A change's writes together with the row that remembers it. The row comes first: where another node was faster, that is
   * the conflict to be told of, and no name that this node's twin has taken.
   */
  withRow(writes: readonly Write[], version: number): readonly Write[] {
    return [...this.#rowWrites({ object: objectOf(writes), version }), ...writes];
  }
}

export class Idempotency {
  readonly #options: IdempotencyOptions;
  readonly #turns = new SerialQueue();
  /** For each row's id: how many requests run or wait for their turn. */
  readonly #held = new Map<string, number>();
  #keys: Promise<HashKeys> | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: IdempotencyOptions) {
    this.#options = options;
  }

  /**
   * Makes a change unless it was made under this key before; then `replay` answers. Requests under one key take turns.
   * @throws KeysteadError `idempotency_mismatch` where the request was another one, `idempotency_pending` where an
   * earlier one takes too long; and whatever `run` or `replay` throws
   */
  async once<T>(
    call: KeyedCall,
    run: (attempt: Attempt) => T | Promise<T>,
    replay: (remembered: Remembered) => T | Promise<T>,
  ): Promise<T> {
    const keys = await this.#hashKeys();
    const { project, caller, operation, key } = call;
    const who = caller.accountId === undefined ? caller.label : `account:${caller.accountId}`;
    const id = hmacSha256(keys.row, lengthPrefixed(project, who, operation, key));
    const request = hmacSha256(keys.request, canonicalInput(call.input));
    return this.#inTurn(id.toString("base64"), async () => {
      const before = await this.#find(id);
      if (before !== undefined && this.#counts(before)) return replay(checked(before, request));
      const attempt = new Attempt((remembered) => this.#rowWrites(id, request, remembered, before));
      try {
        return await run(attempt);
      } catch (thrown) {
        if (attempt.committed) throw thrown;
        // Another node may have been faster: then what failed here is done.
        const since = await this.#find(id).catch(() => undefined);
        if (since === undefined || !this.#counts(since)) throw thrown;
        return replay(checked(since, request));
      }
    });
  }

  /** From now on, removes every ten minutes the rows that no longer count. */
  start(): void {
    this.#sweepTimer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.sweep()).catch(() => undefined);
    }, SWEEP_EVERY_MS);
    this.#sweepTimer.unref();
  }

  /** Removes all rows that no longer count, a batch at a time, so that changes are not kept waiting. */
  async sweep(): Promise<void> {
    const { store } = this.#options;
    for (let more = true; more && !this.#closed;) {
      const oldest = await store.select({ from: "idempotency", orderBy: "created_at", limit: SWEEP_ROWS });
      const limit = new Date(this.#now() - REMEMBERED_MS).toISOString();
      const old = oldest.filter((row) => row.created_at < limit);
      if (old.length > 0) {
        await store.commit(
          old.map(({ id, created_at }): Write => ({
            delete: "idempotency",
            where: { id, created_at },
            expect: "any",
          })),
        );
      }
      more = old.length === SWEEP_ROWS;
    }
  }

  /** Stops sweeping. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweepTimer);
    await this.#sweeping;
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  #counts({ createdAt }: MemoryRecord): boolean {
    return this.#now() - Date.parse(createdAt) <= REMEMBERED_MS;
  }

  async #find(id: Buffer): Promise<MemoryRecord | undefined> {
    const [row] = await this.#options.store.select({ from: "idempotency", where: { id } });
    return row === undefined
      ? undefined
      : this.#options.barrier.openJson<MemoryRecord>(idempotencyPlace(id), row.sealed);
  }

  /** @param before a row of this id that no longer counts, which makes room */
  #rowWrites(
    id: Buffer,
    request: Buffer,
    remembered: Remembered,
    before: MemoryRecord | undefined,
  ): readonly Write[] {
    const createdAt = new Date(this.#now()).toISOString();
    const record: MemoryRecord = { ...remembered, createdAt, request: request.toString("base64") };
    const sealed = this.#options.barrier.sealJson(idempotencyPlace(id), record);
    // Told by its time as well: what another node has put in its place meanwhile stays, and is met as a conflict.
    const room: Write[] =
      before === undefined
        ? []
        : [{ delete: "idempotency", where: { id, created_at: before.createdAt }, expect: "any" }];
    return [...room, { insert: "idempotency", row: { id, created_at: createdAt, sealed } }];
  }

  /** Runs what came under one key one after the other. Who waits too long is told so, and is not run at all. */
  #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const held = this.#held.get(name) ?? 0;
    if (held >= TURNS_MAX) throw new KeysteadError("idempotency_pending");
    this.#held.set(name, held + 1);
    return new Promise((resolve, reject) => {
      let gone = false;
      const timer = setTimeout(() => {
        gone = true;
        reject(new KeysteadError("idempotency_pending"));
      }, this.#options.waitMsMax ?? WAIT_MS_MAX);
      void this.#turns.run(name, async () => {
        clearTimeout(timer);
        if (!gone) await work().then(resolve, reject);
        const left = (this.#held.get(name) ?? 1) - 1;
        if (left === 0) this.#held.delete(name);
        else this.#held.set(name, left);
      });
    });
  }

  #hashKeys(): Promise<HashKeys> {
    this.#keys ??= this.#openKeys().catch((error: unknown) => {
      this.#keys = undefined;
      throw error;
    });
    return this.#keys;
  }

  async #openKeys(): Promise<HashKeys> {
    const { store, barrier } = this.#options;
    const [row] = await store.select({ from: "idempotency", where: { id: keyRowId } });
    if (row !== undefined) return hashKeys(secretBytes(barrier.open(idempotencyPlace(keyRowId), row.sealed)));
    // Made when it is needed first: a start writes nothing, and a disk that is full stops no reader.
    const key = randomSecret(KEY_BYTES);
    const sealed = barrier.seal(idempotencyPlace(keyRowId), key);
    try {
      await store.commit([
        { insert: "idempotency", row: { id: keyRowId, created_at: KEY_ROW_TIME, sealed } },
      ]);
    } catch (error) {
      if (error instanceof StoreConflict) return this.#openKeys();
      throw error;
    }
    return hashKeys(key);
  }
}

interface HashKeys {
  readonly row: SecretBytes;
  readonly request: SecretBytes;
}

function hashKeys(key: SecretBytes): HashKeys {
  return {
    row: deriveKey(key, "keystead/idempotency/v1/row", KEY_BYTES),
    request: deriveKey(key, "keystead/idempotency/v1/request", KEY_BYTES),
  };
}

/** The row's project is part of its id; beside it nothing else is known when rows are sealed anew. */
export function idempotencyPlace(id: Buffer): RecordPlace {
  return { project: "", kind: "idempotency", id: id.toString("hex"), revision: 1, field: "record" };
}

function checked(record: MemoryRecord, request: Buffer): Remembered {
  if (!equalConstantTime(Buffer.from(record.request, "base64"), request)) {
    throw new KeysteadError("idempotency_mismatch");
  }
  return record;
}

/** The id of what a change is about: of the first row that it inserts or updates; "" where it only removes. */
function objectOf(writes: readonly Write[]): string {
  for (const write of writes) {
    const row = "insert" in write ? write.row : "update" in write ? write.where : undefined;
    if (row !== undefined && "id" in row && typeof row.id === "string") return row.id;
  }
  return "";
}
