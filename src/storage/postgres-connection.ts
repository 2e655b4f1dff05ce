/**
 * Connections to PostgreSQL: how they are made, and what their errors mean.
 * Every connection has its own limits, so that a database that does not answer makes nobody wait for long, and sees only
 * the schema `keystead`.
 * Invariant: nothing here reads the environment or a file; no text that comes from here holds the password.
 */
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from "kysely";
import { DatabaseError, types, type Client, type ClientConfig } from "pg";
import type { DatabaseAddress } from "./database-url.ts";
import type { Schema } from "./schema.ts";

/** The schema that holds all of Keystead's tables. */
export const DATABASE_SCHEMA = "keystead";
const CONNECT_MS_MAX = 3000;
const STATEMENT_MS_MAX = 4000;
/** The database cancels first; this is for one that has gone. */
const ANSWER_MS_MAX = 5000;
const LOCK_MS_MAX = 1500;
const KEEP_ALIVE_SECONDS = 10;

export interface ConnectionOptions {
  readonly address: DatabaseAddress;
  /** Certificates (PEM) of who may sign the database's own; undefined takes the platform's. */
  readonly ca: string | undefined;
  /** What the database shows of the connection, in pg_stat_activity. */
  readonly applicationName: string;
  /** For work that takes its time: building tables, vacuuming. */
  readonly slow?: boolean;
}

/** What `pg` takes for a connection. */
export function connectionConfig({ address, ca, applicationName, slow }: ConnectionOptions): ClientConfig {
  const { host, port, user, password, database } = address;
  const settings = {
    search_path: DATABASE_SCHEMA,
    statement_timeout: slow === true ? 0 : STATEMENT_MS_MAX,
    lock_timeout: slow === true ? 0 : LOCK_MS_MAX,
    idle_in_transaction_session_timeout: ANSWER_MS_MAX,
    idle_session_timeout: 0,
    default_transaction_isolation: "read\\ committed",
    default_transaction_read_only: "off",
    tcp_keepalives_idle: KEEP_ALIVE_SECONDS,
    tcp_keepalives_interval: KEEP_ALIVE_SECONDS,
    tcp_keepalives_count: 3,
  };
  return {
    host,
    port,
    user,
    database,
    // A function, since an empty password would make `pg` look for one in the environment.
    password: () => password,
    ssl: tlsOptions(address, ca),
    application_name: applicationName.slice(0, 63),
    connectionTimeoutMillis: CONNECT_MS_MAX,
    ...(slow === true ? {} : { query_timeout: ANSWER_MS_MAX }),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_SECONDS * 1000,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    types: { getTypeParser },
  };
}

function tlsOptions({ tls, host }: DatabaseAddress, ca: string | undefined): ClientConfig["ssl"] {
  if (tls === "none") return false;
  if (tls === "unverified") return { rejectUnauthorized: false };
  return {
    rejectUnauthorized: true,
    // By the host that was configured: `pg` starts TLS on a socket of its own, which knows no name.
    checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
    ...(ca === undefined ? {} : { ca }),
  };
}

type ValueParser = (text: string) => unknown;

/** Integers of 64 bits as numbers, everything else as `pg` reads it. */
function getTypeParser(...asked: Parameters<typeof types.getTypeParser>): ValueParser {
  return asked[0] === types.builtins.INT8 ? parseInteger : (types.getTypeParser(...asked) as ValueParser);
}

/** None of our integers comes near 2⁵³. */
function parseInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error("an integer of the database is too large");
  return value;
}

/** What a connection shows where it has the settings above. */
const APPLIED = { search_path: DATABASE_SCHEMA, idle_in_transaction_session_timeout: "5s" };

/** True where the settings of a connection count: what stands between may drop them. */
export async function hasSettings(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    "select name, current_setting(name) as setting from unnest($1::text[]) as name",
    [Object.keys(APPLIED)],
  );
  const shown: Readonly<Record<string, string>> = APPLIED;
  return rows.every(({ name, setting }) => setting === shown[name]);
}

/** Kysely to write statements with, without a connection. */
export const statements = new Kysely<Schema>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

/** Kysely over one open connection, which stays its owner's to close. */
export function kyselyOver(client: Client): Kysely<Schema> {
  const lent = { query: client.query.bind(client), release: () => undefined };
  const pool = { connect: () => Promise.resolve(lent), end: () => Promise.resolve() };
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/** The database's own code of an error (SQLSTATE); undefined where it did not come from the database. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** The code by which an operator can look the error up; never its text, which may repeat what was sent. */
export function errorName(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const { code } = error as NodeJS.ErrnoException;
  return code ?? (isTimeout(error) ? "timeout" : "connection lost");
}

/** True where the database did not answer in time: a second try would only wait as long again. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && /timeout/i.test(error.message);
}

/** True for a taken primary key or unique column. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === "23505";
}

/** True for a taken key, and for a row that refers to none or is referred to. */
export function isConflict(error: unknown): boolean {
  return isUniqueViolation(error) || sqlState(error) === "23503";
}

/** True where two transactions were in each other's way (a serialization failure, a deadlock, a row held for long), so that a second try may succeed. */
export function isCollision(error: unknown): boolean {
  return ["40001", "40P01", "55P03"].includes(sqlState(error) ?? "");
}

/** True where the columns changed under a prepared statement, as when a newer node was started: a new one is needed. */
export function isPlanOutdated(error: unknown): boolean {
  return sqlState(error) === "0A000";
}

/**
 * True where the connection is of no more use: it broke, or it leads to a server that stops, starts, or only reads.
 * Everything that the database did not say itself counts: a time that ran out, a socket that closed.
 */
export function isConnectionLoss(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined || /^(08|57P|25006|53300|58)/.test(state);
}
