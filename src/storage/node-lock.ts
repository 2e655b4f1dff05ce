/**
 * The hold on a node's name: an advisory lock of PostgreSQL, kept by a connection of its own for as long as the process
 * lives. Audit sequences and outbox rows go by this name, so that two processes must not have the same one.
 * Invariant: no change is begun while the lock is not held; when its connection is lost, it is taken anew before anything
 * else is changed, and where another process has taken it meanwhile, the owner is told to end.
 */
import { Client } from "pg";
import { connectionConfig, type ConnectionOptions } from "./postgres-connection.ts";

/** "Kstd": tells our advisory locks from those of others in the same database. */
const LOCK_CLASS = 0x4b737464;
/** For what every node does one after the other: building tables, making the first records. */
const START_LOCK = 0;
const RETRY_MS = 250;
/** A process that has just died may not have been noticed yet. */
const TAKE_MS_MAX = 2000;

export interface NodeLockOptions {
  readonly connection: ConnectionOptions;
  readonly node: string;
  /** Another process holds the name now. */
  readonly onLost: () => void;
}

export class NodeLock {
  readonly #options: NodeLockOptions;
  readonly #number: number;
  #client: Client | undefined;
  #onLost: () => void;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: NodeLockOptions) {
    this.#options = options;
    this.#onLost = options.onLost;
    this.#number = lockNumber(options.node);
  }

  /** True while this process has its name for itself. */
  get held(): boolean {
    return this.#client !== undefined;
  }

  /**
   * Takes the name, over an open connection which is the lock's from then on.
   * @returns false where another process has it
   */
  async take(client: Client): Promise<boolean> {
    const deadline = performance.now() + TAKE_MS_MAX;
    while (!(await this.#tryTake(client))) {
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS / 5));
    }
    this.#hold(client);
    return true;
  }

  /** From now on told when another process took the name. */
  watch(onLost: () => void): void {
    this.#onLost = onLost;
  }

  async release(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #tryTake(client: Client): Promise<boolean> {
    const { rows } = await client.query<{ taken: boolean }>("select pg_try_advisory_lock($1, $2) as taken", [
      LOCK_CLASS,
      this.#number,
    ]);
    return rows[0]?.taken === true;
  }

  #hold(client: Client): void {
    this.#client = client;
    client.once("end", () => {
      if (this.#client !== client) return;
      this.#client = undefined;
      this.#retryLater();
    });
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#retryTimer = setTimeout(() => void this.#retry(), RETRY_MS);
    this.#retryTimer.unref();
  }

  async #retry(): Promise<void> {
    const client = new Client(connectionConfig(this.#options.connection));
    client.on("error", () => undefined);
    try {
      await client.connect();
      if (await this.#tryTake(client)) {
        if (this.#closed) await client.end();
        else this.#hold(client);
        return;
      }
      const holder = await this.#holder(client);
      // The database has not noticed yet that the connection which held it is gone.
      const own = holder?.name === this.#options.connection.applicationName;
      if (own) await client.query("select pg_terminate_backend($1)", [holder.pid]);
      await client.end();
      if (!own && holder !== undefined) {
        this.#onLost();
        return;
      }
    } catch {
      await client.end().catch(() => undefined);
    }
    this.#retryLater();
  }

  async #holder(client: Client): Promise<{ pid: number; name: string } | undefined> {
    const { rows } = await client.query<{ pid: number; name: string }>(
      `select a.pid, a.application_name as name from pg_locks l join pg_stat_activity a on a.pid = l.pid
       where l.locktype = 'advisory' and l.granted and a.datname = current_database()
       and l.classid::bigint = $1 and l.objid::bigint = $2 and l.objsubid = 2`,
      [LOCK_CLASS, this.#number],
    );
    return rows[0];
  }
}

/** Waits until no other node is starting. */
export async function takeStartLock(client: Client): Promise<void> {
  await client.query("set lock_timeout = '60s'; set statement_timeout = 0");
  await client.query({ text: "select pg_advisory_lock($1, $2)", values: [LOCK_CLASS, START_LOCK] });
}

/** Lets the next node start. */
export async function releaseStartLock(client: Client): Promise<void> {
  await client.query("select pg_advisory_unlock($1, $2)", [LOCK_CLASS, START_LOCK]);
}

/** A number for a name (FNV-1a), positive and never START_LOCK. */
function lockNumber(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash & 0x7fffffff || 1;
}
