/** The store of one node on a PostgreSQL database, as a start opens it. */
import assert from "node:assert/strict";
import { parseDatabaseUrl } from "../../src/storage/database-url.ts";
import type { Database } from "../../src/storage/database.ts";
import { reachPostgres } from "../../src/storage/postgres-database.ts";
import type { Store } from "../../src/storage/store.ts";

let boots = 0;

/** Reaches a database as a node of this name. */
export function reach(url: string, node = "main"): Promise<Database> {
  const address = parseDatabaseUrl(url);
  assert.ok(typeof address === "object");
  return reachPostgres({ address, ca: undefined, connectionsMax: 10, node, bootId: `boot${++boots}` });
}

/** The same, and opens it. */
export async function openPostgres(url: string, node?: string): Promise<Store> {
  const database = await reach(url, node);
  try {
    const store = await database.open((error) => {
      throw error;
    });
    await database.ready();
    return store;
  } catch (error) {
    await database.release();
    throw error;
  }
}
