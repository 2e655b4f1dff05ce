/**
 * The store's SQL, written once for every database, on Kysely.
 * Invariant: values travel as bound parameters only; column and table names come from the schema's own literals.
 */
import { sql, type Kysely } from "kysely";
import type { Schema, TableName } from "./schema.ts";
import { StoreConflict, type Select, type Write } from "./store.ts";

/** Kysely seen without column types: the descriptions were typed where they were made. */
type Loose = Kysely<Record<string, Record<string, unknown>>>;

/** Runs one query. */
export async function selectRows<T extends TableName>(
  db: Kysely<Schema>,
  query: Select<T>,
): Promise<Schema[T][]> {
  let statement = (db as unknown as Loose).selectFrom(query.from).selectAll();
  for (const [column, value] of Object.entries(query.where ?? {}))
    statement = statement.where(column, "=", value);
  if (query.orderBy !== undefined) {
    if (query.after !== undefined)
      statement = statement.where(sql<boolean>`${sql.ref(query.orderBy)} > ${query.after}`);
    statement = statement.orderBy(query.orderBy);
  }
  if (query.limit !== undefined) statement = statement.limit(query.limit);
  return (await statement.execute()) as unknown as Schema[T][];
}

/**
 * Applies writes in order, inside the caller's transaction. Throws StoreConflict where one does not apply.
 * @param isUniqueViolation tells the database's own error for a taken key
 */
export async function applyWrites(
  db: Kysely<Schema>,
  writes: readonly Write[],
  isUniqueViolation: (error: unknown) => boolean,
): Promise<void> {
  const loose = db as unknown as Loose;
  for (const write of writes) {
    if ("insert" in write) {
      try {
        await loose
          .insertInto(write.insert)
          .values({ ...write.row })
          .execute();
      } catch (error) {
        if (isUniqueViolation(error)) throw new StoreConflict(write.insert);
        throw error;
      }
    } else if ("update" in write) {
      let statement = loose.updateTable(write.update).set({ ...write.set });
      for (const [column, value] of Object.entries(write.where))
        statement = statement.where(column, "=", value);
      let updated: bigint;
      try {
        updated = (await statement.executeTakeFirstOrThrow()).numUpdatedRows;
      } catch (error) {
        if (isUniqueViolation(error)) throw new StoreConflict(write.update);
        throw error;
      }
      if (updated !== 1n) throw new StoreConflict(write.update);
    } else if ("delete" in write) {
      let statement = loose.deleteFrom(write.delete);
      for (const [column, value] of Object.entries(write.where))
        statement = statement.where(column, "=", value);
      const { numDeletedRows } = await statement.executeTakeFirstOrThrow();
      if (write.expect === "one" && numDeletedRows !== 1n) throw new StoreConflict(write.delete);
    } else {
      await loose
        .insertInto(write.upsert)
        .values({ ...write.row })
        .onConflict((conflict) => conflict.column(write.conflict).doUpdateSet({ ...write.row }))
        .execute();
    }
  }
}
