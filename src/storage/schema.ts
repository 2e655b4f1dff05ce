/**
 * The tables, as types for Kysely and as migrations.
 * Invariant: what gates use lies inside a `sealed` column; every other column only finds, orders or joins rows, and is
 * checked against the sealed record when it is opened. Times are ISO 8601 text in UTC. Migrations are only ever added.
 */
import { sql, type Kysely } from "kysely";

/** Raised with a migration that an older program could not read. */
export const SCHEMA_VERSION = 2;

export interface Schema {
  /** One row: which schema these tables have. */
  schema_version: { version: number };
  barrier_keys: { version: number; wrapped: Uint8Array; created_at: string };
  projects: {
    id: string;
    name: string;
    revision: number;
    created_at: string;
    /** As in `keys`. */
    due_at: string | null;
    sealed: Uint8Array;
  };
  keys: {
    id: string;
    project_id: string;
    name: string;
    revision: number;
    created_at: string;
    /** When a job has something to do here (a rotation, a destruction), to find it by; the record says what, and when. */
    due_at: string | null;
    sealed: Uint8Array;
  };
  key_versions: {
    key_id: string;
    version: number;
    created_at: string;
    /** The material. */
    sealed: Uint8Array;
    /** How many nonces are reserved; under its own revision, since it changes without the key changing. */
    usage_sealed: Uint8Array;
    usage_revision: number;
  };
  secrets: {
    id: string;
    project_id: string;
    name: string;
    revision: number;
    created_at: string;
    sealed: Uint8Array;
  };
  secret_versions: { secret_id: string; version: number; created_at: string; sealed: Uint8Array };
  accounts: { id: string; name: string; revision: number; created_at: string; sealed: Uint8Array };
  tokens: {
    id: string;
    account_id: string;
    /** SHA-256 of the whole token. */
    hash: Uint8Array;
    revision: number;
    created_at: string;
    expires_at: string;
    sealed: Uint8Array;
  };
  jwt_revocations: { subject_hash: Uint8Array; revision: number; sealed: Uint8Array };
  /** Mutations that came with an idempotency key, under a keyed hash of who sent what; kept for a day. */
  idempotency: { id: Uint8Array; created_at: string; sealed: Uint8Array };
  /** Which node does a job that only one may do at a time. */
  leases: { name: string; holder: string; revision: number; expires_at: string };
  /** Audit entries whose change is committed and which may not stand in the log yet; `entry` is sealed, in base64. */
  outbox: { id: string; node: string; after_sequence: number; entry: string };
  /** The highest audit sequence that a node is known to have written. */
  audit_heads: { node: string; sequence: number };
}

export type TableName = keyof Schema;

const blob = sql`blob`;

/** Brings an empty or older database to SCHEMA_VERSION, inside the caller's transaction. */
export async function migrate(db: Kysely<Schema>, from: number): Promise<void> {
  if (from < 1) await createFirstTables(db);
  if (from < 2) await addJobsAndIdempotency(db);
}

async function addJobsAndIdempotency(db: Kysely<Schema>): Promise<void> {
  const { schema } = db;
  for (const table of ["projects", "keys"] as const) {
    await schema.alterTable(table).addColumn("due_at", "text").execute();
    await schema.createIndex(`${table}_due`).on(table).column("due_at").execute();
  }
  await schema
    .createTable("idempotency")
    .addColumn("id", blob, (c) => c.primaryKey())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("idempotency_created").on("idempotency").column("created_at").execute();
  await schema
    .createTable("leases")
    .addColumn("name", "text", (c) => c.primaryKey())
    .addColumn("holder", "text", (c) => c.notNull())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("expires_at", "text", (c) => c.notNull())
    .execute();
  await sql`update schema_version set version = 2`.execute(db);
}

async function createFirstTables(db: Kysely<Schema>): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("schema_version")
    .addColumn("version", "integer", (c) => c.notNull())
    .execute();
  await sql`insert into schema_version (version) values (1)`.execute(db);
  await schema
    .createTable("barrier_keys")
    .addColumn("version", "integer", (c) => c.primaryKey())
    .addColumn("wrapped", blob, (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .execute();
  for (const table of ["projects", "accounts"] as const) {
    await schema
      .createTable(table)
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("name", "text", (c) => c.notNull().unique())
      .addColumn("revision", "integer", (c) => c.notNull())
      .addColumn("created_at", "text", (c) => c.notNull())
      .addColumn("sealed", blob, (c) => c.notNull())
      .execute();
  }
  for (const table of ["keys", "secrets"] as const) {
    await schema
      .createTable(table)
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("project_id", "text", (c) => c.notNull().references("projects.id"))
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("revision", "integer", (c) => c.notNull())
      .addColumn("created_at", "text", (c) => c.notNull())
      .addColumn("sealed", blob, (c) => c.notNull())
      .addUniqueConstraint(`${table}_name`, ["project_id", "name"])
      .execute();
  }
  await schema
    .createTable("key_versions")
    .addColumn("key_id", "text", (c) => c.notNull().references("keys.id"))
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .addColumn("usage_sealed", blob, (c) => c.notNull())
    .addColumn("usage_revision", "integer", (c) => c.notNull())
    .addPrimaryKeyConstraint("key_versions_key", ["key_id", "version"])
    .execute();
  await schema
    .createTable("secret_versions")
    .addColumn("secret_id", "text", (c) => c.notNull().references("secrets.id"))
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .addPrimaryKeyConstraint("secret_versions_key", ["secret_id", "version"])
    .execute();
  await schema
    .createTable("tokens")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("account_id", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("hash", blob, (c) => c.notNull().unique())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("expires_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("tokens_account").on("tokens").column("account_id").execute();
  await schema
    .createTable("jwt_revocations")
    .addColumn("subject_hash", blob, (c) => c.primaryKey())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema
    .createTable("outbox")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("node", "text", (c) => c.notNull())
    .addColumn("after_sequence", "integer", (c) => c.notNull())
    .addColumn("entry", "text", (c) => c.notNull())
    .execute();
  await schema
    .createTable("audit_heads")
    .addColumn("node", "text", (c) => c.primaryKey())
    .addColumn("sequence", "integer", (c) => c.notNull())
    .execute();
}
