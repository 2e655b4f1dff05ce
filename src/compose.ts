/**
 * Puts the parts together: from a Config to a running service. The only file that knows every part.
 * Invariant: nothing is served before storage, barrier and audit log are open and what a crash left is written; what is
 * opened here is closed by `close`, in the opposite order.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { createRequire } from "node:module";
import { nullSink, type AuditSink } from "./audit/audit-sink.ts";
import { openAuditor, serviceFacts, type Auditor, type AuditorOptions } from "./audit/auditor.ts";
import { wipe, type SecretBytes } from "./bytes.ts";
import { createJobs, createServices } from "./compose-services.ts";
import type { Config } from "./config.ts";
import type { Argon2Cost } from "./crypto/off-loop-tasks.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import type { Providers } from "./crypto/providers.ts";
import { randomId, randomSecret } from "./crypto/random.ts";
import { KeysteadError } from "./errors.ts";
import { facadeOperations, facades } from "./facades/catalogue.ts";
import { Admission } from "./http/admission.ts";
import { docsPage } from "./http/docs-page.ts";
import { facadeApi, facadeFallback } from "./http/facade/facade-api.ts";
import type { AdminSocket } from "./http/admin-socket.ts";
import { nativeApi, nativeFallback, nativeRoutes } from "./http/native/native-api.ts";
import { openapiDocument } from "./http/openapi.ts";
import { operatorRoutes } from "./http/operator-routes.ts";
import type { Listener, WireRoute } from "./http/wire.ts";
import { Authenticator } from "./identity/authenticate.ts";
import { ExternalIssuers } from "./identity/external-issuers.ts";
import { IssuerKeys } from "./identity/issuer-keys.ts";
import { JwtAuthority } from "./identity/jwt.ts";
import { LoginVerifier } from "./identity/login-verifier.ts";
import { DEFAULT_PROJECT, Projects } from "./identity/projects.ts";
import { assertListenable, listenForHost, openListeners, reloadTls } from "./listening.ts";
import { sealedColumns } from "./jobs/sealed-tables.ts";
import { openProviders } from "./provider-modules.ts";
import { Barrier, type BarrierKey } from "./seal/barrier.ts";
import { BarrierKeys, firstBarrierRow } from "./seal/barrier-keys.ts";
import { keyedStore } from "./seal/keyed-store.ts";
import { createStaticSeal, type Seal } from "./seal/root-key.ts";
import { Idempotency } from "./service/idempotency.ts";
import type { Services } from "./service/operation.ts";
import { Door } from "./service/perform.ts";
import { StartRefused } from "./start-refused.ts";
import { isOnThisMachine } from "./storage/database-url.ts";
import { reachSqlite, type Database } from "./storage/database.ts";
import { reachPostgres } from "./storage/postgres-database.ts";
import type { WrappedBarrierKey } from "./storage/data-path.ts";
import type { Store, Write } from "./storage/store.ts";
import { ClockWatch } from "./telemetry/clock-watch.ts";
import { Health } from "./telemetry/health.ts";
import { Log } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
const GRACE_MS = 10_000;

export interface ComposeOptions {
  /** Lets a data path be made without a way to log in: `keystead init` makes the first account itself. */
  readonly initialising?: boolean;
  /** Refuses an empty database instead of making its first records. */
  readonly existing?: boolean;
  /** For tests: a lower limit of nonces a key version, and an audit log that fails on demand. */
  readonly noncesMax?: number;
  /** For tests: what the hash of a password costs. */
  readonly passwordCost?: Argon2Cost;
  readonly auditSink?: AuditSink;
  /** Replaces the clock that rotation periods, deletion windows and idempotency keys go by, for tests. */
  readonly now?: () => number;
  /** Replaces what tells whether the clock jumped, for tests. */
  readonly clock?: ClockWatch;
  /** Providers of keys beside the built-in one and those of the settings. */
  readonly providers?: readonly CryptoProvider[];
  /** Replaces the time for which a barrier key is kept that no record needs, for tests. */
  readonly barrierGraceMs?: number;
  /** Replaces the time that requests have to finish at a stop, for tests. */
  readonly graceMs?: number;
  readonly log?: Log;
  /** Ends the process when the disk lost what it had taken, or another process took this node's name. */
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
      log.error("the storage failed; the service ends", { cause: error.message });
      process.exit(1);
    });
  // Before anything is opened or made; a start that never listens needs no address.
  if (options.initialising !== true) assertListenable(config);
  const seal = createStaticSeal(config.rootKey ?? randomSecret(32));
  const bootId = randomId().slice(0, 18).replaceAll("-", "");
  const database = await reachDatabase(config, bootId, log);
  const place = config.database === undefined ? "data path" : "database";
  let store: Store | undefined;
  let auditor: Auditor | undefined;
  let providers: Providers | undefined;
  try {
    unwrapAll(seal, place, database.barrierKeys);
    if (options.existing === true && database.barrierKeys.length === 0)
      throw new StartRefused(`there is nothing in this ${place} yet; nothing was changed`);
    refuseUnreachable(config, options, database.barrierKeys.length === 0);
    providers = await openProviders(config.providerFiles, config.provider, options.providers);
    const opened = await database.open(onFatal);
    store = opened;
    const wrapped = await opened.select({ from: "barrier_keys", orderBy: "version" });
    const fresh = wrapped.length === 0;
    const firstKey: BarrierKey = { version: 1, key: randomSecret(32) };
    const barrier = new Barrier(fresh ? [firstKey] : unwrapAll(seal, place, wrapped));
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
    auditor = await openAudit(config, options, { store, barrier, bootId, onFatal }, log);
    const projects = new Projects(store, barrier);
    if (fresh) await initialise({ projects, auditor }, seal, firstKey, now());
    await database.ready();
    const issuer = config.issuer ?? `urn:keystead:${(await projects.byName(DEFAULT_PROJECT))?.id ?? ""}`;
    const { loginTtlSeconds } = config;
    const { noncesMax, passwordCost } = options;
    const services = createServices({
      ...{ store, barrierKeys, auditor, now, noncesMax, issuer, loginTtlSeconds, passwordCost, providers },
      operations: [...facadeOperations(config.facades), ...nativeRoutes.map(({ operation }) => operation)],
      plainLoopback: config.devMode,
      clientDefaultRole: config.goKms.defaultRole,
      dekRotationDays: config.dekRotationDays,
    });
    await makeMasterAdmin(config, services);
    const idempotency = new Idempotency({ store, barrier, now });
    if (!fresh && config.jwtSecret === undefined && !config.devMode && options.initialising !== true) {
      if (!(await services.accounts.any())) throw noWayIn();
    }
    const logins = { accounts: services.accounts, sessions: services.sessions, keys: services.signingKeys };
    const loginVerifier = new LoginVerifier({ ...logins, issuer, now });
    const parts = { config, options, log, store, auditor, services, idempotency, database, fresh, providers };
    return await serve({ ...parts, loginVerifier });
  } catch (error) {
    await auditor?.close();
    await store?.close();
    await providers?.close();
    await database.release();
    throw error;
  }
}

async function reachDatabase(config: Config, bootId: string, log: Log): Promise<Database> {
  if (config.database === undefined) return reachSqlite(config.dataPath);
  const { address, caFile, connectionsMax } = config.database;
  if (address.tls !== "verified" && !isOnThisMachine(address.host)) {
    log.warn(
      address.tls === "none"
        ? "what goes to the database is not encrypted (sslmode=disable in KEYSTEAD_DATABASE_URL)"
        : "the database's certificate is not checked (sslmode=require in KEYSTEAD_DATABASE_URL)",
    );
  }
  let ca: string | undefined;
  try {
    ca = caFile === undefined ? undefined : readFileSync(caFile, "utf8");
  } catch {
    throw new StartRefused("KEYSTEAD_DATABASE_CA names a file that cannot be read");
  }
  return reachPostgres({ address, ca, connectionsMax, node: config.node, bootId });
}

function unwrapAll(seal: Seal, place: string, rows: readonly WrappedBarrierKey[]): BarrierKey[] {
  return rows.map((row) => {
    const key = seal.unwrapBarrierKey(row.version, row.wrapped);
    if (key === undefined)
      throw new StartRefused(`KEYSTEAD_ROOT_KEY is not the root key of this ${place}; nothing was changed`);
    return { version: row.version, key };
  });
}

function noWayIn(): StartRefused {
  return new StartRefused("there is no account yet: run `keystead init`, or set KEYSTEAD_JWT_SECRET");
}

/** The first administrator that Go KMS's settings name: once, as long as there never was a client. */
async function makeMasterAdmin({ goKms }: Config, { clientAccounts, auditor }: Services): Promise<void> {
  const { masterAdmin } = goKms;
  if (masterAdmin === undefined) return;
  await clientAccounts.makeFirst(masterAdmin.name, masterAdmin.password, (writes, facts) =>
    auditor.commitChange({ ...serviceFacts("account.create"), ...facts, version: 0 }, writes),
  );
}

/** Server mode on an empty data path takes a way to log in. */
function refuseUnreachable(config: Config, options: ComposeOptions, empty: boolean): void {
  const isClosed = config.jwtSecret === undefined && config.goKms.masterAdmin === undefined;
  if (empty && !config.devMode && isClosed && options.initialising !== true) throw noWayIn();
}

async function openAudit(
  config: Config,
  options: ComposeOptions,
  parts: Pick<AuditorOptions, "store" | "barrier" | "bootId" | "onFatal">,
  log: Log,
): Promise<Auditor> {
  const { auditLog: path, node, auditDurability: durability } = config;
  try {
    if (path !== undefined) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return await openAuditor(
      {
        ...parts,
        node,
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
async function initialise(
  services: { readonly projects: Projects; readonly auditor: Auditor },
  seal: Seal,
  key: BarrierKey,
  nowMs: number,
): Promise<void> {
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
  readonly loginVerifier: LoginVerifier;
  readonly providers: Providers;
  readonly database: Database;
  readonly fresh: boolean;
}

async function serve(parts: Parts): Promise<Keystead> {
  const { config, options, log, store, auditor, services, idempotency, database, fresh } = parts;
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
  const { accounts, issuers } = services;
  const keys = new IssuerKeys({
    plainLoopback: issuers.plainLoopback,
    monotonicMs: () => performance.now(),
    onFailure: (issuer, cause) => {
      log.warn("the keys of an issuer cannot be fetched", { issuer, cause });
    },
  });
  const external = new ExternalIssuers({ issuers, keys, accounts });
  // Whose tokens are told by nothing that they state comes last.
  const verifiers = [parts.loginVerifier, external, ...(jwt === undefined ? [] : [jwt])];
  const authenticator = new Authenticator({ accounts, verifiers, devMode: config.devMode });
  const { ratePerSecond } = config;
  const devClients = !config.devMode ? undefined : config.devAnyAddress ? "any" : "loopback";
  const admission = new Admission({
    auditor,
    authenticator,
    passwords: services.passwords,
    onBusy: (operation) => {
      metrics.countOperation(operation, "busy");
    },
    devClients,
    ratePerSecond,
  });
  const door = new Door(services, idempotency, (operation, outcome) => {
    metrics.countOperation(operation, outcome);
  });
  const clock =
    options.clock ??
    new ClockWatch({
      onJump: (seconds) => {
        log.warn("the clock jumped: nothing is destroyed for an hour", { seconds });
      },
    });
  const health = new Health(
    {
      master_key: () => !services.barrierKeys.outdated,
      storage: async () => {
        const [row] = await store.select({ from: "schema_version", limit: 1 });
        // After a failed change only a change that succeeds proves that the disk takes them again.
        if (row !== undefined && !store.writable()) {
          // To another value and back: SQLite writes nothing where a row stays as it is.
          const other = { version: -row.version };
          await store.commit([
            { update: "schema_version", where: row, set: other },
            { update: "schema_version", where: other, set: row },
          ]);
        }
        return true;
      },
      audit: () => auditor.available,
    },
    clock,
  );
  const { runner: jobs, rewrap } = createJobs({
    store,
    services,
    node: config.node,
    log,
    clock,
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
  const api = { door, admission, metrics, log };
  const enabled = config.facades.map((name) => facades[name]);
  const routes: WireRoute[] = [
    ...nativeApi({ ...api, internalEverywhere: config.exportOnMain }),
    ...enabled.flatMap((facade) => facadeApi(api, facade)),
    ...operatorRoutes({
      ...{ health, metrics, admission, log },
      publicKeys: () => services.signingKeys.publicKeys(),
      openapi: JSON.stringify(openapiDocument({ native: nativeRoutes, facades: enabled, version })),
    }),
    ...docsPage({ admission, metrics, log }),
  ];
  const fallback = facadeFallback(enabled, nativeFallback({ metrics }), metrics);
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
      const deadline = performance.now() + (options.graceMs ?? GRACE_MS);
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
      await parts.providers.close();
      metrics.close();
      await database.release();
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
