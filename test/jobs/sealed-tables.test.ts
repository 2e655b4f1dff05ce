/** Held to the database itself: a table with sealed values that the list does not know would be lost with its barrier key. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sealedTables } from "../../src/jobs/sealed-tables.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { temporaryFolder } from "../harness.ts";

/** Columns of bytes that are hashes, under a secret that outlives the barrier's keys or none, or that the root key has wrapped. */
const plainBytes = [
  "barrier_keys.wrapped",
  "clients.name_hash",
  "credentials.given_hash",
  "credentials.record_hash",
  "idempotency.id",
  "jwt_revocations.subject_hash",
  "key_aliases.id",
  "sessions.family_hash",
  "tokens.hash",
];
/** Sealed values that stand as text. */
const sealedTexts = ["outbox.entry"];

test("every column of sealed bytes is on the list of those that a change of the barrier's key takes along", async () => {
  const file = join(temporaryFolder(), "schema.db");
  await (await openSqlite(file, () => undefined)).close();
  const database = new DatabaseSync(file, { readOnly: true });
  const columns = database
    .prepare(
      "select t.name || '.' || c.name as name, lower(c.type) as type, c.pk as pk, t.name as place from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table'",
    )
    .all() as unknown as { name: string; type: string; pk: number; place: string }[];
  database.close();
  const sealed = columns
    .filter(({ name, type }) => type === "blob" || name.includes("sealed"))
    .map(({ name }) => name)
    .filter((name) => !plainBytes.includes(name));
  const listed = sealedTables.flatMap(({ table, places }) =>
    Object.keys(places).map((column) => `${table}.${column}`),
  );
  assert.deepEqual(listed.sort(), [...sealed, ...sealedTexts].sort());

  for (const { table, primaryKey, orderBy } of sealedTables) {
    const key = columns.filter(({ place, pk }) => place === table && pk > 0);
    assert.deepEqual([...primaryKey].sort(), key.map(({ name }) => name.split(".")[1]).sort(), table);
    assert.equal(primaryKey[0], orderBy, `${table} is read in the order of its key`);
  }
});
