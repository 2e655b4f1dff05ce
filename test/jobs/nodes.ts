/** Two nodes over one database, each with its own memory, as they share one on PostgreSQL. */
import { serviceFacts, type Auditor } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import { createJobs, createServices } from "../../src/compose-services.ts";
import type { JobRunner } from "../../src/jobs/job-runner.ts";
import type { Services } from "../../src/service/operation.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store } from "../../src/storage/store.ts";
import { Log } from "../../src/telemetry/log.ts";
import { secretBytes } from "../../src/bytes.ts";
import { BarrierKeys } from "../../src/seal/barrier-keys.ts";
import { createStaticSeal } from "../../src/seal/root-key.ts";
import { barrier, bound, openTestAuditor } from "../audit/test-auditor.ts";
import type { OnStore } from "../harness.ts";
import { newDatabase } from "../postgres.ts";
import { openPostgres } from "../storage/open-postgres.ts";

export interface Node {
  readonly services: Services;
  readonly jobs: JobRunner;
  readonly auditor: Auditor;
  readonly logLines: string[];
  /** Commits as somebody who prepares a test. */
  readonly commit: CommitChange;
}

export interface Nodes {
  readonly store: Store;
  readonly nodes: readonly [Node, Node];
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param clocks the time of each node, milliseconds */
export async function twoNodes(
  clocks: readonly [() => number, () => number],
  on: OnStore["store"] = "SQLite",
): Promise<Nodes> {
  const stores = on === "SQLite" ? await oneSqlite() : await twoOnPostgres();
  const first = await openNode(stores[0], "first", clocks[0]);
  const second = await openNode(stores[1], "second", clocks[1]);
  return {
    store: stores[0],
    nodes: [first, second],
    async [Symbol.asyncDispose]() {
      for (const { jobs, auditor } of [first, second]) {
        await jobs.stop();
        await auditor.close();
      }
      for (const store of new Set(stores)) await store.close();
    },
  };
}

async function oneSqlite(): Promise<[Store, Store]> {
  const store: Store = { ...bound(await openSqlite(":memory:", () => undefined)), exclusive: false };
  return [store, store];
}

async function twoOnPostgres(): Promise<[Store, Store]> {
  const url = await newDatabase();
  return [await openPostgres(url, "first"), await openPostgres(url, "second")];
}

async function openNode(store: Store, name: string, now: () => number): Promise<Node> {
  const auditor = await openTestAuditor(store, { node: name });
  const seal = createStaticSeal(secretBytes(Buffer.alloc(32, 1)));
  const barrierKeys = new BarrierKeys({ store, seal, barrier, now });
  const services = createServices({
    store,
    barrierKeys,
    auditor,
    now,
    noncesMax: undefined,
    issuer: "urn:test",
    loginTtlSeconds: 900,
    operations: [],
    plainLoopback: true,
  });
  const logLines: string[] = [];
  const log = new Log({ plain: false, write: (line) => logLines.push(line) });
  return {
    services,
    jobs: createJobs({ store, services, node: name, log }).runner,
    auditor,
    logLines,
    commit: (writes, facts) =>
      auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes),
  };
}
