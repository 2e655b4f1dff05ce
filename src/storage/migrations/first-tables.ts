/** The first tables: projects, keys, secrets, accounts, tokens, and the audit log's outbox. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function createFirstTables(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("schema_version")
    .addColumn("version", "integer", (c) => c.notNull())
    .execute();
  await db.insertInto("schema_version").values({ version: 0 }).execute();
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
