/** Passwords, signups, sessions, and the keys that sign their tokens. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";
import type { ColumnTypes } from "./column-types.ts";

export async function addLogins(db: Kysely<Schema>, { blob }: ColumnTypes): Promise<void> {
  const { schema } = db;
  await schema
    .createTable("passwords")
    .addColumn("account_id", "text", (c) => c.primaryKey())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema
    .createTable("signups")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("expires_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("signups_name").on("signups").column("name").execute();
  await schema.createIndex("signups_expires").on("signups").column("expires_at").execute();
  await schema
    .createTable("sessions")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("account_id", "text", (c) => c.notNull())
    .addColumn("family_hash", blob, (c) => c.notNull().unique())
    .addColumn("revision", "integer", (c) => c.notNull())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("expires_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
  await schema.createIndex("sessions_account").on("sessions").column("account_id").execute();
  await schema.createIndex("sessions_expires").on("sessions").column("expires_at").execute();
  await schema
    .createTable("signing_keys")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("created_at", "text", (c) => c.notNull())
    .addColumn("sealed", blob, (c) => c.notNull())
    .execute();
}
