/**
 * Kysely's own SQLite dialect over `node:sqlite`.
 * Invariant: one connection, used by one thread; prepared statements are kept, at most STATEMENTS_MAX of them.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { Kysely, SqliteDialect } from "kysely";
import type { Schema } from "./schema.ts";

const STATEMENTS_MAX = 256;

/** A Kysely instance over an open database. */
export function kyselyOver(database: DatabaseSync): Kysely<Schema> {
  const statements = new Map<string, PreparedStatement>();
  return new Kysely<Schema>({
    dialect: new SqliteDialect({
      database: {
        close: () => {
          database.close();
        },
        prepare(query) {
          let statement = statements.get(query);
          if (statement === undefined) {
            if (statements.size >= STATEMENTS_MAX) statements.clear();
            statement = new PreparedStatement(database.prepare(query));
            statements.set(query, statement);
          }
          return statement;
        },
      },
    }),
  });
}

/** True for SQLite's error on a taken primary key or unique column, and on a row that refers to none or is referred to. */
export function isSqliteConflict(error: unknown): boolean {
  return error instanceof Error && /(UNIQUE|FOREIGN KEY) constraint failed/.test(error.message);
}

/**
 * SQLITE_IOERR_WRITE and SQLITE_IOERR_SHMSIZE: nothing was taken, as where a quota is used up (SQLite calls only a full
 * disk "full"). https://www.sqlite.org/rescode.html
 */
const NOT_WRITTEN = [778, 4874];

/** True where the disk or the file failed so that it is open what was written. */
export function isSqliteFatal(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { errcode } = error as { errcode?: unknown };
  if (typeof errcode === "number" && NOT_WRITTEN.includes(errcode)) return false;
  return /disk I\/O error|malformed|not a database/.test(error.message);
}

class PreparedStatement {
  readonly reader: boolean;
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#statement.all(...(parameters as SQLInputValue[]));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.#statement.iterate(...(parameters as SQLInputValue[]));
  }
}
