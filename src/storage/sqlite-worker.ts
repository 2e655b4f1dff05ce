/**
 * The thread that owns the SQLite connection. It takes calls as messages and answers each by its number.
 * Group commit: all calls that wait when a turn begins run in one transaction, each change under its own savepoint, so
 * that one disk flush serves them all; every answer waits for that commit. What fails for itself spares its neighbours.
 * Invariant: an answer to a change is posted only after COMMIT returned; a failed flush ends the service.
 */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { migrate, SCHEMA_VERSION } from "./migrations.ts";
import { sqliteTypes } from "./migrations/column-types.ts";
import type { TableName } from "./schema.ts";
import { applyWrites, selectRows } from "./sql-store.ts";
import { APPLICATION_ID } from "./data-path.ts";
import { isSqliteConflict, isSqliteFatal, kyselyOver } from "./sqlite-dialect.ts";
import { StoreConflict, type Select, type Write } from "./store.ts";

export interface WorkerCall {
  readonly id: number;
  readonly call:
    | { readonly select: Select<TableName> }
    | { readonly commit: readonly Write[] }
    | { readonly scrub: true }
    | { readonly close: true };
}

export type WorkerAnswer =
  | { readonly id: number; readonly ok: unknown }
  | { readonly id: number; readonly conflict: string }
  /** `fatal`: the disk failed in a way that leaves open what was written. */
  | { readonly id: number; readonly failed: string; readonly fatal: boolean };

/** How long a change waits for another program that holds the database. */
const BUSY_MS = 5000;

const port = parentPort;
if (port === null) throw new Error("sqlite-worker.ts runs as a worker thread only");

const { file } = workerData as { file: string };
const database = new DatabaseSync(file);
database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on");
database.exec(
  `pragma busy_timeout = ${BUSY_MS}; pragma wal_autocheckpoint = 2000; pragma temp_store = memory`,
);
// What is deleted is overwritten with zeros: a destroyed key's material must not stay in free pages.
database.exec("pragma secure_delete = on");
const db = kyselyOver(database);
await prepareSchema();
// What a process that died removed last may still lie in the log that it left.
database.exec("pragma wal_checkpoint(truncate)");

let waiting: WorkerCall[] = [];
let running = false;
port.on("message", (call: WorkerCall) => {
  waiting.push(call);
  if (!running) {
    running = true;
    setImmediate(() => void runTurns());
  }
});
port.postMessage({ id: 0, ok: "open" } satisfies WorkerAnswer);

async function runTurns(): Promise<void> {
  while (waiting.length > 0) {
    const calls = waiting;
    waiting = [];
    for (const answer of await runTurn(calls.filter(({ call }) => !("scrub" in call))))
      port?.postMessage(answer);
    for (const { id, call } of calls) if ("scrub" in call) port?.postMessage(scrub(id));
    // Lets the messages that came in meanwhile be taken before the next turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  running = false;
}

async function runTurn(calls: readonly WorkerCall[]): Promise<WorkerAnswer[]> {
  const answers: WorkerAnswer[] = [];
  const changes = calls.some(({ call }) => "commit" in call);
  try {
    if (changes) database.exec("begin immediate");
    for (const { id, call } of calls) answers.push(await runCall(id, call));
    if (changes) database.exec("commit");
    return answers;
  } catch (error) {
    try {
      database.exec("rollback");
    } catch {
      // SQLite rolled back by itself.
    }
    return calls.map(({ id }) => failure(id, error));
  }
}

/**
 * Moves the write-ahead log into the database and empties it: it holds older copies of pages. Without waiting for others
 * that read the database: all other calls would wait as well, and the job asks again.
 */
function scrub(id: number): WorkerAnswer {
  try {
    database.exec("pragma busy_timeout = 0");
    const row = database.prepare("pragma wal_checkpoint(truncate)").get();
    return { id, ok: row?.["busy"] === 0 };
  } catch (error) {
    return failure(id, error);
  } finally {
    database.exec(`pragma busy_timeout = ${BUSY_MS}`);
  }
}

async function runCall(id: number, call: WorkerCall["call"]): Promise<WorkerAnswer> {
  if ("scrub" in call) throw new Error("no part of a transaction");
  if ("close" in call) {
    setImmediate(() => {
      database.close();
      port?.close();
    });
    return { id, ok: undefined };
  }
  if ("commit" in call) return change(id, call.commit);
  try {
    return { id, ok: await selectRows(db, call.select) };
  } catch (error) {
    return failure(id, error);
  }
}

async function change(id: number, writes: readonly Write[]): Promise<WorkerAnswer> {
  database.exec("savepoint change");
  try {
    await applyWrites(db, writes, isSqliteConflict);
    database.exec("release change");
    return { id, ok: undefined };
  } catch (error) {
    // Where SQLite ended the transaction or the disk failed, it concerns the whole turn; all else this change alone.
    if (!database.isTransaction || isSqliteFatal(error)) throw error;
    database.exec("rollback to change; release change");
    return error instanceof StoreConflict ? { id, conflict: error.table } : failure(id, error);
  }
}

function failure(id: number, error: unknown): WorkerAnswer {
  const text = error instanceof Error ? error.message : String(error);
  return { id, failed: text, fatal: isSqliteFatal(error) };
}

async function prepareSchema(): Promise<void> {
  const version = Number(database.prepare("pragma user_version").get()?.["user_version"] ?? 0);
  if (version >= SCHEMA_VERSION) return;
  database.exec("begin immediate");
  await migrate(db, version, sqliteTypes);
  database.exec(`pragma application_id = ${APPLICATION_ID}; pragma user_version = ${SCHEMA_VERSION}; commit`);
}
