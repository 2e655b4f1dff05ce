import assert from "node:assert/strict";
import { test } from "node:test";
import { runRotationCycles } from "./rotation-cycles.ts";

const CYCLES = 25;

test(`rotations of barrier and root, killed ${CYCLES} times at random moments, lose nothing and complete`, async () => {
  const report = await runRotationCycles(CYCLES, 20_261_122);
  assert.deepEqual(report.broken, []);
  assert.ok(report.barrierRotations >= 5 && report.rootRotations >= 5, JSON.stringify(report));
  assert.ok(report.version > report.barrierRotations, "each acknowledged rotation made a version");
});
