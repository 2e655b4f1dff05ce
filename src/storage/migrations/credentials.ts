/** Credentials that are kept for their holders: what each is found by, and its value. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function addCredentials(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("credentials")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("project_id", "text", (c) => c.notNull().references("projects.id"))
    .addColumn("record_hash", blob, (c) => c.notNull().unique())
    .addColumn("given_hash", blob)
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("credentials_project").on("credentials").columns(["project_id", "id"]).execute();
  await schema.createIndex("credentials_given").on("credentials").column("given_hash").execute();
  await schema
    .createTable("credential_values")
    .addColumn("credential_id", "text", (c) => c.primaryKey().references("credentials.id"))
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
}
