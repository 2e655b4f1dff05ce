/**
 * Puts together what operations work with, and what the service does by itself: a part of compose.ts, for its length.
 * Invariant: what nobody asked for is committed with an audit entry of its own, like everything else.
 */
import { serviceFacts, type Auditor } from "./audit/auditor.ts";
import type { CommitChange } from "./audit/change.ts";
import { Accounts } from "./identity/accounts.ts";
import { JwtRevocations } from "./identity/jwt.ts";
import { Projects } from "./identity/projects.ts";
import { BarrierRewrap } from "./jobs/barrier-rewrap.ts";
import { dueKeys } from "./jobs/due-keys.ts";
import { dueProjects } from "./jobs/due-projects.ts";
import { JobRunner } from "./jobs/job-runner.ts";
import { scrubbing } from "./jobs/scrubbing.ts";
import { KeyStore } from "./keyring/key-store.ts";
import { Keyring } from "./keyring/keyring.ts";
import type { BarrierKeys } from "./seal/barrier-keys.ts";
import { SealedCursors } from "./seal/cursors.ts";
import { Secrets } from "./secrets/secrets.ts";
import type { Services } from "./service/operation.ts";
import type { Store } from "./storage/store.ts";
import type { Log } from "./telemetry/log.ts";

export interface ServiceOptions {
  readonly store: Store;
  readonly barrierKeys: BarrierKeys;
  readonly auditor: Auditor;
  /** The time, milliseconds. */
  readonly now: () => number;
  /** Replaces the nonce limit of the catalogue, for tests. */
  readonly noncesMax: number | undefined;
}

/** Everything that operations work with. */
export function createServices(options: ServiceOptions): Services {
  const { store, barrierKeys, auditor, now, noncesMax } = options;
  const { barrier } = barrierKeys;
  const projects = new Projects(store, barrier);
  const keyring = new Keyring({
    keys: new KeyStore(store, barrier, noncesMax),
    exclusive: store.exclusive,
    now,
    commitOwnRotation: (key) => async (writes, facts) => {
      const project = (await projects.byId(key.projectId))?.name ?? "";
      await commitOwn(auditor, "key.rotate", project, { reason: "nonces" })(writes, facts);
    },
  });
  return {
    keyring,
    projects,
    secrets: new Secrets(store, barrier),
    accounts: new Accounts(store, barrier),
    jwtRevocations: new JwtRevocations(store, barrier),
    auditor,
    cursors: new SealedCursors(barrierKeys),
    barrierKeys,
    now,
  };
}

export interface JobOptions {
  readonly store: Store;
  readonly services: Services;
  readonly node: string;
  readonly log: Log;
  /** The age at which the barrier's key changes by itself; undefined: never. */
  readonly barrierMaxAgeMs?: number | undefined;
  /** Replaces the time for which an old barrier key is kept, for tests. */
  readonly barrierGraceMs?: number | undefined;
  /** Told of every run of a job. */
  readonly onRun?: ((job: string, outcome: "ok" | "failed") => void) | undefined;
}

/** What is done without anybody asking. */
export function createJobs(options: JobOptions): {
  readonly runner: JobRunner;
  readonly rewrap: BarrierRewrap;
} {
  const { store, services, node, log, barrierMaxAgeMs, barrierGraceMs } = options;
  const { auditor, keyring, projects, secrets, now } = services;
  const rewrap = new BarrierRewrap({
    store,
    keys: services.barrierKeys,
    log,
    now,
    maxAgeMs: barrierMaxAgeMs,
    graceMs: barrierGraceMs,
    commitOwn: (action) =>
      commitOwn(auditor, action, "", { reason: action === "barrier.rotate" ? "age" : "unused" }),
  });
  const ofKeys = dueKeys({
    keyring,
    log,
    isInUse: async (key) => (await projects.byId(key.projectId))?.state !== "pending_deletion",
    commitOwn: (action, key) => async (writes, facts) => {
      const project = (await projects.byId(key.projectId))?.name ?? "";
      const details = action === "key.rotate" ? { reason: "period" } : { reason: "deletion" };
      await commitOwn(auditor, action, project, details)(writes, facts);
    },
  });
  const ofProjects = dueProjects({
    projects,
    keyring,
    secrets,
    log,
    now,
    commitOwn: (action, project) => commitOwn(auditor, action, project.name, { reason: "deletion" }),
  });
  const jobs = [ofKeys, ofProjects, rewrap, scrubbing(store)];
  return { runner: new JobRunner({ store, node, jobs, log, now, onRun: options.onRun }), rewrap };
}

function commitOwn(
  auditor: Auditor,
  action: string,
  project: string,
  details: Readonly<Record<string, string>>,
): CommitChange {
  return (writes, facts) =>
    auditor.commitChange(
      {
        ...serviceFacts(action),
        severity: action.endsWith(".destroy") ? "WARNING" : "INFO",
        project,
        ...facts,
        version: facts.version ?? 0,
        details,
      },
      writes,
    );
}
