/**
 * Puts the parts together: from a Config to a running service. The only file that knows every part.
 * Invariant: nothing is served before storage, barrier and audit log are open and what a crash left is written; what is
 * opened here is closed by `close`, in the opposite order.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createRequire } from "node:module";
import { nullSink, type AuditSink } from "./audit/audit-sink.ts";
import { openAuditor, serviceFacts, type Auditor, type AuditorOptions } from "./audit/auditor.ts";
import { wipe, type SecretBytes } from "./bytes.ts";
import { createJobs, createServices } from "./compose-services.ts";
import type { Config } from "./config.ts";
import { randomId, randomSecret } from "./crypto/random.ts";
import { KeysteadError } from "./errors.ts";
import { Admission } from "./http/admission.ts";
import type { AdminSocket } from "./http/admin-socket.ts";
import { nativeApi, nativeFallback, nativeRoutes } from "./http/native/native-api.ts";
import { openapiDocument } from "./http/openapi.ts";
import { operatorRoutes } from "./http/operator-routes.ts";
import type { Listener, WireRoute } from "./http/wire.ts";
import { Authenticator } from "./identity/authenticate.ts";
import { JwtAuthority } from "./identity/jwt.ts";
import { DEFAULT_PROJECT } from "./identity/projects.ts";
import { sealedColumns } from "./jobs/sealed-tables.ts";
import { assertListenable, listenForHost, openListeners, reloadTls } from "./listening.ts";
import { Barrier, type BarrierKey } from "./seal/barrier.ts";
import { BarrierKeys, firstBarrierRow } from "./seal/barrier-keys.ts";
import { keyedStore } from "./seal/keyed-store.ts";
import { createStaticSeal, type Seal } from "./seal/root-key.ts";
import { Idempotency } from "./service/idempotency.ts";
import type { Services } from "./service/operation.ts";
import { Door } from "./service/perform.ts";
import { StartRefused } from "./start-refused.ts";
import {
  probeBarrierKeys,
  takeDataPath,
  type DataPath,
  type WrappedBarrierKey,
} from "./storage/data-path.ts";
import { openSqlite } from "./storage/sqlite.ts";
import type { Store, Write } from "./storage/store.ts";
import { Health } from "./telemetry/health.ts";
import { Log } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
const GRACE_MS = 10_000;

export interface ComposeOptions {
  /** Lets a data path be made without a way to log in: `keystead init` makes the first account itself. */
  readonly initialising?: boolean;
  /** For tests: a lower limit of nonces a key version, and an audit log that fails on demand. */
  readonly noncesMax?: number;
  readonly auditSink?: AuditSink;
  /** Replaces the clock that rotation periods, deletion windows and idempotency keys go by, for tests. */
  readonly now?: () => number;
  /** Replaces the time for which a barrier key is kept that no record needs, for tests. */
  readonly barrierGraceMs?: number;
  readonly log?: Log;
  /** Ends the process when the disk lost what it had taken. */
  readonly onFatal?: (error: Error) => void;
}

export interface Keystead {
  readonly config: Config;
  readonly services: Services;
  readonly log: Log;
  /** True where this start made the data path's first records. */
  readonly fresh: boolean;
  /** Everything that is served, for whoever listens by other means. */
  readonly routes: readonly WireRoute[];
  /** Starts listening on every configured address. Throws StartRefused where one cannot be had. */
  listen(): Promise<readonly Listener[]>;
  /** Opens the audit log's path anew, after another program renamed the file. */
  reopenAuditLog(): void;
  /**
   * Puts everything under a new root key, whose bytes are wiped: what is served goes on, and from the next start on that
   * one is asked for.
   */
  rotateRoot(rootKey: SecretBytes): Promise<void>;
  /** Does at once what is due: rotations, destructions. */
  runJobs(): Promise<void>;
  /** Reads certificate and key anew, for connections that come from now on. */
  reloadTls(): void;
  /** Refuses what is new, lets what is under way finish (at most 10 s), then closes everything. */
  close(): Promise<void>;
}

/** Opens everything. Throws StartRefused, with whatever was there left as it was. */
export async function compose(config: Config, options: ComposeOptions = {}): Promise<Keystead> {
  const log = options.log ?? new Log({ plain: config.plainLog });
  const onFatal =
    options.onFatal ??
    ((error: Error): void => {
      log.error("the disk failed; the service ends", { cause: error.message });
      process.exit(1);
    });
  // Before anything is opened or made; a start that never listens needs no address.
  if (options.initialising !== true) assertListenable(config);
  const seal = createStaticSeal(config.rootKey ?? randomSecret(32));
  const dataPath = config.dataPath === undefined ? undefined : takeDataPath(config.dataPath);
  let store: Store | undefined;
  let auditor: Auditor | undefined;
  try {
    const probed = dataPath?.initialised === true ? probeBarrierKeys(dataPath.databaseFile) : [];
    unwrapAll(seal, probed);
    refuseUnreachable(config, options, probed.length === 0);
    const opened: Store = await openSqlite(dataPath?.databaseFile ?? ":memory:", onFatal);
    store = opened;
    const wrapped = await opened.select({ from: "barrier_keys", orderBy: "version" });
    const fresh = wrapped.length === 0;
    const firstKey: BarrierKey = { version: 1, key: randomSecret(32) };
    const barrier = new Barrier(fresh ? [firstKey] : unwrapAll(seal, wrapped));
    const now = options.now ?? Date.now;
    const barrierKeys = new BarrierKeys({
      store: opened,
      seal,
      barrier,
      now,
      onForeignRoot: () => {
        log.error("the root key was changed elsewhere: start this node anew with the new one");
      },
    });
    if (!opened.exclusive) store = keyedStore(opened, barrierKeys, sealedColumns);
    auditor = await openAudit(config, options, { store, barrier, onFatal }, log);
    const services = createServices({ store, barrierKeys, auditor, now, noncesMax: options.noncesMax });
    const idempotency = new Idempotency({ store, barrier, now });
    if (fresh) await initialise(services, seal, firstKey, now());
    if (!fresh && config.jwtSecret === undefined && !config.devMode && options.initialising !== true) {
      if (!(await services.accounts.any())) throw noWayIn();
    }
    return await serve({ config, options, log, store, auditor, services, idempotency, dataPath, fresh });
  } catch (error) {
    await auditor?.close();
    await store?.close();
    dataPath?.release();
    throw error;
  }
}

function unwrapAll(seal: Seal, rows: readonly WrappedBarrierKey[]): BarrierKey[] {
  return rows.map((row) => {
    const key = seal.unwrapBarrierKey(row.version, row.wrapped);
    if (key === undefined)
      throw new StartRefused("KEYSTEAD_ROOT_KEY is not the root key of this data path; nothing was changed");
    return { version: row.version, key };
  });
}

function noWayIn(): StartRefused {
  return new StartRefused("there is no account yet: run `keystead init`, or set KEYSTEAD_JWT_SECRET");
}

/** Server mode on an empty data path takes a way to log in. */
function refuseUnreachable(config: Config, options: ComposeOptions, empty: boolean): void {
  if (empty && !config.devMode && config.jwtSecret === undefined && options.initialising !== true)
    throw noWayIn();
}

async function openAudit(
  config: Config,
  options: ComposeOptions,
  parts: Pick<AuditorOptions, "store" | "barrier" | "onFatal">,
  log: Log,
): Promise<Auditor> {
  const { auditLog: path, node, auditDurability: durability } = config;
  try {
    if (path !== undefined) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return await openAuditor(
      {
        ...parts,
        node,
        bootId: randomId().slice(0, 18).replaceAll("-", ""),
        path,
        durability,
        onState: (available, cause) => {
          if (available) log.info("the audit log can be written again");
          else log.error("the audit log cannot be written; nothing is served", { cause: String(cause) });
        },
        ...(options.auditSink === undefined ? {} : { sink: options.auditSink }),
      },
      nullSink,
    );
  } catch (error) {
    // What a start has to append before anything is served: a full disk, most likely.
    if (path !== undefined && error instanceof KeysteadError && error.code === "audit_unavailable")
      throw new StartRefused(`KEYSTEAD_AUDIT_LOG cannot be written at ${path}: is its disk full?`);
    // Of what can fail here only files have an errno: a database that does not answer must not be blamed on the log.
    if (path === undefined || !(error instanceof Error) || !("errno" in error)) throw error;
    throw new StartRefused(`KEYSTEAD_AUDIT_LOG cannot be opened for writing at ${path}`);
  }
}

/** The first records of an empty database: the barrier's first key and the default project. */
async function initialise(services: Services, seal: Seal, key: BarrierKey, nowMs: number): Promise<void> {
  const barrierRow: Write = { insert: "barrier_keys", row: firstBarrierRow(key, seal, nowMs) };
  await services.projects.create(DEFAULT_PROJECT, (writes, facts) =>
    services.auditor.commitChange({ ...serviceFacts("service.initialise"), ...facts, version: 0 }, [
      barrierRow,
      ...writes,
    ]),
  );
}

interface Parts {
  readonly config: Config;
  readonly options: ComposeOptions;
  readonly log: Log;
  readonly store: Store;
  readonly auditor: Auditor;
  readonly services: Services;
  readonly idempotency: Idempotency;
  readonly dataPath: DataPath | undefined;
  readonly fresh: boolean;
}

async function serve(parts: Parts): Promise<Keystead> {
  const { config, options, log, store, auditor, services, idempotency, dataPath, fresh } = parts;
  const metrics = new Metrics();
  const jwtProject =
    config.jwtSecret === undefined ? undefined : await services.projects.byName(config.jwtProject);
  if (config.jwtSecret !== undefined && jwtProject === undefined) {
    throw new StartRefused("KEYSTEAD_JWT_PROJECT names a project that does not exist");
  }
  const jwt =
    config.jwtSecret === undefined || jwtProject === undefined
      ? undefined
      : new JwtAuthority({ secret: config.jwtSecret, projectId: jwtProject.id }, services.jwtRevocations);
  const authenticator = new Authenticator({ accounts: services.accounts, jwt, devMode: config.devMode });
  const { ratePerSecond } = config;
  const devClients = !config.devMode ? undefined : config.devAnyAddress ? "any" : "loopback";
  const admission = new Admission({ auditor, authenticator, devClients, ratePerSecond });
  const door = new Door(services, idempotency, (operation, outcome) => {
    metrics.countOperation(operation, outcome);
  });
  const health = new Health({
    master_key: () => true,
    storage: async () => {
      const [row] = await store.select({ from: "schema_version", limit: 1 });
      // After a failed change only a change that succeeds proves that the disk takes them again.
      if (row !== undefined && !store.writable()) {
        await store.commit([{ update: "schema_version", where: row, set: row }]);
      }
      return true;
    },
    audit: () => auditor.available,
  });
  const { runner: jobs, rewrap } = createJobs({
    store,
    services,
    node: config.node,
    log,
    barrierMaxAgeMs: config.barrierMaxAgeMs,
    barrierGraceMs: options.barrierGraceMs,
    onRun: (job, outcome) => {
      metrics.countJob(job, outcome);
    },
  });
  metrics.observe({
    caches: () => [
      { name: "keys", ...cacheFigures(services.keyring.keyCache) },
      { name: "key_versions", ...cacheFigures(services.keyring.versionCache) },
      { name: "tokens", ...cacheFigures(services.accounts.tokenCache) },
    ],
    audit: () => ({ waiting: auditor.log.waiting, head: auditor.log.head, available: auditor.available }),
    storeWaiting: () => store.waiting(),
    requestsInFlight: () => admission.inFlight,
    barrier: () => ({ ...services.barrierKeys.figures(), rewrapped: rewrap.rewrapped }),
  });
  const routes: WireRoute[] = [
    ...nativeApi({ door, admission, metrics, log, internalEverywhere: config.exportOnMain }),
    ...operatorRoutes({
      health,
      metrics,
      admission,
      openapi: JSON.stringify(openapiDocument(nativeRoutes, version)),
    }),
  ];
  const fallback = nativeFallback({ metrics });
  let listeners: Listener[] = [];
  idempotency.start();
  const rotateRoot = async (rootKey: SecretBytes): Promise<void> => {
    const next = createStaticSeal(rootKey);
    wipe(rootKey);
    await services.barrierKeys.rotateRoot(next, (writes, facts) => {
      const own = { ...serviceFacts("root.rotate"), caller: "system:host", severity: "CRITICAL" } as const;
      return auditor.commitChange({ ...own, ...facts, version: 0 }, writes);
    });
  };
  let adminSocket: AdminSocket | undefined;
  services.barrierKeys.start();
  await services.barrierKeys.read();
  return {
    config,
    services,
    log,
    fresh,
    routes,
    async listen() {
      listeners = await openListeners(config, { routes, fallback });
      adminSocket = await listenForHost(config, log, rotateRoot);
      jobs.start();
      return listeners;
    },
    reopenAuditLog: () => {
      auditor.log.reopen();
    },
    rotateRoot,
    runJobs: () => jobs.runDue(),
    reloadTls: () => {
      reloadTls(config, listeners, log);
    },
    async close() {
      admission.stop();
      const jobsStopped = jobs.stop();
      await adminSocket?.close();
      for (const listener of listeners) listener.stop();
      const deadline = performance.now() + GRACE_MS;
      while (admission.inFlight > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      for (const listener of listeners) await listener.close();
      await jobsStopped;
      admission.flushSummaries();
      services.barrierKeys.stop();
      await idempotency.close();
      await auditor.close();
      await store.close();
      metrics.close();
      dataPath?.release();
    },
  };
}

function cacheFigures(cache: { readonly size: number; readonly hits: number; readonly misses: number }): {
  size: number;
  hits: number;
  misses: number;
} {
  return { size: cache.size, hits: cache.hits, misses: cache.misses };
}
