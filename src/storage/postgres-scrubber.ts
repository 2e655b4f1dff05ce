/**
 * Takes deleted rows out of PostgreSQL's tables: until a vacuum they stay in them, unseen.
 * A small table is written anew, so that nothing of a row is left in its file; a large one is vacuumed in place, where
 * the place of a row is free but keeps its bytes until another row needs it.
 * Invariant: asked for after this process deleted or replaced sealed records, and once after a start; no answer waits.
 */
import { Client } from "pg";
import { connectionConfig, type ConnectionOptions } from "./postgres-connection.ts";
import type { TableName } from "./schema.ts";
import type { Write } from "./store.ts";

/** Tables whose rows hold what is to be gone for good when they are deleted. */
const scrubbed = [
  "key_versions",
  "secret_versions",
  "secrets",
  "tokens",
  "passwords",
  "signing_keys",
  "barrier_keys",
] as const satisfies TableName[];
/** Columns whose values are to be gone when others take their place: what an older root key opens, a former password. */
const replaced: { readonly [T in TableName]?: string } = { barrier_keys: "wrapped", passwords: "sealed" };
type Scrubbed = (typeof scrubbed)[number];
/** A table of this size is written anew in well under a second. */
const REWRITTEN_BYTES_MAX = 64 * 1024 * 1024;
const LOCK_WAIT = "1s";

export class PostgresScrubber {
  readonly #connection: ConnectionOptions;
  /** Since when each table holds deleted rows. For what a stop left, all of them do. */
  #dirty = new Map<Scrubbed, number>(scrubbed.map((table) => [table, 0]));

  constructor(connection: ConnectionOptions) {
    this.#connection = { ...connection, slow: true };
  }

  /** Told of every change that was committed. */
  note(writes: readonly Write[]): void {
    for (const write of writes) {
      const table = scrubbed.find((name) => name === emptied(write));
      if (table !== undefined && !this.#dirty.has(table)) this.#dirty.set(table, Date.now());
    }
  }

  /** True where no deleted row is left; false where another transaction may still see one, or a table is busy. */
  async scrub(): Promise<boolean> {
    if (this.#dirty.size === 0) return true;
    const tables = [...this.#dirty.keys()];
    this.#dirty = new Map();
    const client = new Client(connectionConfig(this.#connection));
    client.on("error", () => undefined);
    const left = new Set<Scrubbed>(tables);
    try {
      await client.connect();
      await client.query(`set lock_timeout = '${LOCK_WAIT}'`);
      for (const table of tables) {
        if (!(await isSeen(client)) && (await vacuum(client, table))) left.delete(table);
      }
      return left.size === 0;
    } finally {
      for (const table of left) this.#dirty.set(table, 0);
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

/** Whether a transaction is open that may see rows which were deleted since it began. */
async function isSeen(client: Client): Promise<boolean> {
  const { rows } = await client.query(
    `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
     and backend_xmin is not null and xact_start < now() - interval '1 second' limit 1`,
  );
  return rows.length > 0;
}

async function vacuum(client: Client, table: Scrubbed): Promise<boolean> {
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
