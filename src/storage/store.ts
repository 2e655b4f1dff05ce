/**
 * What the rest of the service knows of its database: rows out, all-or-nothing lists of writes in.
 * Invariant: `commit` resolves only when every write of the list is durable; where one does not apply (a taken name, an
 * outdated revision, a reference to what is gone), none does, and it rejects with StoreConflict. Any other rejection means that none does either,
 * but for CommitUnknown, and for lists without an outbox row where the connection broke at the end.
 */
import { KeysteadError } from "../errors.ts";
import type { Schema, TableName } from "./schema.ts";

/** One write. Updates and deletes with `expect: "one"` conflict unless they meet exactly one row. */
export type Write = {
  [T in TableName]:
    | { readonly insert: T; readonly row: Schema[T] }
    | {
        readonly update: T;
        readonly where: Partial<Schema[T]>;
        readonly set: Partial<Schema[T]>;
      }
    | { readonly delete: T; readonly where: Partial<Schema[T]>; readonly expect: "one" | "any" }
    | { readonly upsert: T; readonly row: Schema[T]; readonly conflict: keyof Schema[T] & string };
}[TableName];

/** One query: equality on `where`, then keyset paging by one column in ascending order. */
export interface Select<T extends TableName> {
  readonly from: T;
  readonly where?: Partial<Schema[T]>;
  readonly orderBy?: keyof Schema[T] & string;
  /** Only rows whose `orderBy` column is greater than this. */
  readonly after?: string | number | Uint8Array;
  readonly limit?: number;
}

export interface Store {
  /** True where this process is the only writer, so that what it remembers cannot be outdated. */
  readonly exclusive: boolean;
  select<T extends TableName>(query: Select<T>): Promise<Schema[T][]>;
  commit(writes: readonly Write[]): Promise<void>;
  /**
   * Resolves with true when rows that were deleted before lie in no file of the database any more; with false where
   * somebody else still reads what was there: then it is to be asked again.
   */
  scrub(): Promise<boolean>;
  /** False after a change failed for want of the disk, until one succeeds. */
  writable(): boolean;
  /** How many calls wait for the database, for the metrics. */
  waiting(): number;
  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}

/** A write that did not apply; `table` says where. */
export class StoreConflict extends Error {
  readonly table: string;

  constructor(table: string) {
    super(`a write to ${table} did not apply`);
    this.name = "StoreConflict";
    this.table = table;
  }
}

/** The connection broke while a change was being committed, and the database has not said yet whether it was made. */
export class CommitUnknown extends KeysteadError {
  /**
   * True when it turned out that the change was made; false where it was not, and where the store was closed before:
   * what then stands in the outbox is for the next start.
   */
  readonly settled: Promise<boolean>;

  constructor(settled: Promise<boolean>, cause: unknown) {
    super("outcome_unknown", { cause });
    this.settled = settled;
  }
}
