/** Writes to the SQLite file of its argument until the system refuses, and prints what became of it. */
import assert from "node:assert/strict";
import { KeysteadError } from "../../src/errors.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";

const [, , file] = process.argv;
assert.ok(file);
let fatal = 0;
const store = await openSqlite(file, () => fatal++);
let rows = 0;
for (; rows < 1000; rows++) {
  try {
    const id = new Uint8Array(Buffer.from(String(rows)));
    await store.commit([
      { insert: "idempotency", row: { id, created_at: "2026", sealed: new Uint8Array(65_536) } },
    ]);
  } catch (error) {
    assert.ok(error instanceof KeysteadError);
    const { code, cause } = error;
    process.stdout.write(`${code}: ${cause instanceof Error ? cause.message : ""}\n`);
    break;
  }
}
const found = await store.select({ from: "idempotency" });
process.stdout.write(`rows: ${found.length === rows ? "all" : found.length}\n`);
process.stdout.write(`fatal: ${fatal}\n`);
await store.close().catch(() => undefined);
