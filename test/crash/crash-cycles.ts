/**
 * Kills a real server with SIGKILL at random moments under mixed load, starts it anew, and holds what it then has against an
 * outside record of what it had acknowledged. On PostgreSQL about every other kill meets the database instead, all processes
 * of it: the server stays, refuses, and goes on when the database is back.
 * What must hold after every kill: each acknowledged key and secret opens; each acknowledged answer has its audit entry;
 * each entry of a change has its change and each change its entry, acknowledged or not; the log's sequence has no gap and no line is torn.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { newDatabaseOn, query, startPostgres, type TestPostgres } from "../postgres.ts";

const ROOT = join(import.meta.dirname, "../..");
const WORKERS = 8;
const LOAD_MS_MIN = 20;
const LOAD_MS_MAX = 250;
const BACK_MS_MAX = 30_000;
/** What a server may answer while its database is away. */
const awayCodes = ["storage_unavailable", "outcome_unknown"];

export interface CrashReport {
  readonly seed: number;
  readonly cycles: number;
  /** Answers that the server had given. */
  readonly acknowledged: number;
  /** Of these, changes. */
  readonly changes: number;
  /** Of the kills, those of the database. */
  readonly databaseKills: number;
  /** Requests that the kill cut off, or that were refused while the database was away. */
  readonly cutOff: number;
  readonly auditEntries: number;
  /** Entries that a start appended from the outbox, and bytes of torn lines that it cut. */
  readonly recoveredEntries: number;
  readonly tornBytes: number;
  /** Every broken promise, in words; empty when all held. */
  readonly broken: readonly string[];
}

interface Entry {
  readonly action: string;
  readonly outcome: string;
  readonly request: string;
  readonly resource: string;
  readonly sequence: number;
  readonly version: number;
  readonly details?: Record<string, number>;
}

/**
 * Runs the cycles on one data path, from empty.
 * @param seed makes the same choices again (the moments of the kills within the load remain the machine's)
 */
export async function runCrashCycles(
  cycles: number,
  seed: number,
  onCycle?: (cycle: number) => void,
  store: "sqlite" | "postgres" = "sqlite",
): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), "keystead-crash-"));
  // Without flushes: what a killed process had written, the kernel has.
  const postgres = store === "postgres" ? await startPostgres() : undefined;
  const database = postgres && { postgres, url: await newDatabaseOn(postgres) };
  const run = new CrashRun(folder, seed, database);
  try {
    for (let cycle = 0; cycle < cycles; cycle++) {
      await run.cycle();
      onCycle?.(cycle + 1);
    }
    await run.finish();
  } finally {
    run.stop();
    postgres?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return run.report(cycles);
}

interface CrashDatabase {
  readonly postgres: TestPostgres;
  readonly url: string;
}

class CrashRun {
  readonly #folder: string;
  readonly #database: CrashDatabase | undefined;
  #databaseKills = 0;
  readonly #seed: number;
  #random: () => number;
  #server: Server | undefined;
  #requests = 0;
  #cutOff = 0;
  #changes = 0;
  /** Request ids of acknowledged answers, until their entry is found. */
  readonly #unaudited = new Map<string, string>();
  #acknowledged = 0;
  /** The highest version that was acknowledged, by key. */
  readonly #keys = new Map<string, number>();
  /** Acknowledged ciphertexts with their plaintexts; a sample of bounded size. */
  #ciphertexts: { key: string; ciphertext: string; plaintext: string }[] = [];
  /** By secret: version → the value that was acknowledged for it. */
  readonly #secrets = new Map<string, Map<number, string>>();
  readonly #log: LogReader;
  readonly #broken: string[] = [];
  #entries = 0;
  #recovered = 0;
  #torn = 0;
  #sequence = 0;
  /** Changes that the log speaks of: resource → highest version. */
  #claimed = new Map<string, number>();
  /** The highest version that the log has an entry for, by key: what is in the database may not be beyond it. */
  readonly #recorded = new Map<string, number>();

  constructor(folder: string, seed: number, database: CrashDatabase | undefined) {
    this.#folder = folder;
    this.#database = database;
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#log = new LogReader(join(folder, "audit.log"));
  }

  /** Load, kill, start, verify. */
  async cycle(): Promise<void> {
    const server = (this.#server ??= await this.#start());
    let loading = true;
    const workers = Array.from({ length: WORKERS }, async () => {
      while (loading) if (!(await this.#step(server))) return;
    });
    await new Promise((resolve) =>
      setTimeout(resolve, LOAD_MS_MIN + this.#random() * (LOAD_MS_MAX - LOAD_MS_MIN)),
    );
    const database = this.#random() < 0.5 ? this.#database : undefined;
    if (database === undefined) {
      await server.kill();
      loading = false;
      await Promise.all(workers);
      this.#server = await this.#start();
    } else {
      this.#databaseKills++;
      await database.postgres.kill();
      loading = false;
      await database.postgres.start();
      await Promise.all(workers);
      await this.#untilBack(server, database);
    }
    await this.#verify(this.#server);
  }

  #start(): Promise<Server> {
    return Server.start(this.#folder, this.#database?.url);
  }

  /** Waits until the server makes changes again, and has written the entries of those whose outcome it did not know. */
  async #untilBack(server: Server, { url }: CrashDatabase): Promise<void> {
    const deadline = performance.now() + BACK_MS_MAX;
    let changes = false;
    for (;;) {
      changes ||= (await server.read("POST", "/v1/secrets", { name: "back", value: "back" })) !== undefined;
      if (changes && (await query(url, "select 1 from outbox")).length === 0) return;
      if (performance.now() > deadline)
        throw new Error("the server did not go on when its database was back");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A graceful stop and one more start at the end: nothing may be missing then either. */
  async finish(): Promise<void> {
    await this.#server?.end();
    this.#server = await this.#start();
    this.#claimed = new Map([...this.#keys].map(([key, version]) => [`key:${key}`, version]));
    await this.#verify(this.#server);
  }

  stop(): void {
    void this.#server?.kill();
  }

  report(cycles: number): CrashReport {
    return {
      seed: this.#seed,
      cycles,
      acknowledged: this.#acknowledged,
      changes: this.#changes,
      databaseKills: this.#databaseKills,
      cutOff: this.#cutOff,
      auditEntries: this.#entries,
      recoveredEntries: this.#recovered,
      tornBytes: this.#torn,
      broken: this.#broken,
    };
  }

  /** One request of the mix; false where the server is gone. */
  async #step(server: Server): Promise<boolean> {
    const dice = this.#random();
    const known = [...this.#keys.keys()];
    const key = known[Math.floor(this.#random() * known.length)];
    if (dice < 0.2 || key === undefined) {
      const name = `key-${++this.#requests}`;
      const json = await this.#send(server, "POST", "/v1/keys", { name });
      if (json === undefined) return false;
      this.#changes++;
      this.#keys.set(name, 1);
    } else if (dice < 0.35) {
      const json = await this.#send(server, "POST", `/v1/keys/${key}/rotate`, {});
      if (json === undefined) return false;
      this.#changes++;
      this.#keys.set(key, Math.max(this.#keys.get(key) ?? 0, Number(json["latest_version"])));
    } else if (dice < 0.55) {
      const name = `secret-${Math.floor(this.#random() * 20)}`;
      const value = `value-${++this.#requests}`;
      const json = await this.#send(server, "POST", "/v1/secrets", { name, value });
      if (json === undefined) return false;
      this.#changes++;
      const versions = this.#secrets.get(name) ?? new Map<number, string>();
      versions.set(Number(json["version"]), value);
      this.#secrets.set(name, versions);
    } else {
      const plaintext = `plaintext-${++this.#requests}`;
      const json = await this.#send(server, "POST", `/v1/encrypt/${key}`, { plaintext });
      if (json === undefined) return false;
      const sample = { key, ciphertext: String(json["ciphertext"]), plaintext };
      if (this.#ciphertexts.length < 200) this.#ciphertexts.push(sample);
      else this.#ciphertexts[Math.floor(this.#random() * 200)] = sample;
    }
    return true;
  }

  async #send(
    server: Server,
    method: string,
    path: string,
    body: unknown,
  ): Promise<Record<string, unknown> | undefined> {
    const requestId = `r${++this.#requests}`;
    try {
      const json = await server.send(method, path, body, requestId);
      this.#acknowledged++;
      this.#unaudited.set(requestId, `${method} ${path}`);
      return json;
    } catch (error) {
      if (error instanceof Refused && !(this.#database !== undefined && awayCodes.includes(error.message)))
        this.#broken.push(`${method} ${path} was answered with ${error.message}`);
      else this.#cutOff++;
      return undefined;
    }
  }

  async #verify(server: Server): Promise<void> {
    for (const entry of this.#log.newEntries(this.#broken)) this.#readEntry(entry);
    for (const [id, what] of this.#unaudited)
      this.#broken.push(`no audit entry for the acknowledged ${what} (${id})`);
    this.#unaudited.clear();
    for (const [resource, version] of this.#claimed) await this.#verifyChange(server, resource, version);
    this.#claimed.clear();
    await this.#verifyRecorded(server);
    for (const { key, ciphertext, plaintext } of this.#ciphertexts) {
      const json = await server.read("POST", `/v1/decrypt/${key}`, { ciphertext });
      if (json?.["plaintext"] !== plaintext) this.#broken.push(`a ciphertext of ${key} does not open`);
    }
    for (const [name, versions] of this.#secrets) {
      for (const [version, value] of versions) {
        const json = await server.read("GET", `/v1/secrets/${name}?version=${version}`);
        if (json?.["value"] !== value) this.#broken.push(`version ${version} of ${name} is lost or changed`);
      }
      versions.clear();
    }
  }

  #readEntry(entry: Entry): void {
    this.#entries++;
    if (entry.sequence !== this.#sequence + 1)
      this.#broken.push(`sequence ${entry.sequence} follows ${this.#sequence}`);
    this.#sequence = entry.sequence;
    if (entry.action === "audit.recover") {
      this.#recovered += entry.details?.["entries_appended"] ?? 0;
      this.#torn += entry.details?.["torn_bytes_cut"] ?? 0;
      if (entry.details?.["rows_forged"] !== undefined)
        this.#broken.push("a start took rows of its own outbox for forged ones");
    }
    this.#unaudited.delete(entry.request);
    const isChange = ["key.create", "key.rotate", "secret.put"].includes(entry.action);
    if (isChange && entry.outcome === "ok") {
      this.#claimed.set(entry.resource, Math.max(this.#claimed.get(entry.resource) ?? 0, entry.version));
      this.#recorded.set(entry.resource, Math.max(this.#recorded.get(entry.resource) ?? 0, entry.version));
    }
  }

  /** Every key that is there was made, and rotated, by an entry that is there. */
  async #verifyRecorded(server: Server): Promise<void> {
    for (let cursor: string | undefined = ""; cursor !== undefined;) {
      const json = await server.read("GET", `/v1/keys?limit=1000${cursor === "" ? "" : `&cursor=${cursor}`}`);
      for (const { name, latest_version: latest } of json?.["keys"] as {
        name: string;
        latest_version: number;
      }[]) {
        const recorded = this.#recorded.get(`key:${name}`) ?? 0;
        if (latest > recorded)
          this.#broken.push(`key ${name} is at version ${latest}, its entries at ${recorded}`);
      }
      cursor = json?.["next_cursor"] as string | undefined;
    }
  }

  async #verifyChange(server: Server, resource: string, version: number): Promise<void> {
    const [kind, name = ""] = resource.split(":");
    if (kind === "key") {
      const json = await server.read("GET", `/v1/keys/${name}`);
      const wanted = Math.max(version, this.#keys.get(name) ?? 0);
      if (!(Number(json?.["latest_version"]) >= wanted))
        this.#broken.push(`${resource} has not reached version ${wanted}`);
      const encrypted = await server.read("POST", `/v1/encrypt/${name}`, { plaintext: "opens" });
      if (encrypted === undefined) this.#broken.push(`${resource} does not open`);
    } else {
      const json = await server.read("GET", `/v1/secrets/${name}?version=${version}`);
      if (json === undefined) this.#broken.push(`${resource} has no version ${version}`);
    }
  }
}

/** The server answered with an error although nothing was wrong with the request. */
class Refused extends Error {}

class Server {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #exited: Promise<unknown>;

  private constructor(child: ChildProcess, port: number, exited: Promise<unknown>) {
    this.#child = child;
    this.#port = port;
    this.#exited = exited;
  }

  static async start(folder: string, databaseUrl: string | undefined): Promise<Server> {
    const child = spawn(process.execPath, ["--no-env-file", join(ROOT, "src/main.ts")], {
      env: {
        KEYSTEAD_DEV: "1",
        KEYSTEAD_ADDR: "127.0.0.1:0",
        KEYSTEAD_ROOT_KEY: "11".repeat(32),
        ...(databaseUrl === undefined
          ? { KEYSTEAD_DATA_PATH: folder }
          : { KEYSTEAD_DATABASE_URL: databaseUrl, KEYSTEAD_AUDIT_LOG: join(folder, "audit.log") }),
        KEYSTEAD_LOG_FORMAT: "json",
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      const port = /"addresses":"127\.0\.0\.1:(\d+)"/.exec(line)?.[1];
      if (port !== undefined) {
        child.stderr.resume();
        return new Server(child, Number(port), exited);
      }
    }
    throw new Error(`the server did not start: ${lines.join("\n")}`);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  async end(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#exited;
  }

  /** The answer's JSON. Throws Refused for an error answer, anything else where the connection broke. */
  async send(
    method: string,
    path: string,
    body: unknown,
    requestId: string,
  ): Promise<Record<string, unknown>> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
      method,
      headers: { "content-type": "application/json", "x-request-id": requestId },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Refused(String(json["code"]));
    return json;
  }

  /** As `send`, for looking things up afterwards; undefined for an error answer. */
  async read(method: string, path: string, body?: unknown): Promise<Record<string, unknown> | undefined> {
    try {
      return await this.send(method, path, body, "verify");
    } catch (error) {
      if (error instanceof Refused) return undefined;
      throw error;
    }
  }
}

/** Reads what was appended to the log since the last time. */
class LogReader {
  readonly #path: string;
  #offset = 0;

  constructor(path: string) {
    this.#path = path;
  }

  newEntries(broken: string[]): Entry[] {
    const { size } = statSync(this.#path);
    const bytes = Buffer.alloc(size - this.#offset);
    const fd = openSync(this.#path, "r");
    readSync(fd, bytes, 0, bytes.length, this.#offset);
    closeSync(fd);
    this.#offset = size;
    const text = bytes.toString("utf8");
    if (text !== "" && !text.endsWith("\n")) broken.push("the log ends in a torn line after a start");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as Entry];
        } catch {
          broken.push("a line of the log is no JSON");
          return [];
        }
      });
  }
}

/** A small generator (mulberry32): the same seed, the same choices. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
