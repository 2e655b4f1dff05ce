/**
 * Every table with sealed columns, and where each of its sealed values belongs: what a change of the barrier's key has to
 * take along. A test holds this list to the tables that there are.
 * Invariant: a place is made by the function of the part that seals the value, from the row's plain columns; where those
 * do not say the project, from the row that the value's owner has.
 */
import { Buffer } from "node:buffer";
import { outboxPlace } from "../audit/outbox.ts";
import { accountPlace, tokenPlace } from "../identity/accounts.ts";
import { jwtRevocationPlace } from "../identity/jwt.ts";
import { projectPlace } from "../identity/projects.ts";
import { keyPlace, materialPlace, usagePlace } from "../keyring/key-store.ts";
import type { RecordPlace } from "../seal/barrier.ts";
import { secretPlace, secretValuePlace } from "../secrets/secrets.ts";
import { idempotencyPlace } from "../service/idempotency.ts";
import type { Schema, TableName } from "../storage/schema.ts";
import type { Store } from "../storage/store.ts";

type Columns<T extends TableName> = readonly (keyof Schema[T] & string)[];

/** What places need besides a row. */
export interface Owner {
  readonly projectId: string;
}

interface TableWithSeals<T extends TableName> {
  readonly table: T;
  /** The column by which the table is read in order. It may stand for several rows, but not for many. */
  readonly orderBy: keyof Schema[T] & string;
  /** The columns that tell a row from all others. */
  readonly primaryKey: Columns<T>;
  /** The place of each sealed column's value. */
  readonly places: { readonly [C in keyof Schema[T]]?: (row: Schema[T], owner: Owner) => RecordPlace };
  /** Reads what says the project, where the row does not; undefined where it is gone. */
  readonly owner?: (row: Schema[T], store: Store) => Promise<Owner | undefined>;
}

/** A table whose types are checked and then forgotten: the list holds rows of all. */
export interface SealedTable {
  readonly table: TableName;
  readonly orderBy: string;
  readonly primaryKey: readonly string[];
  readonly places: Readonly<Record<string, (row: Row, owner: Owner) => RecordPlace>>;
  readonly owner?: (row: Row, store: Store) => Promise<Owner | undefined>;
}
export type Row = Readonly<Record<string, unknown>>;

export const sealedTables: readonly SealedTable[] = [
  sealed({
    table: "projects",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => projectPlace(id, revision) },
  }),
  sealed({
    table: "keys",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, project_id, revision }) => keyPlace(project_id, id, revision) },
  }),
  sealed({
    table: "key_versions",
    orderBy: "key_id",
    primaryKey: ["key_id", "version"],
    places: {
      sealed: ({ key_id: id, version }, owner) => materialPlace({ id, ...owner }, version),
      usage_sealed: ({ key_id: id, version, usage_revision }, owner) =>
        usagePlace({ id, ...owner }, version, usage_revision),
    },
    async owner({ key_id: id }, store) {
      const [key] = await store.select({ from: "keys", where: { id } });
      return key === undefined ? undefined : { projectId: key.project_id };
    },
  }),
  sealed({
    table: "secrets",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, project_id, revision }) => secretPlace(project_id, id, revision) },
  }),
  sealed({
    table: "secret_versions",
    orderBy: "secret_id",
    primaryKey: ["secret_id", "version"],
    places: { sealed: ({ secret_id: id, version }, owner) => secretValuePlace({ id, ...owner }, version) },
    async owner({ secret_id: id }, store) {
      const [secret] = await store.select({ from: "secrets", where: { id } });
      return secret === undefined ? undefined : { projectId: secret.project_id };
    },
  }),
  sealed({
    table: "accounts",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => accountPlace(id, revision) },
  }),
  sealed({
    table: "tokens",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => tokenPlace(id, revision) },
  }),
  sealed({
    table: "jwt_revocations",
    orderBy: "subject_hash",
    primaryKey: ["subject_hash"],
    places: {
      sealed: ({ subject_hash: hash, revision }) => jwtRevocationPlace(Buffer.from(hash), revision),
    },
  }),
  sealed({
    table: "idempotency",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id }) => idempotencyPlace(Buffer.from(id)) },
  }),
  sealed({
    table: "outbox",
    orderBy: "id",
    primaryKey: ["id"],
    places: { entry: ({ id, after_sequence }) => outboxPlace(id, after_sequence) },
  }),
];

/** For each table, its sealed columns. */
export const sealedColumns: ReadonlyMap<string, readonly string[]> = new Map(
  sealedTables.map(({ table, places }) => [table, Object.keys(places)]),
);

function sealed<T extends TableName>(table: TableWithSeals<T>): SealedTable {
  return table as unknown as SealedTable;
}
