/** Walks through sealed values, page by page, over a store that is watched or fails. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { BarrierSweep } from "../../src/jobs/barrier-sweep.ts";
import { sealedTables } from "../../src/jobs/sealed-tables.ts";
import { Barrier, sealedVersion } from "../../src/seal/barrier.ts";
import { secretPlace, secretValuePlace } from "../../src/secrets/secrets.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store, Write } from "../../src/storage/store.ts";
import { bound } from "../audit/test-auditor.ts";

const keyOf = (version: number) => ({ version, key: secretBytes(Buffer.alloc(32, version)) });
const tables = sealedTables.filter(({ table }) => table === "secrets" || table === "secret_versions");

/** Secrets with so many versions each, all sealed with key 1; their ids are in the order of the list. */
async function secretsOf(versions: readonly number[]): Promise<{ store: Store; barrier: Barrier }> {
  const store = await openSqlite(":memory:", () => undefined);
  const barrier = new Barrier([keyOf(1)]);
  const record = Buffer.from("{}");
  const times = { created_at: "2026" };
  const project = { id: "p", name: "p", revision: 1, ...times, due_at: null, sealed: record };
  const writes: Write[] = [{ insert: "projects", row: project }];
  for (const [i, count] of versions.entries()) {
    const id = `s${i}`;
    const sealed = barrier.seal(secretPlace("p", id, 1), record);
    const row = { id, project_id: "p", name: id, revision: 1, ...times, sealed };
    writes.push({ insert: "secrets", row });
    for (let version = 1; version <= count; version++) {
      const value = barrier.seal(
        secretValuePlace({ id, projectId: "p" }, version),
        Buffer.from(`${id}.${version}`),
      );
      writes.push({ insert: "secret_versions", row: { secret_id: id, version, ...times, sealed: value } });
    }
  }
  await store.commit(writes);
  barrier.add(keyOf(2));
  return { store, barrier };
}

async function versionsLeft(store: Store): Promise<number> {
  const rows = await store.select({ from: "secret_versions" });
  return rows.filter(({ sealed }) => sealedVersion(sealed) !== 2).length;
}

describe("a walk", () => {
  test("reads no more than a page at a time, however many versions one secret has, and misses none", async () => {
    for (const versions of [[129], [63, 2, 64, 3]]) {
      const { store, barrier } = await secretsOf(versions);
      let most = 0;
      const watched: Store = {
        ...bound(store),
        async select(query) {
          const rows = await store.select(query);
          most = Math.max(most, rows.length);
          return rows;
        },
      };
      const all = versions.reduce((sum, count) => sum + count, versions.length);
      const counting = new BarrierSweep({ store: watched, barrier, target: 2, counting: true, tables });
      while (!counting.done) await counting.step();
      assert.equal(counting.found.get(1), all, String(versions));
      const sweep = new BarrierSweep({ store: watched, barrier, target: 2, counting: false, tables });
      while (!sweep.done) await sweep.step();
      assert.equal(sweep.rewrapped.get(1), all);
      assert.equal(await versionsLeft(store), 0);
      assert.ok(most <= 64, `${most} rows at once`);
      await store.close();
    }
  });

  test("that fails within a page does that page again", async () => {
    for (const failing of ["commit", "select"] as const) {
      const { store, barrier } = await secretsOf([66, 2]);
      let calls = 0;
      const fails = (): void => {
        if (++calls % 5 === 3) throw new Error("the database is away");
      };
      const flaky: Store = {
        ...bound(store),
        exclusive: false,
        async [failing](argument: never): Promise<never> {
          fails();
          return (await store[failing](argument)) as never;
        },
      };
      const sweep = new BarrierSweep({ store: flaky, barrier, target: 2, counting: false, tables });
      for (let tries = 0; !sweep.done && tries < 500; tries++) await sweep.step().catch(() => undefined);
      assert.equal(sweep.done, true);
      assert.equal(await versionsLeft(store), 0, failing);
      await store.close();
    }
  });
});
