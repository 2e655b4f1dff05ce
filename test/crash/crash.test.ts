import assert from "node:assert/strict";
import { test } from "node:test";
import { runCrashCycles } from "./crash-cycles.ts";

const CYCLES = 25;

test(`loses nothing acknowledged and no audit entry in ${CYCLES} kills at random moments`, async () => {
  const report = await runCrashCycles(CYCLES, 20_261_122);
  assert.deepEqual(report.broken, []);
  assert.ok(report.changes > CYCLES, `the load made changes (${report.changes})`);
  assert.ok(report.cutOff > 0, "kills met requests under way");
});

test(`loses nothing on PostgreSQL either, in ${CYCLES} kills of the service or of the database`, async () => {
  const report = await runCrashCycles(CYCLES, 20_261_122, undefined, "postgres");
  assert.deepEqual(report.broken, []);
  assert.ok(report.changes > CYCLES, `the load made changes (${report.changes})`);
  assert.ok(report.databaseKills > 5 && report.databaseKills < CYCLES - 5, "both were killed");
  assert.ok(report.cutOff > 0, "kills met requests under way");
});
