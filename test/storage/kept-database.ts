/**
 * A database that outlives the services on it, for tests that look into it or edit it while none runs.
 * Invariant: `sql` is plain SQL that both databases take, with `?` for each value.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { onPostgres, temporaryFolder, type OnStore } from "../harness.ts";
import { copyDatabase, newDatabase, query } from "../postgres.ts";

export type Sql = (text: string, ...values: SQLInputValue[]) => Promise<Record<string, unknown>[]>;

export interface KeptDatabase {
  /** The settings of a service on it. */
  readonly settings: Record<string, string>;
  readonly sql: Sql;
  /** The names of all its tables. */
  tables(): Promise<string[]>;
  /** Another one that holds the same. No service may be running on this one. */
  copy(): Promise<KeptDatabase>;
}

/** A new, empty one. */
export async function keptDatabase(store: OnStore["store"]): Promise<KeptDatabase> {
  return store === "SQLite" ? inFolder(temporaryFolder()) : onServer(await newDatabase());
}

function inFolder(folder: string): KeptDatabase {
  const sql: Sql = (text, ...values) => {
    const database = new DatabaseSync(join(folder, "keystead.db"));
    try {
      return Promise.resolve(database.prepare(text).all(...values));
    } finally {
      database.close();
    }
  };
  return {
    settings: { KEYSTEAD_DATA_PATH: folder },
    sql,
    tables: () => names(sql("select name from sqlite_master where type = 'table'")),
    copy() {
      const copy = temporaryFolder();
      cpSync(join(folder, "keystead.db"), join(copy, "keystead.db"));
      return Promise.resolve(inFolder(copy));
    },
  };
}

async function onServer(url: string): Promise<KeptDatabase> {
  return {
    settings: { ...(await onPostgres()), KEYSTEAD_DATABASE_URL: url },
    sql(text, ...values) {
      let number = 0;
      return query(
        url,
        text.replaceAll("?", () => `$${++number}`),
        values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value)),
      );
    },
    tables: () =>
      names(
        query(
          url,
          "select table_name as name from information_schema.tables where table_schema = 'keystead'",
        ),
      ),
    copy: async () => onServer(await copyDatabase(url)),
  };
}

async function names(rows: Promise<Record<string, unknown>[]>): Promise<string[]> {
  return (await rows).map(({ name }) => String(name));
}
