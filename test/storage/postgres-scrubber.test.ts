/** What is left of deleted rows in the files of a PostgreSQL database, read as bytes. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, test } from "node:test";
import { Client } from "pg";
import { sealedTables } from "../../src/jobs/sealed-tables.ts";
import { scrubbedTables } from "../../src/storage/postgres-scrubber.ts";
import type { TableName } from "../../src/storage/schema.ts";
import type { Store, Write } from "../../src/storage/store.ts";
import { until } from "../audit/test-auditor.ts";
import { newDatabase, query } from "../postgres.ts";
import { Wire } from "./cut-wire.ts";
import { openPostgres as open } from "./open-postgres.ts";

/** Sealed tables whose deleted rows may stay until the database's own vacuum, and why. */
const exempt: Partial<Record<TableName, string>> = {
  projects: "rows stay when what they held is destroyed",
  keys: "rows stay when their material is destroyed",
  key_aliases: "they lead to a key, and hold nothing of it",
  accounts: "names and rights, which the audit log tells as well",
  roles: "names and rights, which the audit log tells as well",
  issuers: "public addresses and keys, names and rights",
  service_secrets: "never deleted",
  sessions:
    "hashes of random tokens that have ended; they end all the time, and no login is to wait for a vacuum",
  jwt_revocations: "hashes and times",
  idempotency: "hashes and ids, which end all the time",
  outbox: "entries that stand in the audit log; they end with every change",
};

const at = "2026-01-01T00:00:00.000Z";
const byte = new Uint8Array(1);
let made = 0;

/** A key whose material is these bytes, and what takes the material away. */
async function addKey(store: Store, canary: Buffer): Promise<Write> {
  const record = { revision: 1, created_at: at, due_at: null, sealed: byte };
  const id = `of-scrubbing-${++made}`;
  const sealed = new Uint8Array(canary);
  const material = { version: 1, created_at: at, sealed, usage_sealed: byte, usage_revision: 0 };
  await store.commit([
    { insert: "projects", row: { id, name: id, ...record } },
    { insert: "keys", row: { id, project_id: id, name: id, ...record } },
    { insert: "key_versions", row: { key_id: id, ...material } },
  ]);
  return { delete: "key_versions", where: { key_id: id }, expect: "any" };
}

/** Whether a table's file holds these bytes. */
async function holds(url: string, table: TableName, canary: Uint8Array): Promise<boolean> {
  await query(url, "checkpoint");
  const [file] = await query(
    url,
    `select pg_read_binary_file(pg_relation_filepath('keystead.${table}')) as bytes`,
  );
  return (file?.["bytes"] as Buffer).includes(canary);
}

/** A connection of somebody else, in a transaction. */
async function beside(url: string, ...begin: readonly string[]): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  for (const text of begin) await client.query(text);
  return client;
}

describe("scrubbing on PostgreSQL", () => {
  let url: string;
  let store: Store;

  before(async () => {
    url = await newDatabase();
    store = await open(url);
    await query(url, "create table public.theirs (a int)");
    // For all that a stop may have left.
    await until(() => store.scrub());
  });

  after(() => store.close());

  test("leaves nothing of a deleted row in its table's file", async () => {
    const canary = Buffer.from("canary-of-a-deleted-row");
    const destroy = await addKey(store, canary);
    await store.commit([destroy]);
    assert.equal(await holds(url, "key_versions", canary), true);
    await until(() => store.scrub());
    assert.equal(await holds(url, "key_versions", canary), false);
  });

  test("leaves nothing of a deleted credential", async () => {
    const canary = Buffer.from("canary-of-a-credential");
    const sealed = new Uint8Array(canary);
    const project = { id: "c", name: "c", revision: 1, created_at: at, due_at: null, sealed: byte };
    await store.commit([
      { insert: "projects", row: project },
      {
        insert: "credentials",
        row: { id: "c", project_id: "c", record_hash: byte, given_hash: null, sealed },
      },
      { insert: "credential_values", row: { credential_id: "c", sealed } },
    ]);
    await store.commit([
      { delete: "credential_values", where: { credential_id: "c" }, expect: "one" },
      { delete: "credentials", where: { id: "c" }, expect: "one" },
    ]);
    await until(() => store.scrub());
    assert.equal(await holds(url, "credentials", canary), false);
    assert.equal(await holds(url, "credential_values", canary), false);
  });

  test("leaves nothing of a wrapping that another root key's took the place of", async () => {
    const wrapped = new Uint8Array(Buffer.from("canary-of-a-replaced-wrapping"));
    const row = { version: 1, wrapped, created_at: "2026", records_left: null, unused_since: null };
    await store.commit([{ insert: "barrier_keys", row }]);
    const set = { wrapped: new Uint8Array(32) };
    await store.commit([{ update: "barrier_keys", where: { version: 1 }, set }]);
    assert.equal(await holds(url, "barrier_keys", wrapped), true);
    await until(() => store.scrub());
    assert.equal(await holds(url, "barrier_keys", wrapped), false);
  });

  for (const [what, begin] of [
    [
      "a snapshot that was taken just before",
      ["begin isolation level repeatable read", "select count(*) from pg_class"],
    ],
    ["a transaction that has written and idles", ["begin", "insert into public.theirs values (1)"]],
  ] as const) {
    test(`is not done while there is ${what}, and is afterwards`, async () => {
      const canary = Buffer.from(`canary-seen-by: ${what}`);
      const destroy = await addKey(store, canary);
      const other = await beside(url, ...begin);
      await store.commit([destroy]);
      assert.equal(await store.scrub(), false);
      await other.query("rollback");
      await other.end();
      await until(() => store.scrub());
      assert.equal(await holds(url, "key_versions", canary), false);
    });
  }

  test("sees the snapshots of other roles, of which it may see nothing else", async () => {
    const theirs = await newDatabase();
    const database = new URL(theirs).pathname.slice(1);
    const own = new URL(theirs);
    own.username = `only_${database}`;
    await query(theirs, `create role ${own.username} login`);
    await query(theirs, `grant create on database ${database} to ${own.username}`);
    const canary = Buffer.from("canary-that-a-dump-sees");
    const limited = await open(own.href);
    const destroy = await addKey(limited, canary);
    const dump = await beside(
      theirs,
      "begin isolation level repeatable read",
      "select count(*) from pg_class",
    );
    await limited.commit([destroy]);
    assert.equal(await limited.scrub(), false);
    await dump.query("rollback");
    await dump.end();
    await until(() => limited.scrub());
    assert.equal(await holds(theirs, "key_versions", canary), false);
    await limited.close();
  });

  test("knows of a deletion whose answer was lost", async () => {
    const wire = await Wire.to(Number(new URL(url).port));
    const cut = await open(wire.url(url), "cut");
    const canary = Buffer.from("canary-of-a-lost-answer");
    const destroy = await addKey(cut, canary);
    await until(() => cut.scrub());
    wire.cut = "after";
    await assert.rejects(cut.commit([destroy]), { code: "storage_unavailable" });
    await until(async () => (await cut.select({ from: "key_versions" })).length === 0);
    await until(() => cut.scrub());
    assert.equal(await holds(url, "key_versions", canary), false);
    await cut.close();
  });
});

test("every table with sealed values is scrubbed, or is known to need it not", () => {
  for (const { table } of sealedTables)
    assert.notEqual(scrubbedTables.has(table), exempt[table] !== undefined, table);
});
