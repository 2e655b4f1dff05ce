/** The column types that the databases name differently. */
import { sql, type RawBuilder } from "kysely";

export interface ColumnTypes {
  /** Bytes. */
  readonly blob: RawBuilder<unknown>;
}

export const sqliteTypes: ColumnTypes = { blob: sql`blob` };
export const postgresTypes: ColumnTypes = { blob: sql`bytea` };
