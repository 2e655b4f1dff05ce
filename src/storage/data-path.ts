/**
 * The data path: a folder that holds the database and belongs to one process at a time.
 * Invariant: nothing in a folder that is not Keystead's is touched; folders are 0700 and files 0600 whatever the umask;
 * of two processes on one data path the second is refused, and a dead one holds nothing (the kernel frees its lock).
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StartRefused } from "../start-refused.ts";
import { SCHEMA_VERSION } from "./migrations.ts";
import type { Schema } from "./schema.ts";

/** "Kstd": tells our databases from any other SQLite file. */
export const APPLICATION_ID = 0x4b737464;
const DATABASE = "keystead.db";
const LOCK = "lock.db";
/** What may lie in a data path that was never started: our lock, a log that an operator puts there, a mount's folder. */
const harmless =
  /^(lock\.db(-journal)?|keystead\.db(-wal|-shm|-journal)?|audit[^/]*|.*\.log(\.[^/]*)?|lost\+found|admin\.sock|\.env)$/;

export interface DataPath {
  readonly databaseFile: string;
  /** True where a database is already there. */
  readonly initialised: boolean;
  /** Holds the lock until the process ends or this is called. */
  release(): void;
}

/** Takes a data path for this process. Throws StartRefused, with everything left as it was. */
export function takeDataPath(path: string): DataPath {
  refuseForeign(path);
  let lock: DatabaseSync | undefined;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    lock = new DatabaseSync(join(path, LOCK));
    lock.exec("begin exclusive");
  } catch (error) {
    lock?.close();
    throw new StartRefused(`data path ${path} ${whyNotTaken(error)}`);
  }
  const databaseFile = join(path, DATABASE);
  for (const file of [join(path, LOCK), databaseFile, `${databaseFile}-wal`, `${databaseFile}-shm`]) {
    if (existsSync(file)) chmodSync(file, 0o600);
  }
  return {
    databaseFile,
    initialised: existsSync(databaseFile) && statSync(databaseFile).size > 0,
    release: () => {
      lock.close();
    },
  };
}

/** SQLite's code for a lock that another process holds. */
const SQLITE_BUSY = 5;

function whyNotTaken(error: unknown): string {
  const { errcode, code } = error as { readonly errcode?: number; readonly code?: string };
  if (errcode === SQLITE_BUSY) return "is in use by another Keystead process";
  const cause = code === "ERR_SQLITE_ERROR" && error instanceof Error ? error.message : code;
  return `cannot be taken (${cause ?? "unknown"}): it has to be this user's own and writable, and ${LOCK} in it Keystead's`;
}

/** A barrier key as every schema has it. */
export type WrappedBarrierKey = Pick<Schema["barrier_keys"], "version" | "wrapped" | "created_at">;

/** The wrapped barrier keys of an existing database, read without changing a byte of it. */
export function probeBarrierKeys(databaseFile: string): WrappedBarrierKey[] {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(databaseFile, { readOnly: true });
    const id = Number(database.prepare("pragma application_id").get()?.["application_id"]);
    const version = Number(database.prepare("pragma user_version").get()?.["user_version"]);
    if (id === 0 && version === 0) return [];
    if (id !== APPLICATION_ID) throw new StartRefused(`${databaseFile} is not a Keystead database`);
    if (version > SCHEMA_VERSION) {
      throw new StartRefused(`${databaseFile} was written by a newer Keystead (schema ${version})`);
    }
    return database
      .prepare("select version, wrapped, created_at from barrier_keys order by version")
      .all() as unknown as WrappedBarrierKey[];
  } catch (error) {
    if (error instanceof StartRefused) throw error;
    throw new StartRefused(`${databaseFile} cannot be read as a Keystead database`);
  } finally {
    database?.close();
  }
}

function refuseForeign(path: string): void {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) throw new StartRefused(`data path ${path} is not a folder`);
  const foreign = existsSync(join(path, DATABASE))
    ? []
    : readdirSync(path).filter((name) => !harmless.test(name));
  if (foreign.length > 0) {
    throw new StartRefused(`data path ${path} holds another program's files; choose an empty folder`);
  }
}
