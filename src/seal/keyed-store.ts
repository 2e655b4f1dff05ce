/**
 * The store as a node sees it that shares its database: rows that another node sealed with a barrier key of its making
 * come out only when that key is here, and nothing goes in that was sealed with a key which is gone.
 * Invariant: a key that no node has seen for STALE_MS seals nothing, nor does any key of a node that cannot open the newest
 * one; deleting a key waits far longer than that.
 */
import { Buffer } from "node:buffer";
import { KeysteadError } from "../errors.ts";
import type { Schema, TableName } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { sealedVersion } from "./barrier.ts";
import type { BarrierKeys } from "./barrier-keys.ts";

/** Keys are read every half second; where that failed for so long, no change is made before they are. */
const STALE_MS = 5000;

/** For each table, its columns that the barrier seals. */
export type SealedColumns = ReadonlyMap<string, readonly string[]>;

/**
 * A store over another one, for one node of several.
 * @param staleMs how old the reading of the keys may be, and how long a change waits for another one
 */
export function keyedStore(
  store: Store,
  keys: BarrierKeys,
  columns: SealedColumns,
  staleMs = STALE_MS,
): Store {
  return {
    exclusive: store.exclusive,
    async select<T extends TableName>(query: Parameters<typeof store.select<T>>[0]): Promise<Schema[T][]> {
      const rows = await store.select(query);
      const sealed = columns.get(query.from);
      if (sealed !== undefined)
        for (const version of unknownIn(rows, sealed, keys)) await keys.knows(version);
      return rows;
    },
    async commit(writes: readonly Write[]): Promise<void> {
      // With a limit: what changes the keys at this moment may itself wait for this change.
      if (keys.ageMs > staleMs) await within(staleMs, keys.read());
      if (keys.outdated) throw unavailable("the root key was changed elsewhere");
      for (const write of writes) {
        const [table, row] = written(write);
        const sealed = columns.get(table);
        if (row === undefined || sealed === undefined) continue;
        // Whoever meets a conflict reads again, and seals with the key of today.
        if (unknownIn([row], sealed, keys).size > 0) throw new StoreConflict(table);
      }
      await store.commit(writes);
    },
    scrub: () => store.scrub(),
    writable: () => store.writable(),
    waiting: () => store.waiting(),
    close: () => store.close(),
  };
}

/** The sealed bytes of a column; where the column is text, they stand there in base64. */
export function sealedBytesOf(value: unknown): Buffer | undefined {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return typeof value === "string" ? Buffer.from(value, "base64") : undefined;
}

async function within(ms: number, reading: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(unavailable("the barrier's keys cannot be read"));
    }, ms);
  });
  await Promise.race([reading, late]).finally(() => {
    clearTimeout(timer);
  });
}

function unavailable(cause: string): KeysteadError {
  return new KeysteadError("storage_unavailable", { cause: new Error(cause) });
}

function unknownIn(rows: readonly object[], columns: readonly string[], keys: BarrierKeys): Set<number> {
  const unknown = new Set<number>();
  for (const row of rows) {
    for (const column of columns) {
      const bytes = sealedBytesOf((row as Record<string, unknown>)[column]);
      const version = bytes === undefined ? undefined : sealedVersion(bytes);
      if (version !== undefined && !keys.barrier.has(version)) unknown.add(version);
    }
  }
  return unknown;
}

function written(write: Write): [TableName, object | undefined] {
  if ("insert" in write) return [write.insert, write.row];
  if ("update" in write) return [write.update, write.set];
  return "upsert" in write ? [write.upsert, write.row] : [write.delete, undefined];
}
