/**
 * A lease on a job, so that one node at a time does it.
 * Invariant: a lease is taken by a change that no other node can make at the same time; a node that dies leaves one that
 * runs out. What a job does is safe when two nodes do it all the same: a lease only saves work.
 */
import { StoreConflict, type Store } from "../storage/store.ts";

export interface LeaseOptions {
  readonly store: Store;
  /** The node that asks. */
  readonly holder: string;
  readonly name: string;
  readonly ttlSeconds: number;
}

/** Takes or renews the lease; false where another node has it. */
export async function takeLease(
  { store, holder, name, ttlSeconds }: LeaseOptions,
  nowMs: number,
): Promise<boolean> {
  const expires = new Date(nowMs + ttlSeconds * 1000).toISOString();
  const [row] = await store.select({ from: "leases", where: { name } });
  const now = new Date(nowMs).toISOString();
  // A node whose clock was ahead must not keep others out for longer than a lease lasts.
  const isHeld =
    row !== undefined && row.holder !== holder && row.expires_at > now && row.expires_at <= expires;
  if (isHeld) return false;
  try {
    if (row === undefined) {
      await store.commit([{ insert: "leases", row: { name, holder, revision: 1, expires_at: expires } }]);
    } else {
      const set = { holder, revision: row.revision + 1, expires_at: expires };
      await store.commit([{ update: "leases", where: { name, revision: row.revision }, set }]);
    }
    return true;
  } catch (error) {
    if (error instanceof StoreConflict) return false;
    throw error;
  }
}
