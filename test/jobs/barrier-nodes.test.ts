/** Two nodes over one database, each with barrier keys of its own, which it has to learn from there. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFacts, type Auditor } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import { secretBytes } from "../../src/bytes.ts";
import { createJobs, createServices } from "../../src/compose-services.ts";
import { KeysteadError } from "../../src/errors.ts";
import { GRACE_MS } from "../../src/jobs/barrier-rewrap.ts";
import type { JobRunner } from "../../src/jobs/job-runner.ts";
import { sealedColumns } from "../../src/jobs/sealed-tables.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { BarrierKeys, firstBarrierRow } from "../../src/seal/barrier-keys.ts";
import { keyedStore } from "../../src/seal/keyed-store.ts";
import { createStaticSeal, type Seal } from "../../src/seal/root-key.ts";
import type { Services } from "../../src/service/operation.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { StoreConflict, type Store } from "../../src/storage/store.ts";
import { Log } from "../../src/telemetry/log.ts";
import { bound, openTestAuditor } from "../audit/test-auditor.ts";

const HOUR_MS = 3_600_000;

interface Node {
  readonly services: Services;
  readonly keys: BarrierKeys;
  readonly jobs: JobRunner;
  readonly auditor: Auditor;
  readonly store: Store;
  readonly commit: CommitChange;
  readonly foreignRoots: number[];
}

const sealOf = (fill: number): Seal => createStaticSeal(secretBytes(Buffer.alloc(32, fill)));

async function openNodes(
  now: () => number,
): Promise<{ nodes: [Node, Node]; shared: Store; close: () => Promise<void> }> {
  const embedded = await openSqlite(":memory:", () => undefined);
  const shared: Store = { ...bound(embedded), exclusive: false };
  const first = { version: 1, key: secretBytes(Buffer.alloc(32, 9)) };
  await shared.commit([{ insert: "barrier_keys", row: firstBarrierRow(first, sealOf(1), now()) }]);
  const open = async (name: string): Promise<Node> => {
    const seal = sealOf(1);
    const [row] = await shared.select({ from: "barrier_keys" });
    const key = seal.unwrapBarrierKey(1, row?.wrapped ?? Buffer.alloc(0));
    assert.ok(key);
    const barrier = new Barrier([{ version: 1, key }]);
    const foreignRoots: number[] = [];
    const onForeignRoot = (): void => void foreignRoots.push(1);
    const keys = new BarrierKeys({ store: shared, seal, barrier, now, onForeignRoot });
    const store = keyedStore(shared, keys, sealedColumns);
    const auditor = await openTestAuditor(store, { node: name, barrier });
    const services = createServices({
      ...{ store, barrierKeys: keys, auditor, now, noncesMax: undefined },
      ...{ issuer: "urn:test", loginTtlSeconds: 900, operations: [], plainLoopback: true },
    });
    const log = new Log({ plain: false, write: () => undefined });
    const jobs = createJobs({ store, services, node: name, log }).runner;
    const commit: CommitChange = (writes, facts) =>
      auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
    return { services, keys, jobs, auditor, store, commit, foreignRoots };
  };
  const nodes: [Node, Node] = [await open("first"), await open("second")];
  return {
    nodes,
    shared,
    async close() {
      for (const { jobs, auditor, keys } of nodes) {
        keys.stop();
        await jobs.stop();
        await auditor.close();
      }
      await embedded.close();
    },
  };
}

const key = { name: "k", type: "xaes-256", exportable: false } as const;

/** Fails where it takes longer than a second. */
async function settled<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error("it hangs"));
    }, 1000);
  });
  return Promise.race([work, late]).finally(() => {
    clearTimeout(timer);
  });
}

describe("two nodes", () => {
  test("open at once what the other sealed with a barrier key that it just made", async () => {
    const { nodes, close } = await openNodes(Date.now);
    const [one, two] = nodes;
    const project = await one.services.projects.create("p", one.commit);
    // Read a moment before, and being read in that moment, from before the rotation.
    await two.keys.read();
    await one.keys.rotate(one.commit);
    await one.services.keyring.create(project.id, key, one.commit);
    assert.equal(two.keys.barrier.latest, 1);
    const found = await two.services.keyring.get(project.id, "k");
    assert.ok(await two.services.keyring.version(found, 1));
    assert.equal(two.keys.barrier.latest, 2, "and seals with it from then on");
    await one.keys.rotate(one.commit);
    assert.equal(await two.services.cursors.open(one.services.cursors.seal("name")), "name");
    await close();
  });

  test("know a new barrier key within a second, without meeting it", async () => {
    const { nodes, close } = await openNodes(Date.now);
    const [one, two] = nodes;
    two.keys.start();
    await one.keys.rotate(one.commit);
    const deadline = performance.now() + 1000;
    while (two.keys.barrier.latest < 2 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(two.keys.barrier.latest, 2);
    await close();
  });

  test("rotating at once make one version each", async () => {
    const { nodes, shared, close } = await openNodes(Date.now);
    const made = await Promise.all(nodes.map((node) => node.keys.rotate(node.commit)));
    assert.deepEqual(made.sort(), [2, 3]);
    for (const node of nodes) await node.keys.read();
    assert.deepEqual(
      nodes.map((node) => node.keys.barrier.versions.length),
      [3, 3],
    );
    assert.equal((await shared.select({ from: "barrier_keys" })).length, 3);
    await close();
  });

  test("keep the old key for as long as one of them still sealed with it, and then an hour", async () => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    const { nodes, shared, close } = await openNodes(() => nowMs);
    const [one, two] = nodes;
    const project = await one.services.projects.create("p", one.commit);
    await two.keys.read();
    await one.keys.rotate(one.commit);
    await one.jobs.runDue();
    const rows = async (): Promise<readonly [number, boolean][]> =>
      (await shared.select({ from: "barrier_keys", orderBy: "version" })).map(
        ({ version, unused_since: since }) => [version, since !== null],
      );
    assert.deepEqual(await rows(), [
      [1, true],
      [2, false],
    ]);
    // It has not looked since, and seals with the key of before.
    assert.equal(two.keys.barrier.latest, 1);
    await two.services.keyring.create(project.id, key, two.commit);
    nowMs += GRACE_MS;
    await one.jobs.runDue();
    assert.deepEqual((await rows())[0], [1, true], "found in the last look, and taken along");
    nowMs += GRACE_MS - 1;
    await one.jobs.runDue();
    assert.equal((await rows()).length, 2);
    nowMs += HOUR_MS;
    await one.jobs.runDue();
    assert.deepEqual(await rows(), [[2, false]]);
    const found = await one.services.keyring.get(project.id, "k");
    assert.ok(await one.services.keyring.version(found, 1));
    await close();
  });

  test("never store what was sealed with a key that is gone", async () => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    const { nodes, close } = await openNodes(() => nowMs);
    const [one, two] = nodes;
    const sealedBefore = two.keys.barrier.seal(
      { project: "p", kind: "project", id: "p", revision: 1, field: "record" },
      Buffer.from("{}"),
    );
    await one.keys.rotate(one.commit);
    await one.jobs.runDue();
    nowMs += GRACE_MS;
    await one.jobs.runDue();
    await two.keys.read();
    assert.deepEqual(two.keys.barrier.versions, [2]);
    const row = { id: "p", name: "p", revision: 1, created_at: "", due_at: null, sealed: sealedBefore };
    await assert.rejects(two.store.commit([{ insert: "projects", row }]), StoreConflict);
    await close();
  });

  test("a node that could not read the keys for long retires one all the same, and goes on", async (context) => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    const { nodes, shared, close } = await openNodes(() => nowMs);
    const [one] = nodes;
    await one.keys.rotate(one.commit);
    await one.jobs.runDue();
    nowMs += GRACE_MS;
    const [row] = await one.keys.read();
    assert.ok(row?.unused_since);
    const since = performance.now();
    context.mock.method(performance, "now", () => since + 5100);
    await settled(one.keys.retire(row, one.commit));
    assert.equal((await shared.select({ from: "barrier_keys" })).length, 1);
    await settled(one.services.projects.create("after", one.commit));
    context.mock.restoreAll();
    await close();
  });

  test("a change is refused after a while where the keys cannot be read, and waits for nobody for ever", async () => {
    const { nodes, shared, close } = await openNodes(Date.now);
    const [one] = nodes;
    const keys = new BarrierKeys({
      store: { ...shared, select: () => new Promise(() => undefined) },
      ...{ seal: sealOf(1), barrier: one.keys.barrier, now: Date.now },
    });
    const store = keyedStore(shared, keys, sealedColumns, 20);
    await assert.rejects(settled(store.commit([])), { code: "storage_unavailable" });
    await close();
  });

  test("a node that cannot open the newest barrier key changes nothing, since others delete the one that it has", async () => {
    let nowMs = Date.parse("2030-01-01T00:00:00Z");
    const { nodes, shared, close } = await openNodes(() => nowMs);
    const [one, two] = nodes;
    await one.keys.rotateRoot(sealOf(2), one.commit);
    await two.keys.read();
    assert.equal(two.keys.outdated, false);
    await two.services.projects.create("before", two.commit);
    await one.keys.rotate(one.commit);
    await two.keys.read();
    const refused = { code: "storage_unavailable" };
    await assert.rejects(two.services.projects.create("lost", two.commit), refused);
    assert.equal(two.keys.outdated, true);
    await one.jobs.runDue();
    nowMs += GRACE_MS;
    await one.jobs.runDue();
    await two.keys.read();
    await assert.rejects(two.services.projects.create("lost", two.commit), refused);
    assert.deepEqual((await shared.select({ from: "barrier_keys" })).length, 1);
    assert.deepEqual(
      (await shared.select({ from: "projects" })).map(({ name }) => name),
      ["before"],
    );
    await close();
  });

  test("a node with the root key of before goes on, makes no barrier key, and says why", async () => {
    const { nodes, shared, close } = await openNodes(Date.now);
    const [one, two] = nodes;
    const project = await one.services.projects.create("p", one.commit);
    await two.keys.read();
    await one.keys.rotateRoot(sealOf(2), one.commit);
    await assert.rejects(
      two.keys.rotate(two.commit),
      (error) => error instanceof KeysteadError && error.code === "conflict",
    );
    assert.equal(two.foreignRoots.length, 1);
    await two.services.keyring.create(project.id, key, two.commit);
    await one.services.keyring.get(project.id, "k");
    assert.equal(await one.keys.rotate(one.commit), 2);
    for (const row of await shared.select({ from: "barrier_keys" }))
      assert.ok(sealOf(2).unwrapBarrierKey(row.version, row.wrapped), "all rows are under one root key");
    await close();
  });

  test("of a root key and a barrier key that change at once, all rows end under one root key", async () => {
    for (let round = 0; round < 20; round++) {
      const { nodes, shared, close } = await openNodes(Date.now);
      const [one, two] = nodes;
      await Promise.allSettled([one.keys.rotateRoot(sealOf(2), one.commit), two.keys.rotate(two.commit)]);
      for (const row of await shared.select({ from: "barrier_keys" }))
        assert.ok(sealOf(2).unwrapBarrierKey(row.version, row.wrapped), `version ${row.version}`);
      await close();
    }
  });
});
