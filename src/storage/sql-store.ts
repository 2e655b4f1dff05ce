/**
 * The store's SQL, written once for every database, on Kysely.
 * Invariant: values travel as bound parameters only; column and table names come from the schema's own literals.
 */
import { sql, type CompiledQuery, type Kysely } from "kysely";
import type { Schema, TableName } from "./schema.ts";
import { StoreConflict, type Select, type Write } from "./store.ts";

/** Kysely seen without column types: the descriptions were typed where they were made. */
type Loose = Kysely<Record<string, Record<string, unknown>>>;

/** Rows that one statement deletes, where many are named. */
const DELETE_ROWS_MAX = 500;

/** One write as a statement. */
export interface PlannedWrite {
  readonly query: CompiledQuery;
  readonly table: string;
  /** How many rows it must meet. */
  readonly rows: "one" | "any";
  /** False where its text depends on how many values it has, so that it seldom comes again. */
  readonly recurs: boolean;
}

/** One query as a statement. */
export function planSelect<T extends TableName>(db: Kysely<Schema>, query: Select<T>): CompiledQuery {
  let statement = (db as unknown as Loose).selectFrom(query.from).selectAll();
  for (const [column, value] of Object.entries(query.where ?? {}))
    statement = statement.where(column, "=", value);
  if (query.orderBy !== undefined) {
    if (query.after !== undefined)
      statement = statement.where(sql<boolean>`${sql.ref(query.orderBy)} > ${query.after}`);
    statement = statement.orderBy(query.orderBy);
  }
  if (query.limit !== undefined) statement = statement.limit(query.limit);
  return statement.compile();
}

/** Runs one query. */
export async function selectRows<T extends TableName>(
  db: Kysely<Schema>,
  query: Select<T>,
): Promise<Schema[T][]> {
  const { rows } = await db.executeQuery(planSelect(db, query));
  return rows as Schema[T][];
}

/** The statements of a list of writes, in their order. Neighbours that delete by one column of one table become one. */
export function planWrites(db: Kysely<Schema>, writes: readonly Write[]): PlannedWrite[] {
  const planned: PlannedWrite[] = [];
  for (let i = 0; i < writes.length;) {
    const alike = deletedAlike(writes, i);
    if (alike.values.length > 1) {
      const query = (db as unknown as Loose)
        .deleteFrom(alike.table)
        .where(alike.column, "in", alike.values)
        .compile();
      planned.push({ query, table: alike.table, rows: "any", recurs: false });
      i += alike.values.length;
    } else {
      planned.push(planWrite(db as unknown as Loose, writes[i] as Write));
      i++;
    }
  }
  return planned;
}

/** The values of neighbours from `start` on that delete any rows by the same one column of the same table. */
function deletedAlike(
  writes: readonly Write[],
  start: number,
): { table: string; column: string; values: unknown[] } {
  let table = "";
  let column = "";
  const values: unknown[] = [];
  for (let i = start; i < writes.length && values.length < DELETE_ROWS_MAX; i++) {
    const write = writes[i];
    if (write === undefined || !("delete" in write) || write.expect !== "any") break;
    const [first, ...others] = Object.entries(write.where);
    if (first === undefined || others.length > 0) break;
    if (values.length > 0 && (write.delete !== table || first[0] !== column)) break;
    table = write.delete;
    column = first[0];
    values.push(first[1]);
  }
  return { table, column, values };
}

function planWrite(db: Loose, write: Write): PlannedWrite {
  if ("insert" in write) {
    const query = db
      .insertInto(write.insert)
      .values({ ...write.row })
      .compile();
    return { query, table: write.insert, rows: "any", recurs: true };
  }
  if ("update" in write) {
    let statement = db.updateTable(write.update).set({ ...write.set });
    for (const [column, value] of Object.entries(write.where))
      statement = statement.where(column, "=", value);
    return { query: statement.compile(), table: write.update, rows: "one", recurs: true };
  }
  if ("delete" in write) {
    let statement = db.deleteFrom(write.delete);
    for (const [column, value] of Object.entries(write.where))
      statement = statement.where(column, "=", value);
    return { query: statement.compile(), table: write.delete, rows: write.expect, recurs: true };
  }
  const query = db
    .insertInto(write.upsert)
    .values({ ...write.row })
    .onConflict((conflict) => conflict.column(write.conflict).doUpdateSet({ ...write.row }))
    .compile();
  return { query, table: write.upsert, rows: "any", recurs: true };
}

/**
 * Applies writes in order, inside the caller's transaction. Throws StoreConflict where one does not apply.
 * @param isConflict tells the database's own error for a taken key or a reference that does not hold
 */
export async function applyWrites(
  db: Kysely<Schema>,
  writes: readonly Write[],
  isConflict: (error: unknown) => boolean,
): Promise<void> {
  for (const { query, table, rows } of planWrites(db, writes)) {
    try {
      const { numAffectedRows } = await db.executeQuery(query);
      if (rows === "one" && numAffectedRows !== 1n) throw new StoreConflict(table);
    } catch (error) {
      if (isConflict(error)) throw new StoreConflict(table);
      throw error;
    }
  }
}
