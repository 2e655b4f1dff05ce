/** Further names of keys, and the secrets of the service that such names are hashed under. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function addKeyAliases(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("service_secrets")
    .addColumn("name", "text", (c) => c.primaryKey())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema
    .createTable("key_aliases")
    .addColumn("id", blob, (c) => c.primaryKey())
    .addColumn("project_id", "text", (c) => c.notNull())
    .addColumn("key_id", "text", (c) => c.notNull().references("keys.id"))
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("key_aliases_key").on("key_aliases").column("key_id").execute();
}
