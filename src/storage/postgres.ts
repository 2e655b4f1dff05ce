/**
 * The store on PostgreSQL, which several nodes may share. A change is one transaction on one connection: all its
 * statements are sent at once, and committed when each has met the rows that it must.
 * What can be lost to another node is guarded by revisions and unique columns at READ COMMITTED: an update names the
 * revision that it read, waits for whoever has the row, and then meets no row. Nothing decides by what it only read.
 * Invariant: a commit that was cut off is reported as made or as not made only when the database has said so: by the
 * change's outbox row, which one transaction alone can write. Until then its outcome is unknown.
 */
import { Pool, type PoolClient, type QueryResult } from "pg";
import { KeysteadError } from "../errors.ts";
import type { NodeLock } from "./node-lock.ts";
import {
  connectionConfig,
  isCollision,
  isConflict,
  isConnectionLoss,
  isPlanOutdated,
  isTimeout,
  isUniqueViolation,
  sqlState,
  statements,
  type ConnectionOptions,
} from "./postgres-connection.ts";
import { PostgresScrubber } from "./postgres-scrubber.ts";
import type { Schema, TableName } from "./schema.ts";
import { planSelect, planWrites, type PlannedWrite } from "./sql-store.ts";
import { CommitUnknown, StoreConflict, type Select, type Store, type Write } from "./store.ts";

/** Tries of a change whose transaction collided with others. */
const COLLISION_TRIES = 5;
/** How long calls are refused at once after the database could not be reached. */
const DOWN_MS = 150;
/** How long an answer waits for the outcome of a commit that was cut off. */
const OUTCOME_MS_MAX = 2000;
const OUTCOME_RETRY_MS = 100;
/** Statements that a connection keeps prepared. */
const PREPARED_MAX = 256;

type OutboxRow = Schema["outbox"];

export interface PostgresOptions {
  readonly connection: ConnectionOptions;
  readonly connectionsMax: number;
  readonly lock: NodeLock;
}

export class PostgresStore implements Store {
  readonly exclusive = false;
  readonly #pool: Pool;
  readonly #lock: NodeLock;
  readonly #scrubber: PostgresScrubber;
  readonly #names = new Map<string, string>();
  #lastName = 0;
  #waiting = 0;
  #downUntil = 0;
  #writable = true;
  #closed = false;

  constructor({ connection, connectionsMax, lock }: PostgresOptions) {
    this.#lock = lock;
    this.#scrubber = new PostgresScrubber(connection);
    this.#pool = new Pool({
      ...connectionConfig(connection),
      max: connectionsMax,
      // All statements of a change go out together.
      pipeline: true,
      idleTimeoutMillis: 60_000,
    });
    // An idle connection that breaks leaves the pool by itself; whoever uses one is told by its query.
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
  }

  async select<T extends TableName>(query: Select<T>): Promise<Schema[T][]> {
    if (!isText(query.where) || !isText({ after: query.after })) return [];
    const { sql: text, parameters } = planSelect(statements, query);
    return this.#counted(async () => {
      for (let again = true; ; again = false) {
        const statement = this.#statement(text, parameters, true);
        try {
          const { rows } = await this.#lent((client) => client.query(statement));
          return rows as Schema[T][];
        } catch (error) {
          if (again && isPlanOutdated(error)) {
            if (this.#names.get(text) === statement.name) this.#names.delete(text);
            continue;
          }
          // A connection may have died unnoticed while it lay idle: a new one tells how things are.
          if (!(error instanceof LostConnection)) throw unavailable(error);
          if (!again || isTimeout(error.cause)) throw unavailable(error.cause);
        }
      }
    });
  }

  commit(writes: readonly Write[]): Promise<void> {
    return this.#counted(async () => {
      this.#assertOpen();
      try {
        await this.#commit(writes);
        this.#writable = true;
        this.#scrubber.note(writes);
      } catch (error) {
        if (error instanceof StoreConflict) throw error;
        if (error instanceof KeysteadError && error.code === "conflict") throw error;
        this.#writable = false;
        // It may have been made all the same, now or later.
        this.#scrubber.note(writes);
        throw error instanceof KeysteadError ? error : unavailable(error);
      }
    });
  }

  async scrub(): Promise<boolean> {
    this.#assertOpen();
    return this.#scrubber.scrub();
  }

  writable(): boolean {
    return this.#writable;
  }

  waiting(): number {
    return this.#waiting;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool.end();
    await this.#lock.release();
  }

  async #commit(writes: readonly Write[]): Promise<void> {
    const planned = planWrites(statements, writes);
    const mark = writes.findLast((write) => "insert" in write && write.insert === "outbox");
    const outboxRow = mark === undefined ? undefined : ((mark as { row: unknown }).row as OutboxRow);
    let fresh = false;
    for (let tries = 1; ; tries++) {
      if (!this.#lock.held)
        throw unavailable(new Error("the node's name is not held while the database is away"));
      try {
        await this.#transact(planned, outboxRow);
        return;
      } catch (error) {
        if (isCollision(error)) {
          if (tries === COLLISION_TRIES) throw new KeysteadError("conflict", { cause: error });
          await pause(Math.random() * 10 * tries);
        } else if (
          error instanceof LostConnection &&
          !error.committing &&
          !fresh &&
          !isTimeout(error.cause)
        ) {
          // Nothing was committed: once more on another connection, since this one may have died while it lay idle.
          fresh = true;
        } else {
          throw error instanceof LostConnection ? unavailable(error.cause) : error;
        }
      }
    }
  }

  /** One transaction. Throws StoreConflict, LostConnection, CommitUnknown, and errors of the database. */
  async #transact(planned: readonly PlannedWrite[], outboxRow: OutboxRow | undefined): Promise<void> {
    try {
      await this.#lent(async (client) => {
        const [begun, ...settled] = await Promise.allSettled([
          client.query("begin"),
          ...planned.map(({ query, recurs }) =>
            client.query(this.#statement(query.sql, query.parameters, recurs)),
          ),
        ]);
        if (begun.status === "rejected") throw asError(begun.reason);
        const failure = firstFailure(settled, planned);
        if (failure !== undefined) {
          if (failure instanceof StoreConflict || !isConnectionLoss(failure)) await client.query("rollback");
          throw failure;
        }
        try {
          const { command } = await client.query("commit");
          if (command !== "COMMIT") throw new Error("the database rolled a transaction back");
        } catch (error) {
          if (isConnectionLoss(error)) throw new LostConnection(error, true);
          throw error;
        }
      });
    } catch (error) {
      if (!(error instanceof LostConnection) || !error.committing) throw error;
      // What has no outbox row is safe to take for not made: whoever asked for it reads before trying again.
      if (outboxRow === undefined) throw error;
      await this.#outcome(outboxRow, error.cause);
    }
  }

  /** Resolves where a commit that was cut off was made after all; otherwise throws. */
  async #outcome(row: OutboxRow, cause: unknown): Promise<void> {
    const asking = this.#askOutcome(row);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, OUTCOME_MS_MAX, undefined);
    });
    const committed = await Promise.race([asking, late]).finally(() => {
      clearTimeout(timer);
    });
    if (committed === undefined) throw new CommitUnknown(asking, cause);
    if (!committed) throw unavailable(cause);
  }

  /** Asks until the database answers; false as well where the store is closed before. */
  async #askOutcome(row: OutboxRow): Promise<boolean> {
    const [insert] = planWrites(statements, [{ insert: "outbox", row }]);
    while (!this.#closed && insert !== undefined) {
      try {
        return await this.#lent((client) => hasRow(client, insert));
      } catch {
        await pause(OUTCOME_RETRY_MS);
      }
    }
    return false;
  }

  /** Lends a connection; one that broke is not used again, and what broke it is thrown as LostConnection. */
  async #lent<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    this.#assertOpen();
    if (performance.now() < this.#downUntil)
      throw unavailable(new Error("the database could not be reached just now"));
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      // Waiting long for a connection that others use says nothing about the database.
      if (this.#pool.idleCount + this.#pool.totalCount < this.#pool.options.max)
        this.#downUntil = performance.now() + DOWN_MS;
      throw unavailable(error);
    }
    try {
      const result = await work(client);
      client.release();
      return result;
    } catch (error) {
      const lost = error instanceof LostConnection || isLoss(error);
      client.release(lost);
      throw lost && !(error instanceof LostConnection) ? new LostConnection(error, false) : error;
    }
  }

  #statement(
    text: string,
    parameters: readonly unknown[],
    recurs: boolean,
  ): { text: string; values: unknown[]; name?: string } {
    const values = parameters as unknown[];
    let name = this.#names.get(text);
    if (name === undefined && recurs && this.#names.size < PREPARED_MAX) {
      name = `keystead_${++this.#lastName}`;
      this.#names.set(text, name);
    }
    return name === undefined ? { text, values } : { text, values, name };
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    try {
      return await work();
    } finally {
      this.#waiting--;
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new KeysteadError("stopping");
  }
}

/** A connection broke; `committing` says that it may have done so after the change was made. */
class LostConnection extends Error {
  readonly committing: boolean;

  constructor(cause: unknown, committing: boolean) {
    super("the connection to the database was lost", { cause });
    this.committing = committing;
  }
}

/** Whether an outbox row is there or about to be: writing it again waits for the transaction that may be writing it. */
async function hasRow(client: PoolClient, insert: PlannedWrite): Promise<boolean> {
  const { sql: text, parameters } = insert.query;
  await client.query("begin");
  try {
    await client.query({ text, values: parameters as unknown[] });
    await client.query("rollback");
    return false;
  } catch (error) {
    if (!isConnectionLoss(error)) await client.query("rollback");
    if (isUniqueViolation(error)) return true;
    throw error;
  }
}

/** What went wrong first; what follows it in a transaction only says that something did. */
function firstFailure(
  settled: readonly PromiseSettledResult<QueryResult>[],
  planned: readonly PlannedWrite[],
): Error | undefined {
  for (const [i, result] of settled.entries()) {
    const { table, rows } = planned[i] as PlannedWrite;
    if (result.status === "rejected")
      return isConflict(result.reason) ? new StoreConflict(table) : asError(result.reason);
    if (rows === "one" && result.value.rowCount !== 1) return new StoreConflict(table);
  }
  return undefined;
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("the database failed", { cause: thrown });
}

/** PostgreSQL's text holds neither NUL nor half a surrogate pair: no row has such a value. */
function isText(values: Readonly<Record<string, unknown>> | undefined): boolean {
  return Object.values(values ?? {}).every(
    (value) => typeof value !== "string" || (value.isWellFormed() && !value.includes("\0")),
  );
}

function isLoss(error: unknown): boolean {
  return !(error instanceof StoreConflict) && !(error instanceof KeysteadError) && isConnectionLoss(error);
}

function unavailable(cause: unknown): KeysteadError {
  if (cause instanceof KeysteadError) return cause;
  // A row that another transaction keeps for long is no failure of the database.
  return new KeysteadError(sqlState(cause) === "55P03" ? "conflict" : "storage_unavailable", { cause });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
