/**
 * A real PostgreSQL for the tests: started when a test first asks, one for all test files of a process, each test with a
 * database of its own. test/postgres-keeper.mjs owns it.
 * Invariant: it ends when the process of the tests ends, however that ends.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { Client } from "pg";
import type { CertificateFiles } from "./certificates.ts";

/** Bun runs all test files in one process, with modules of their own: this is how they share one server. */
const SHARED = "KSTEST_POSTGRES";

export interface TestPostgres {
  readonly port: number;
  /** The folder of its files. */
  readonly data: string;
  /** Kills every process of it at once. */
  kill(): Promise<void>;
  /** Starts it anew on the same folder. */
  start(): Promise<void>;
  /** Stops every process of it where it is, until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): void;
}

let shared: Promise<string> | undefined;
let databases = 0;

/** The URL of a new, empty database. */
export async function newDatabase(): Promise<string> {
  shared ??= sharedServer();
  return makeDatabase(await shared);
}

/** The same on a server of the test's own. */
export function newDatabaseOn({ port }: TestPostgres): Promise<string> {
  return makeDatabase(urlOf(port, "postgres"));
}

/** The URL of a new database that holds what another one holds, which nobody is connected to. */
export async function copyDatabase(url: string): Promise<string> {
  const source = new URL(url).pathname.slice(1);
  shared ??= sharedServer();
  return makeDatabase(await shared, source);
}

/** The URL of another database on the same server. */
export function urlOf(port: number, database: string): string {
  return `postgres://keystead@127.0.0.1:${port}/${database}`;
}

/** Runs SQL in a database, as somebody beside the service. */
export async function query(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, options: "-c search_path=keystead,public" });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>({ text: sql, values: [...values] })).rows;
  } finally {
    await client.end();
  }
}

/**
 * Starts a server for one test alone.
 * @param options durable flushes to the disk as an operator's would; tls takes encrypted connections as well
 */
export async function startPostgres(
  options: { readonly durable?: boolean; readonly tls?: CertificateFiles } = {},
): Promise<TestPostgres> {
  const keeper = spawn(
    process.execPath,
    [join(import.meta.dirname, "postgres-keeper.mjs"), JSON.stringify(options)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: keeper.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error("PostgreSQL for the tests did not start");
  // Nothing of it keeps the process of the tests alive.
  unref(keeper);
  const { port, data } = JSON.parse(first.value) as { port: number; data: string };
  const command = async (name: string): Promise<void> => {
    keeper.stdin.write(`${name}\n`);
    if ((await lines.next()).done === true) throw new Error(`the keeper ended before ${name} was done`);
  };
  return {
    port,
    data,
    kill: () => command("kill"),
    start: () => command("start"),
    pause: () => command("pause"),
    resume: () => command("resume"),
    stop: () => {
      keeper.stdin.end();
    },
  };
}

async function sharedServer(): Promise<string> {
  const known = process.env[SHARED];
  if (known !== undefined) return known;
  const { port } = await startPostgres();
  return (process.env[SHARED] = urlOf(port, "postgres"));
}

async function makeDatabase(server: string, template = "template0"): Promise<string> {
  const name = `test_${process.pid}_${++databases}_${Math.random().toString(36).slice(2)}`;
  await query(server, `create database ${name} template ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

function unref(keeper: ChildProcessByStdio<Writable, Readable, null>): void {
  keeper.unref();
  for (const stream of [keeper.stdin, keeper.stdout]) (stream as unknown as { unref?: () => void }).unref?.();
}
