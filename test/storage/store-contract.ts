/** The store's contract: what the rest of the service relies on, whatever the database. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { KeysteadError } from "../../src/errors.ts";
import type { Schema } from "../../src/storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../../src/storage/store.ts";
import { until } from "../audit/test-auditor.ts";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
let ids = 0;

/** The write of a project with a name that is taken once. */
export function project(name: string, revision = 1): Write {
  return {
    insert: "projects",
    row: {
      id: `id-${++ids}`,
      name,
      revision,
      created_at: "2026-01-01T00:00:00.000Z",
      due_at: null,
      sealed: bytes(name),
    },
  };
}

function account(id: string): Schema["accounts"] {
  return { id, name: id, revision: 1, created_at: "2026", sealed: bytes(id) };
}

function token(id: string, account_id: string): Write {
  const times = { created_at: "2026", expires_at: "2027" };
  return {
    insert: "tokens",
    row: { id, account_id, hash: bytes(id), revision: 1, ...times, sealed: bytes(id) },
  };
}

/** Holds a store to the contract. @param open opens a store with an empty database of its own */
export function storeContract(database: string, open: () => Promise<Store>): void {
  describe(`the store on ${database}`, () => {
    let store: Store;
    before(async () => {
      store = await open();
    });
    after(() => store.close());

    test("gives back what was committed, every byte of it", async () => {
      const sealed = Uint8Array.from({ length: 256 }, (_, i) => i);
      const write = project("plain") as Extract<Write, { insert: "projects" }>;
      await store.commit([{ insert: "projects", row: { ...write.row, sealed } }]);
      const [row] = await store.select({ from: "projects", where: { name: "plain" } });
      assert.deepEqual(Buffer.from(row?.sealed ?? []), Buffer.from(sealed));
      assert.equal(row?.revision, 1);
      assert.equal(row.due_at, null);
    });

    test("finds rows by bytes, and holds bytes unique", async () => {
      const row = { id: bytes("\0ÿ'\\x"), created_at: "2026", sealed: new Uint8Array(0) };
      await store.commit([{ insert: "idempotency", row }]);
      const [found] = await store.select({ from: "idempotency", where: { id: bytes("\0ÿ'\\x") } });
      assert.equal(found?.sealed.length, 0);
      await assert.rejects(store.commit([{ insert: "idempotency", row }]), { table: "idempotency" });
      assert.deepEqual(await store.select({ from: "idempotency", where: { id: bytes("\0ÿ") } }), []);
    });

    test("keeps integers beyond 32 bits, and gives numbers", async () => {
      const row = { node: "far", sequence: 2 ** 52 + 1 };
      await store.commit([{ upsert: "audit_heads", row, conflict: "node" }]);
      assert.deepEqual((await store.select({ from: "audit_heads", where: { node: "far" } }))[0], row);
      await store.commit([
        { upsert: "audit_heads", row: { node: "far", sequence: 2 ** 52 + 2 }, conflict: "node" },
      ]);
      const [after] = await store.select({ from: "audit_heads", where: { node: "far" } });
      assert.equal(after?.sequence, 2 ** 52 + 2);
    });

    test("applies all writes of a change or none", async () => {
      await store.commit([project("taken")]);
      await assert.rejects(store.commit([project("half"), project("taken")]), StoreConflict);
      await assert.rejects(
        store.commit([
          project("half"),
          { update: "projects", where: { name: "taken", revision: 9 }, set: { revision: 10 } },
        ]),
        StoreConflict,
      );
      assert.deepEqual(await store.select({ from: "projects", where: { name: "half" } }), []);
    });

    test("names the table whose write did not apply, whatever stands around it", async () => {
      await store.commit([project("named")]);
      const outbox: Write = {
        insert: "outbox",
        row: { id: "named", node: "n", after_sequence: 0, entry: "" },
      };
      await assert.rejects(store.commit([outbox, project("named")]), { table: "projects" });
      await store.commit([outbox]);
      await assert.rejects(store.commit([project("other"), outbox, project("other-2")]), {
        table: "outbox",
      });
      await assert.rejects(
        store.commit([{ update: "keys", where: { id: "absent" }, set: { revision: 2 } }, project("third")]),
        { table: "keys" },
      );
      for (const name of ["other", "other-2", "third"])
        assert.deepEqual(await store.select({ from: "projects", where: { name } }), []);
    });

    test("sees within a change what the change wrote before", async () => {
      const row = { id: bytes("again"), created_at: "1", sealed: bytes("old") };
      await store.commit([{ insert: "idempotency", row }]);
      await store.commit([
        { delete: "idempotency", where: { id: row.id, created_at: "1" }, expect: "any" },
        { insert: "idempotency", row: { ...row, created_at: "2" } },
      ]);
      assert.equal((await store.select({ from: "idempotency", where: { id: row.id } }))[0]?.created_at, "2");
    });

    test("keeps the changes beside one that does not apply, in the same turn", async () => {
      await store.commit([project("stays")]);
      const results = await Promise.allSettled([
        store.commit([project("left")]),
        store.commit([project("middle"), project("stays")]),
        store.commit([project("right")]),
      ]);
      assert.deepEqual(
        results.map(({ status }) => status),
        ["fulfilled", "rejected", "fulfilled"],
      );
      for (const [name, there] of [
        ["left", 1],
        ["middle", 0],
        ["right", 1],
      ] as const) {
        assert.equal((await store.select({ from: "projects", where: { name } })).length, there, name);
      }
    });

    test("conflicts on a reference to what is not there, and on a deletion of what is referred to", async () => {
      await store.commit([{ insert: "accounts", row: account("referred") }, token("t-1", "referred")]);
      await assert.rejects(store.commit([token("t-2", "absent")]), {
        name: "StoreConflict",
        table: "tokens",
      });
      const deletion: Write = { delete: "accounts", where: { id: "referred" }, expect: "one" };
      await assert.rejects(store.commit([deletion]), { name: "StoreConflict", table: "accounts" });
      assert.equal(store.writable(), true);
    });

    test("refuses a change that the database does not take alone, and does what came with it", async () => {
      const nameless: Write = { update: "projects", where: { name: "near" }, set: { name: null as never } };
      await store.commit([project("near")]);
      const [failed, dangling, ...others] = await Promise.allSettled([
        store.commit([project("lost"), nameless]),
        store.commit([project("lost"), token("t-3", "absent")]),
        store.commit([project("beside")]),
        store.select({ from: "projects", where: { name: "near" } }),
        store.commit([project("beside-2")]),
      ]);
      assert.equal(
        failed.status === "rejected" && (failed.reason as KeysteadError).code,
        "storage_unavailable",
      );
      assert.ok(dangling.status === "rejected" && dangling.reason instanceof StoreConflict);
      assert.deepEqual(
        others.map(({ status }) => status),
        ["fulfilled", "fulfilled", "fulfilled"],
      );
      const rows = await Promise.all(
        ["lost", "beside", "beside-2"].map((name) => store.select({ from: "projects", where: { name } })),
      );
      assert.deepEqual(
        rows.map(({ length }) => length),
        [0, 1, 1],
      );
    });

    test("lets one of many win who update the same revision", async () => {
      await store.commit([project("raced")]);
      const update: Write = {
        update: "projects",
        where: { name: "raced", revision: 1 },
        set: { revision: 2 },
      };
      const results = await Promise.allSettled(Array.from({ length: 10 }, () => store.commit([update])));
      assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
      assert.ok(
        results.every((result) => result.status === "fulfilled" || result.reason instanceof StoreConflict),
      );
    });

    test("lets one of many win who take the same name", async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, () => store.commit([project("one-name")])),
      );
      assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
      assert.ok(
        results.every((result) => result.status === "fulfilled" || result.reason instanceof StoreConflict),
      );
    });

    test("lets changes pass that take the same rows in opposite orders", async () => {
      await store.commit([project("order-a"), project("order-b")]);
      const touch = (name: string): Write => ({
        update: "projects",
        where: { name },
        set: { created_at: "2027" },
      });
      const orders = [
        ["order-a", "order-b"],
        ["order-b", "order-a"],
      ];
      await Promise.all(Array.from({ length: 6 }, (_, i) => store.commit((orders[i % 2] ?? []).map(touch))));
    });

    test("conflicts on a delete of what is not there, unless any number will do", async () => {
      await assert.rejects(
        store.commit([{ delete: "projects", where: { name: "absent" }, expect: "one" }]),
        StoreConflict,
      );
      await store.commit([{ delete: "projects", where: { name: "absent" }, expect: "any" }]);
    });

    test("deletes many rows of one change, and only those", async () => {
      const names = Array.from({ length: 1200 }, (_, i) => `bulk-${String(i).padStart(4, "0")}`);
      await store.commit(names.map((name) => project(name)));
      await store.commit([
        ...names.slice(0, -1).map((name): Write => ({ delete: "projects", where: { name }, expect: "any" })),
        { delete: "projects", where: { name: names.at(-1) ?? "", revision: 2 }, expect: "any" },
      ]);
      const left = await store.select({ from: "projects", orderBy: "name", after: "bulk-", limit: 3 });
      assert.deepEqual(
        left.map(({ name }) => name).filter((name) => name.startsWith("bulk-")),
        ["bulk-1199"],
      );
    });

    test("pages in byte order", async () => {
      const names = ["z-B", "z-a", "z-a-b", "z-a.b", "z-a_b", "z-b", "z-z", "z-ä", "z-\u{10000}"];
      for (const name of names) await store.commit([project(name)]);
      const paged: string[] = [];
      for (let after = "z"; ;) {
        const rows = await store.select({ from: "projects", orderBy: "name", after, limit: 2 });
        if (rows.length === 0) break;
        paged.push(...rows.map(({ name }) => name));
        after = paged.at(-1) ?? "";
      }
      assert.deepEqual(paged, names);
    });

    test("orders what has no value after nothing at all", async () => {
      const due = project("due") as Extract<Write, { insert: "projects" }>;
      await store.commit([
        { insert: "projects", row: { ...due.row, due_at: "2026-01-01T00:00:00.000Z" } },
        project("never-due"),
      ]);
      const rows = await store.select({ from: "projects", orderBy: "due_at", after: "", limit: 10 });
      assert.deepEqual(
        rows.map(({ name }) => name),
        ["due"],
      );
    });

    test("finds nothing by a text that no row can hold", async () => {
      for (const name of ["\0", "plain\0", "\ud800", "plain\udc00"])
        assert.deepEqual(await store.select({ from: "projects", where: { name } }), []);
    });

    test("answers whatever many ask at once", async () => {
      await Promise.all(Array.from({ length: 200 }, (_, i) => store.commit([project(`many-${i}`)])));
      const rows = await store.select({ from: "projects", orderBy: "name", after: "many-", limit: 1000 });
      assert.equal(rows.filter(({ name }) => name.startsWith("many-")).length, 200);
      assert.equal(store.waiting(), 0);
      assert.equal(store.writable(), true);
    });

    test("scrubs", async () => {
      await store.commit([{ delete: "key_versions", where: { key_id: "none" }, expect: "any" }]);
      await until(() => store.scrub());
      assert.equal(await store.scrub(), true);
    });

    test("refuses calls after it was closed", async () => {
      const other = await open();
      await other.commit([project("x")]);
      await other.close();
      await assert.rejects(other.commit([project("y")]), { code: "stopping" });
      await assert.rejects(other.select({ from: "projects" }), { code: "stopping" });
      await other.close();
    });
  });
}
