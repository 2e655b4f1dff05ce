/**
 * Puts together what operations work with, and what the service does by itself: a part of compose.ts, for its length.
 * Invariant: what nobody asked for is committed with an audit entry of its own, like everything else.
 */
import { serviceFacts, type Auditor } from "./audit/auditor.ts";
import type { Severity } from "./audit/entry.ts";
import type { CommitChange } from "./audit/change.ts";
import { Credentials } from "./credentials/credentials.ts";
import { Providers } from "./crypto/providers.ts";
import { Accounts } from "./identity/accounts.ts";
import { ClientAccounts, type ClientRole } from "./identity/client-accounts.ts";
import { Clients } from "./identity/clients.ts";
import { IssuerBook } from "./identity/issuer-book.ts";
import { JwtRevocations } from "./identity/jwt.ts";
import { Logins } from "./identity/logins.ts";
import { Passwords } from "./identity/passwords.ts";
import { Projects } from "./identity/projects.ts";
import { Sessions } from "./identity/sessions.ts";
import { SigningKeys } from "./identity/signing-keys.ts";
import { Signups } from "./identity/signups.ts";
import { loginUpkeep } from "./jobs/login-upkeep.ts";
import { RoleBook } from "./identity/role-book.ts";
import { BarrierRewrap } from "./jobs/barrier-rewrap.ts";
import { dueKeys } from "./jobs/due-keys.ts";
import { dueProjects } from "./jobs/due-projects.ts";
import { JobRunner } from "./jobs/job-runner.ts";
import { scrubbing } from "./jobs/scrubbing.ts";
import { KeyAliases } from "./keyring/key-aliases.ts";
import type { Argon2Cost } from "./crypto/off-loop-tasks.ts";
import { KeyStore } from "./keyring/key-store.ts";
import { Keyring } from "./keyring/keyring.ts";
import type { BarrierKeys } from "./seal/barrier-keys.ts";
import { SealedCursors } from "./seal/cursors.ts";
import { ServiceSecrets } from "./seal/service-secrets.ts";
import { Secrets } from "./secrets/secrets.ts";
import type { OperationFacts, Services } from "./service/operation.ts";
import type { Store } from "./storage/store.ts";
import type { ClockWatch } from "./telemetry/clock-watch.ts";
import type { Log } from "./telemetry/log.ts";

export interface ServiceOptions {
  readonly store: Store;
  readonly barrierKeys: BarrierKeys;
  readonly auditor: Auditor;
  /** The time, milliseconds. */
  readonly now: () => number;
  /** Replaces the nonce limit of the catalogue, for tests. */
  readonly noncesMax: number | undefined;
  /** What the service's own tokens state as their issuer. */
  readonly issuer: string;
  readonly loginTtlSeconds: number;
  /** What a client is when it has signed up; `client` unless given. */
  readonly clientDefaultRole?: ClientRole | undefined;
  /** When data encryption keys that are handed out rotate by themselves; never unless given. */
  readonly dekRotationDays?: number | undefined;
  /** Replaces what the hash of a password costs, for tests. */
  readonly passwordCost?: Argon2Cost | undefined;
  /** All operations that are served. */
  readonly operations: readonly OperationFacts[];
  /** Lets external issuers be this machine itself, without TLS. */
  readonly plainLoopback: boolean;
  /** Where keys are made and opened; the software provider alone unless given. */
  readonly providers?: Providers | undefined;
}

/** Everything that operations work with. */
export function createServices(options: ServiceOptions): Services {
  const { store, barrierKeys, auditor, now, noncesMax, operations, plainLoopback } = options;
  const { issuer, loginTtlSeconds: ttlSeconds, providers = new Providers() } = options;
  const { barrier } = barrierKeys;
  const projects = new Projects(store, barrier);
  const serviceSecrets = new ServiceSecrets(store, barrier);
  const keyring = new Keyring({
    keys: new KeyStore(store, barrier, noncesMax, providers),
    aliases: new KeyAliases(store, barrier, serviceSecrets),
    exclusive: store.exclusive,
    now,
    commitOwnRotation: (key) => async (writes, facts) => {
      const project = (await projects.byId(key.projectId))?.name ?? "";
      await commitOwn(auditor, "key.rotate", project, { reason: "nonces" })(writes, facts);
    },
  });
  const accounts = new Accounts(store, barrier);
  const passwords = new Passwords({ store, barrier, now, cost: options.passwordCost });
  const sessions = new Sessions(store, barrier, now);
  const signingKeys = new SigningKeys({
    store,
    barrier,
    now,
    commitOwn: (reason) => commitOwn(auditor, "login_key.rotate", "", { reason }),
  });
  const signups = new Signups({ store, barrier, keys: signingKeys, issuer, now });
  const clients = new Clients(store, barrier, serviceSecrets);
  const commitReuse: CommitChange = (writes, facts) =>
    commitOwn(auditor, "session.revoke", "", {}, "WARNING")(writes, facts);
  const parts = { accounts, passwords, sessions, signups };
  const logins = new Logins({ ...parts, keys: signingKeys, issuer, ttlSeconds, now, commitReuse });
  const { clientDefaultRole: defaultRole = "client" } = options;
  return {
    keyring,
    projects,
    secrets: new Secrets(store, barrier),
    credentials: new Credentials(store, barrier, serviceSecrets),
    accounts,
    passwords,
    sessions,
    signups,
    signingKeys,
    logins,
    clients,
    clientAccounts: new ClientAccounts({ ...parts, clients, projects, logins, defaultRole, now }),
    dekRotationDays: options.dekRotationDays,
    roles: new RoleBook(store, barrier),
    issuers: new IssuerBook(store, barrier, plainLoopback),
    operations: new Map(operations.map((operation) => [operation.id, operation])),
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
  /** Tells whether the clock jumped; undefined: it never does. */
  readonly clock?: ClockWatch | undefined;
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
  const { store, services, node, log, clock, barrierMaxAgeMs, barrierGraceMs } = options;
  const isClockSteady = (): boolean => clock?.isSteady() ?? true;
  const { auditor, keyring, projects, secrets, credentials, signingKeys, sessions, now } = services;
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
    isClockSteady,
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
    credentials,
    log,
    now,
    isClockSteady,
    commitOwn: (action, project) =>
      commitOwn(auditor, action, project.nameBefore ?? project.name, { reason: "deletion" }),
  });
  const ofLogins = loginUpkeep({ store, signingKeys, sessions });
  const jobs = [ofKeys, ofProjects, ofLogins, rewrap, scrubbing(store)];
  return { runner: new JobRunner({ store, node, jobs, log, now, onRun: options.onRun }), rewrap };
}

function commitOwn(
  auditor: Auditor,
  action: string,
  project: string,
  details: Readonly<Record<string, string>>,
  severity: Severity = action.endsWith(".destroy") ? "WARNING" : "INFO",
): CommitChange {
  return (writes, facts) =>
    auditor.commitChange(
      {
        ...serviceFacts(action),
        severity,
        project,
        ...facts,
        version: facts.version ?? 0,
        details: { ...facts.details, ...details },
      },
      writes,
    );
}
