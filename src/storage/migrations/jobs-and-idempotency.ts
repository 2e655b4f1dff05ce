/** What is due and when, mutations remembered under their idempotency keys, and the leases of jobs. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function addJobsAndIdempotency(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
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
}
