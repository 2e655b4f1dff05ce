/**
 * The steps from an empty database to today's tables.
 * Invariant: a step is only ever added, at the end, and never changed once released; each runs once, in order, and the
 * version a database states is the number of steps it has taken.
 */
import type { Kysely } from "kysely";
import { addBarrierProgress } from "./migrations/barrier-progress.ts";
import type { ColumnTypes } from "./migrations/column-types.ts";
import { addCredentials } from "./migrations/credentials.ts";
import { createFirstTables } from "./migrations/first-tables.ts";
import { addClients } from "./migrations/clients.ts";
import { addJobsAndIdempotency } from "./migrations/jobs-and-idempotency.ts";
import { addKeyAliases } from "./migrations/key-aliases.ts";
import { addLogins } from "./migrations/logins.ts";
import { addRolesAndIssuers } from "./migrations/roles.ts";
import type { Schema } from "./schema.ts";

type Migration = (db: Kysely<Schema>, types: ColumnTypes) => Promise<void>;

const migrations: readonly Migration[] = [
  createFirstTables,
  addJobsAndIdempotency,
  addKeyAliases,
  addLogins,
  addRolesAndIssuers,
  addBarrierProgress,
  addCredentials,
  addClients,
];

/** What a database of this program states; an older program refuses it. */
export const SCHEMA_VERSION = migrations.length;

/**
 * Brings an empty or older database to SCHEMA_VERSION, inside the caller's transaction.
 * @param to stops at an older version, for tests
 */
export async function migrate(
  db: Kysely<Schema>,
  from: number,
  types: ColumnTypes,
  to = SCHEMA_VERSION,
): Promise<void> {
  for (const step of migrations.slice(from, to)) await step(db, types);
  if (from < to) await db.updateTable("schema_version").set({ version: to }).execute();
}
