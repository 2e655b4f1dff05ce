import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { Client } from "pg";
import { migrate, SCHEMA_VERSION } from "../../src/storage/migrations.ts";
import { postgresTypes } from "../../src/storage/migrations/column-types.ts";
import { kyselyOver } from "../../src/storage/postgres-connection.ts";
import { StartRefused } from "../../src/start-refused.ts";
import { until } from "../audit/test-auditor.ts";
import { newDatabase, query } from "../postgres.ts";
import { openPostgres as open, reach } from "./open-postgres.ts";
import { project, storeContract } from "./store-contract.ts";

async function refusal(starting: Promise<unknown>): Promise<string> {
  const error = await starting.then(
    () => assert.fail("it was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof StartRefused, String(error));
  assert.doesNotMatch(error.message, /\n|hunter2/);
  return error.message;
}

storeContract("PostgreSQL", async () => open(await newDatabase()));

describe("a PostgreSQL database", () => {
  test("keeps Keystead's tables in a schema of their own, and leaves others' alone", async () => {
    const url = await newDatabase();
    await query(url, "create table public.projects (theirs text)");
    await (await open(url)).close();
    const tables = await query(
      url,
      "select table_schema, table_name from information_schema.tables where table_name = 'projects'",
    );
    assert.deepEqual(tables.map((row) => row["table_schema"]).sort(), ["keystead", "public"]);
    assert.deepEqual(await query(url, "select * from public.projects"), []);
  });

  test("whose schema holds another program's tables is refused and left untouched", async () => {
    const url = await newDatabase();
    await query(url, "create schema keystead");
    await query(url, "create table keystead.orders (id int)");
    assert.match(await refusal(reach(url)), /^KEYSTEAD_DATABASE_URL: .*holds another program's tables$/);
    const tables = await query(
      url,
      "select 1 from information_schema.tables where table_schema = 'keystead'",
    );
    assert.equal(tables.length, 1);
  });

  test("may have its schema made by somebody else", async () => {
    const url = await newDatabase();
    await query(url, "create schema keystead");
    await (await open(url)).close();
  });

  test("of a newer Keystead is refused and left untouched", async () => {
    const url = await newDatabase();
    await (await open(url)).close();
    await query(url, "update schema_version set version = version + 1");
    assert.match(
      await refusal(reach(url)),
      new RegExp(`by a newer Keystead \\(schema ${SCHEMA_VERSION + 1}\\)$`),
    );
    assert.deepEqual(await query(url, "select version from schema_version"), [
      { version: String(SCHEMA_VERSION + 1) },
    ]);
  });

  for (let version = 1; version < SCHEMA_VERSION; version++) {
    test(`of schema ${version} is brought to schema ${SCHEMA_VERSION} with what it holds`, async () => {
      const url = await newDatabase();
      await buildOlder(url, version);
      const store = await open(url);
      const [row] = await store.select({ from: "projects" });
      assert.equal(row?.name, "kept");
      assert.deepEqual(await store.select({ from: "schema_version" }), [{ version: SCHEMA_VERSION }]);
      await store.close();
    });
  }

  test("compares every text by its bytes and gives every integer 64 bits", async () => {
    const url = await newDatabase();
    await (await open(url)).close();
    const columns = await query(
      url,
      `select table_name, column_name from information_schema.columns where table_schema = 'keystead'
       and (data_type = 'integer' or data_type = 'text' and collation_name is distinct from 'C')`,
    );
    assert.deepEqual(columns, []);
  });

  test("is refused with one line that names what is wrong and no password", async () => {
    const url = new URL(await newDatabase());
    url.password = "hunter2";
    const port = url.port;
    for (const [change, wanted] of [
      [() => (url.pathname = "/absent"), /there is no database of this name$/],
      [() => (url.username = "nobody"), /refuses the user or the password$/],
      [() => (url.port = "1"), /the database does not answer \(ECONNREFUSED\)$/],
      [() => (url.hostname = "keystead.invalid"), /the database does not answer \([A-Z_]+\)$/],
    ] as const) {
      url.port = port;
      change();
      assert.match(await refusal(reach(url.href)), wanted);
    }
  });

  test("that was told to speak TLS and does not is refused", async () => {
    const url = new URL(await newDatabase());
    for (const mode of ["require", "verify-full"]) {
      url.searchParams.set("sslmode", mode);
      assert.match(await refusal(reach(url.href)), /^KEYSTEAD_DATABASE_URL: the database does not answer/);
    }
  });

  test("takes one process of a node's name, any number of others, and frees the name with the process", async () => {
    const url = await newDatabase();
    const first = await open(url, "a");
    const other = await open(url, "b");
    assert.match(await refusal(reach(url, "a")), /^KEYSTEAD_NODE: another Keystead process named a uses/);
    await first.commit([project("by-a")]);
    assert.equal((await other.select({ from: "projects" })).length, 1);
    await first.close();
    await (await open(url, "a")).close();
    await other.close();
  });

  test("that a newer node gives more columns is read on by those that run, on every connection", async () => {
    const url = await newDatabase();
    const store = await open(url);
    await store.commit([project("kept")]);
    const readAll = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 8 }, () => store.select({ from: "projects" })));
    await readAll();
    for (const column of ["first", "second"]) {
      await query(url, `alter table projects add column ${column} text`);
      await readAll();
      await store.commit([project(column)]);
    }
    assert.equal((await store.select({ from: "projects" })).length, 3);
    await store.close();
  });

  test("behind a pooler that drops a connection's settings is refused and left untouched", async () => {
    const url = new URL(await newDatabase());
    const pooler = await withoutOptions(Number(url.port));
    const direct = url.href;
    url.port = String(pooler.port);
    assert.match(
      await refusal(reach(url.href)),
      /^KEYSTEAD_DATABASE_URL: the settings of a connection .* do not reach/,
    );
    pooler.close();
    const tables = await query(
      direct,
      "select 1 from information_schema.tables where table_schema in ('public', 'keystead')",
    );
    assert.deepEqual(tables, []);
  });

  test("is built once by nodes that start at the same time", async () => {
    const url = await newDatabase();
    const stores = await Promise.all(["a", "b", "c"].map((node) => open(url, node)));
    for (const store of stores) assert.equal((await store.select({ from: "schema_version" })).length, 1);
    for (const store of stores) await store.close();
  });

  test("that ends a node's connections finds it with its name again, and serving", async () => {
    const url = await newDatabase();
    const store = await open(url);
    await store.commit([project("before")]);
    await query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    assert.equal((await store.select({ from: "projects" })).length, 1);
    await until(() =>
      store.commit([project("after")]).then(
        () => true,
        () => false,
      ),
    );
    assert.match(await refusal(reach(url)), /^KEYSTEAD_NODE:/);
    await store.close();
  });

  test("whose node's name was taken meanwhile ends the process that had it", async () => {
    const url = await newDatabase();
    const told = Promise.withResolvers<Error>();
    const database = await reach(url);
    const store = await database.open(told.resolve);
    await database.ready();
    // As another process would, in the moment when the first one's connection is gone.
    const [holder] = await query(
      url,
      "select pid, classid::int4 as class, objid::int4 as number from pg_locks where locktype = 'advisory'",
    );
    const taken = query(url, "select pg_advisory_lock($1, $2), pg_sleep(3)", [
      holder?.["class"],
      holder?.["number"],
    ]);
    await until(
      async () =>
        (await query(url, "select 1 from pg_locks where locktype = 'advisory' and not granted")).length > 0,
    );
    await query(url, "select pg_terminate_backend($1)", [holder?.["pid"]]);
    assert.match((await told.promise).message, /another process took the node's name main/);
    await assert.rejects(store.commit([project("late")]), { code: "storage_unavailable" });
    await taken;
    await store.close();
  });
});

/** A database as an earlier Keystead left it. */
/** A way to the database that takes `options` out of each startup message, as a pooler may. */
async function withoutOptions(to: number): Promise<{ port: number; close: () => void }> {
  const server = createServer((client) => {
    const upstream = connect(to, "127.0.0.1");
    for (const socket of [client, upstream])
      socket
        .on("error", () => undefined)
        .on("close", () => {
          client.destroy();
          upstream.destroy();
        });
    upstream.pipe(client);
    client.once("data", (startup: Buffer) => {
      // Length and protocol, 4 bytes each, then names and values, each ended by a zero byte, and one more.
      const texts = startup.toString("latin1", 8, startup.length - 2).split("\0");
      const at = texts.indexOf("options");
      assert.ok(at >= 0);
      texts.splice(at, 2);
      const body = Buffer.from(`${texts.join("\0")}\0\0`, "latin1");
      const head = Buffer.from(startup.subarray(0, 8));
      head.writeUInt32BE(8 + body.length);
      upstream.write(Buffer.concat([head, body]));
      client.pipe(upstream);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  const { port } = server.address() as AddressInfo;
  return { port, close: () => server.close() };
}

async function buildOlder(url: string, version: number): Promise<void> {
  const client = new Client({ connectionString: url, options: "-c search_path=keystead" });
  await client.connect();
  await client.query("create schema keystead");
  await migrate(kyselyOver(client), 0, postgresTypes, version);
  await client.query(
    "insert into projects (id, name, revision, created_at, sealed) values ('id', 'kept', 1, '2026', '\\x00')",
  );
  await client.end();
}
