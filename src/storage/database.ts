/**
 * A database at a start, before anything in it is opened or changed: SQLite in a data path, or PostgreSQL.
 * Invariant: `barrierKeys` was read without writing; `open` is called only when their root key is known to be right.
 */
import { probeBarrierKeys, takeDataPath, type WrappedBarrierKey } from "./data-path.ts";
import { openSqlite } from "./sqlite.ts";
import type { Store } from "./store.ts";

export interface Database {
  /** The wrapped barrier keys; none where the database is new. */
  readonly barrierKeys: readonly WrappedBarrierKey[];
  /**
   * Makes the tables, or brings them up to date.
   * @param onFatal called once when nothing more can be promised
   */
  open(onFatal: (error: Error) => void): Promise<Store>;
  /** The first records are made: another node may start. */
  ready(): Promise<void>;
  /** Gives up what keeps others out; after the store was closed. */
  release(): Promise<void>;
}

/** Takes a data path for this process; undefined keeps everything in memory. Throws StartRefused. */
export function reachSqlite(path: string | undefined): Database {
  const dataPath = path === undefined ? undefined : takeDataPath(path);
  const release = (): Promise<void> => {
    dataPath?.release();
    return Promise.resolve();
  };
  try {
    return {
      barrierKeys: dataPath?.initialised === true ? probeBarrierKeys(dataPath.databaseFile) : [],
      open: (onFatal) => openSqlite(dataPath?.databaseFile ?? ":memory:", onFatal),
      ready: () => Promise.resolve(),
      release,
    };
  } catch (error) {
    dataPath?.release();
    throw error;
  }
}
