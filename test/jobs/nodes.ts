/** Two nodes over one database, each with its own memory, as they will share one that is not embedded. */
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
export async function twoNodes(clocks: readonly [() => number, () => number]): Promise<Nodes> {
  const embedded = await openSqlite(":memory:", () => undefined);
  const store: Store = { ...bound(embedded), exclusive: false };
  const first = await openNode(store, "first", clocks[0]);
  const second = await openNode(store, "second", clocks[1]);
  return {
    store,
    nodes: [first, second],
    async [Symbol.asyncDispose]() {
      for (const { jobs, auditor } of [first, second]) {
        await jobs.stop();
        await auditor.close();
      }
      await embedded.close();
    },
  };
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
