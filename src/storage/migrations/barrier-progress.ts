/** How far the records are rewrapped that an older barrier key sealed. */
import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";

export async function addBarrierProgress(db: Kysely<Schema>): Promise<void> {
  for (const [column, type] of [
    ["records_left", "integer"],
    ["unused_since", "text"],
  ] as const) {
    await db.schema.alterTable("barrier_keys").addColumn(column, type).execute();
  }
}
