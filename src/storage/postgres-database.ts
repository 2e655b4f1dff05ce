/**
 * The way to a PostgreSQL database at a start: is it there, is it new enough, is it Keystead's, has this node its name
 * for itself. Then its tables are made or brought up to date.
 * Everything lies in the schema `keystead`; what else the database holds is neither read nor touched.
 * Invariant: nothing is written before `open`; nodes that start at once do so one after the other.
 */
import { Client } from "pg";
import { sql, type Kysely } from "kysely";
import { StartRefused } from "../start-refused.ts";
import type { WrappedBarrierKey } from "./data-path.ts";
import type { DatabaseAddress } from "./database-url.ts";
import type { Database } from "./database.ts";
import { migrate, SCHEMA_VERSION } from "./migrations.ts";
import { postgresTypes } from "./migrations/column-types.ts";
import { NodeLock, releaseStartLock, takeStartLock } from "./node-lock.ts";
import {
  connectionConfig,
  DATABASE_SCHEMA,
  errorName,
  hasSettings,
  kyselyOver,
  sqlState,
  type ConnectionOptions,
} from "./postgres-connection.ts";
import { PostgresStore } from "./postgres.ts";
import type { Schema } from "./schema.ts";

const VERSION_MIN = 140_000;
const SETTING = "KEYSTEAD_DATABASE_URL";

export interface PostgresSettings {
  readonly address: DatabaseAddress;
  /** Certificates in PEM. */
  readonly ca: string | undefined;
  readonly connectionsMax: number;
  readonly node: string;
  /** Random text that no other start of any node used. */
  readonly bootId: string;
}

/** Reaches a database, and takes the node's name in it. Throws StartRefused, with nothing written. */
export async function reachPostgres(settings: PostgresSettings): Promise<Database> {
  const { address, ca, node, bootId, connectionsMax } = settings;
  const connection: ConnectionOptions = { address, ca, applicationName: `keystead/${node}` };
  // Told by the start, so that a node can tell its own lost connection from another process.
  const own = { ...connection, applicationName: `keystead-node/${bootId}` };
  const starting = await connect({ ...connection, slow: true });
  let lock: NodeLock | undefined;
  try {
    await refuseOld(starting);
    // What would make tables in another schema, and wait for ever for others.
    if (!(await hasSettings(starting))) throw new StartRefused(`${SETTING}: ${reasons["08P01"]}`);
    await takeStartLock(starting).catch((error: unknown) => {
      if (sqlState(error) !== LOCK_NOT_HAD) throw error;
      throw new StartRefused(
        `${SETTING}: another node has been starting for a minute and does not get on; look at it`,
      );
    });
    lock = await takeNode(own, node);
    const barrierKeys = await probe(starting);
    const held = lock;
    const release = async (): Promise<void> => {
      await starting.end().catch(() => undefined);
      await held.release();
    };
    return {
      barrierKeys,
      async open(onFatal) {
        held.watch(() => {
          onFatal(new Error(`another process took the node's name ${node} (KEYSTEAD_NODE)`));
        });
        try {
          await buildTables(starting);
        } catch (error) {
          throw refusal(error, "the tables cannot be made");
        }
        return new PostgresStore({ connection, connectionsMax, lock: held });
      },
      async ready() {
        await releaseStartLock(starting);
        await starting.end();
      },
      release,
    };
  } catch (error) {
    await starting.end().catch(() => undefined);
    await lock?.release();
    throw error instanceof StartRefused ? error : refusal(error, "the database failed");
  }
}

/** PostgreSQL's code for a lock that was waited for too long. */
const LOCK_NOT_HAD = "55P03";

async function connect(options: ConnectionOptions): Promise<Client> {
  const client = new Client(connectionConfig(options));
  // Whoever uses it next is told.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw refusal(error, "the database does not answer");
  }
}

const reasons = {
  "28P01": "the database refuses the user or the password",
  "28000": "the database refuses the user or the password",
  "08P01":
    "the settings of a connection (its startup parameter options) do not reach the database; connect without a pooler, or through one that passes them on",
  "3D000": "there is no database of this name",
  "42501": "the user may not use or make the schema keystead in this database",
  "53300": "the database has no connection left",
} as const;

function refusal(error: unknown, otherwise: string): StartRefused {
  if (error instanceof StartRefused) return error;
  const known: Readonly<Record<string, string>> = reasons;
  const reason = known[sqlState(error) ?? ""] ?? `${otherwise} (${errorName(error)})`;
  return new StartRefused(`${SETTING}: ${reason}`);
}

async function refuseOld(client: Client): Promise<void> {
  const { rows } = await client.query<{ number: number; shown: string }>(
    "select current_setting('server_version_num')::int as number, current_setting('server_version') as shown",
  );
  if ((rows[0]?.number ?? 0) < VERSION_MIN)
    throw new StartRefused(`${SETTING}: PostgreSQL ${rows[0]?.shown ?? ""} is too old; it takes 14 or later`);
}

async function takeNode(connection: ConnectionOptions, node: string): Promise<NodeLock> {
  const lock = new NodeLock({ connection, node, onLost: () => undefined });
  const client = await connect(connection);
  if (await lock.take(client)) return lock;
  await client.end();
  throw new StartRefused(
    `KEYSTEAD_NODE: another Keystead process named ${node} uses this database; give each its own name`,
  );
}

/** The wrapped barrier keys of an existing database; none where it is new. */
async function probe(client: Client): Promise<WrappedBarrierKey[]> {
  const { rows } = await client.query<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = $1",
    [DATABASE_SCHEMA],
  );
  if (rows.length === 0) return [];
  const names = new Set(rows.map(({ name }) => name));
  if (!names.has("schema_version") || !names.has("barrier_keys"))
    throw new StartRefused(`${SETTING}: the schema keystead of this database holds another program's tables`);
  const version = await schemaVersion(client);
  if (version > SCHEMA_VERSION)
    throw new StartRefused(`${SETTING}: the database was written by a newer Keystead (schema ${version})`);
  return (
    await client.query<WrappedBarrierKey>(
      "select version, wrapped, created_at from barrier_keys order by version",
    )
  ).rows;
}

async function schemaVersion(client: Client): Promise<number> {
  const { rows } = await client.query<{ version: number }>("select version from schema_version");
  return rows[0]?.version ?? 0;
}

/** Under the start lock: two nodes never build at once. */
async function buildTables(client: Client): Promise<void> {
  const db = kyselyOver(client);
  const { rows } = await client.query("select 1 from pg_namespace where nspname = $1", [DATABASE_SCHEMA]);
  if (rows.length === 0) await client.query(`create schema ${DATABASE_SCHEMA}`);
  const { rows: tables } = await client.query("select to_regclass('keystead.schema_version') as found");
  const isNew = (tables[0] as { found: unknown } | undefined)?.found === null;
  const from = isNew ? 0 : await schemaVersion(client);
  if (from >= SCHEMA_VERSION) return;
  await client.query("begin");
  try {
    await migrate(db, from, postgresTypes);
    await alignColumns(db);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/**
 * Makes columns mean what they mean in SQLite: text is compared and ordered by its bytes, integers have 64 bits.
 * Done here for all of them, so that no step of the schema can forget it.
 */
async function alignColumns(db: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ table: string; column: string; type: string }>`
    select table_name as table, column_name as column, data_type as type from information_schema.columns
    where table_schema = ${DATABASE_SCHEMA}
    and (data_type = 'integer' or (data_type = 'text' and collation_name is distinct from 'C'))`.execute(db);
  for (const { table, column, type } of rows) {
    const wanted = type === "text" ? sql`text collate "C"` : sql`bigint`;
    await sql`alter table ${sql.table(table)} alter column ${sql.ref(column)} type ${wanted}`.execute(db);
  }
}
