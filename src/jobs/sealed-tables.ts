/**
 * Every table with sealed columns, and where each of its sealed values belongs: what a change of the barrier's key has to
 * take along. A test holds this list to the tables that there are.
 * Invariant: a place is made by the function of the part that seals the value, from the row's plain columns; where those
 * do not say the project, from the row that the value's owner has.
 */
import { Buffer } from "node:buffer";
import { outboxPlace } from "../audit/outbox.ts";
import { clientPlace } from "../identity/clients.ts";
import { credentialPlace, credentialValuePlace } from "../credentials/credentials.ts";
import { accountPlace, tokenPlace } from "../identity/accounts.ts";
import { issuerPlace } from "../identity/issuer-book.ts";
import { jwtRevocationPlace } from "../identity/jwt.ts";
import { passwordPlace } from "../identity/passwords.ts";
import { projectPlace } from "../identity/projects.ts";
import { rolePlace } from "../identity/role-book.ts";
import { sessionPlace } from "../identity/sessions.ts";
import { signingKeyPlace } from "../identity/signing-keys.ts";
import { signupPlace } from "../identity/signups.ts";
import { keyAliasPlace } from "../keyring/key-aliases.ts";
import { keyPlace, materialPlace, usagePlace } from "../keyring/key-store.ts";
import type { RecordPlace } from "../seal/barrier.ts";
import { serviceSecretPlace } from "../seal/service-secrets.ts";
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
  /** The column by which the table is read in order. */
  readonly orderBy: keyof Schema[T] & string;
  /** The columns that tell a row from all others: `orderBy`, and where that stands for several rows a number besides. */
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
    table: "credentials",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, project_id }) => credentialPlace(project_id, id) },
  }),
  sealed({
    table: "credential_values",
    orderBy: "credential_id",
    primaryKey: ["credential_id"],
    places: { sealed: ({ credential_id: id }, { projectId }) => credentialValuePlace(projectId, id) },
    async owner({ credential_id: id }, store) {
      const [credential] = await store.select({ from: "credentials", where: { id } });
      return credential === undefined ? undefined : { projectId: credential.project_id };
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
    table: "clients",
    orderBy: "number",
    primaryKey: ["number"],
    places: { sealed: ({ number }) => clientPlace(number) },
  }),
  sealed({
    table: "passwords",
    orderBy: "account_id",
    primaryKey: ["account_id"],
    places: { sealed: ({ account_id, revision }) => passwordPlace(account_id, revision) },
  }),
  sealed({
    table: "sessions",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => sessionPlace(id, revision) },
  }),
  sealed({
    table: "signups",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id }) => signupPlace(id) },
  }),
  sealed({
    table: "signing_keys",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id }) => signingKeyPlace(id) },
  }),
  sealed({
    table: "roles",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => rolePlace(id, revision) },
  }),
  sealed({
    table: "issuers",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, revision }) => issuerPlace(id, revision) },
  }),
  sealed({
    table: "key_aliases",
    orderBy: "id",
    primaryKey: ["id"],
    places: { sealed: ({ id, project_id }) => keyAliasPlace(project_id, Buffer.from(id).toString("base64")) },
  }),
  sealed({
    table: "service_secrets",
    orderBy: "name",
    primaryKey: ["name"],
    places: { sealed: ({ name }) => serviceSecretPlace(name) },
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
