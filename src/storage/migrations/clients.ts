/** Clients: service accounts under names that no column says, each with a number. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function addClients(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("clients")
    .addColumn("number", "integer", (c) => c.primaryKey())
    .addColumn("name_hash", blob, (c) => c.notNull().unique())
    .addColumn("account_id", "text", (c) => c.notNull().unique().references("accounts.id"))
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema
    .createTable("counters")
    .addColumn("name", "text", (c) => c.primaryKey())
    .addColumn("value", "integer", (c) => c.notNull())
    .execute();
  await db.insertInto("counters").values({ name: "clients", value: 0 }).execute();
}
