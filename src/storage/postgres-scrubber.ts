/**
 * Takes deleted rows out of PostgreSQL's tables: until a vacuum they stay in them, unseen.
 * A small table is written anew, so that nothing of a row is left in its file; a large one is vacuumed in place, where
 * the place of a row is free but keeps its bytes until another row needs it.
 * A vacuum passes over rows that somebody may still see. So each table waits until whatever was under way after its rows
 * were deleted has ended, by transaction numbers and never by times, which other roles' sessions do not show.
 * Invariant: asked for after this process deleted or replaced sealed records, and once after a start; no answer waits. A
 * table leaves the list only after a vacuum that nothing held back.
 */
import { Client } from "pg";
import { connectionConfig, type ConnectionOptions } from "./postgres-connection.ts";
import type { TableName } from "./schema.ts";
import type { Write } from "./store.ts";

/** Tables whose rows hold what is to be gone for good when they are deleted; a test asks this of every sealed table. */
export const scrubbedTables: ReadonlySet<TableName> = new Set([
  "key_versions",
  "secret_versions",
  "secrets",
  "credentials",
  "credential_values",
  "tokens",
  "passwords",
  "clients",
  "signups",
  "signing_keys",
  "barrier_keys",
]);
/** Columns whose values are to be gone when others take their place: what an older root key opens, a former password. */
const replaced: { readonly [T in TableName]?: string } = { barrier_keys: "wrapped", passwords: "sealed" };
/** A table of this size is written anew in well under a second. */
const REWRITTEN_BYTES_MAX = 64 * 1024 * 1024;
/** Whoever comes for the table meanwhile waits behind the vacuum, so that it must not wait long itself. */
const LOCK_WAIT = "300ms";
/** What is under way in a busy service has ended within this. */
const PASS_MS_MAX = 500;
const PASS_RETRY_MS = 50;

export class PostgresScrubber {
  readonly #connection: ConnectionOptions;
  /**
   * Tables that hold deleted rows, each with a transaction number above those that deleted them; undefined where none was
   * drawn yet. For what a stop left, all tables do.
   */
  #dirty = new Map<TableName, string | undefined>([...scrubbedTables].map((table) => [table, undefined]));

  constructor(connection: ConnectionOptions) {
    this.#connection = { ...connection, slow: true };
  }

  /** Told of every change that was committed, or may have been. */
  note(writes: readonly Write[]): void {
    for (const write of writes) {
      const table = emptied(write);
      if (table !== undefined && scrubbedTables.has(table)) this.#dirty.set(table, undefined);
    }
  }

  /** True where all that was deleted before was vacuumed; false where somebody may still see it, or a table is busy. */
  async scrub(): Promise<boolean> {
    if (this.#dirty.size === 0) return true;
    const left = this.#dirty;
    this.#dirty = new Map();
    const client = new Client(connectionConfig(this.#connection));
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.query(`set lock_timeout = '${LOCK_WAIT}'`);
      const drawn = await drawNumber(client);
      for (const [table, number = drawn] of left) left.set(table, number);
      const deadline = performance.now() + PASS_MS_MAX;
      for (const [table, number = drawn] of left) {
        if ((await passed(client, number, deadline)) && (await vacuum(client, table))) left.delete(table);
      }
      return left.size === 0;
    } finally {
      // What was deleted meanwhile needs a number of its own.
      for (const [table, number] of left) if (!this.#dirty.has(table)) this.#dirty.set(table, number);
      await client.end().catch(() => undefined);
    }
  }
}

/** The table in which a write leaves a row behind that is to be gone. */
function emptied(write: Write): TableName | undefined {
  if ("delete" in write) return write.delete;
  if ("insert" in write) return undefined;
  const [table, columns] = "update" in write ? [write.update, write.set] : [write.upsert, write.row];
  return (replaced[table] ?? "") in columns ? table : undefined;
}

/** A transaction number above every one that was given before, also to transactions that still run. */
async function drawNumber(client: Client): Promise<string> {
  const { rows } = await client.query<{ number: string }>("select pg_current_xact_id()::text as number");
  return rows[0]?.number ?? "0";
}

/**
 * Waits a little until nothing is open any more that may see rows deleted under a lower number: transactions that write
 * (anywhere on the server: snapshots count them all; prepared ones too), snapshots of this database and of replicas, and
 * what replication slots hold.
 */
async function passed(client: Client, number: string, deadline: number): Promise<boolean> {
  for (;;) {
    const { rows } = await client.query<{ passed: boolean }>({
      text: `select pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8
         and not exists (select from pg_stat_activity where pid <> pg_backend_pid()
           and (datname = current_database() or datname is null) and age(backend_xmin) > age($1::xid8::xid))
         and not exists (select from pg_replication_slots where age(xmin) > age($1::xid8::xid)) as passed`,
      values: [number],
    });
    if (rows[0]?.passed === true) return true;
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, PASS_RETRY_MS));
  }
}

async function vacuum(client: Client, table: TableName): Promise<boolean> {
  const { rows } = await client.query<{ bytes: number }>("select pg_table_size($1::regclass) as bytes", [
    table,
  ]);
  const rewrite = (rows[0]?.bytes ?? Infinity) <= REWRITTEN_BYTES_MAX;
  try {
    await client.query(`vacuum (${rewrite ? "full, " : ""}analyze) ${table}`);
    return true;
  } catch {
    // Somebody has the table: in the next round then.
    return false;
  }
}
