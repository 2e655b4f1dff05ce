import assert from "node:assert/strict";
import { test } from "node:test";
import { KeysteadError } from "../../src/errors.ts";
import { JobRunner } from "../../src/jobs/job-runner.ts";
import { Log } from "../../src/telemetry/log.ts";
import { storeWith } from "../audit/test-auditor.ts";

test("a job's failure is logged with what caused it, and the others are done", async () => {
  await using store = await storeWith([]);
  const lines: string[] = [];
  const log = new Log({ plain: false, write: (line) => lines.push(line) });
  const ran: string[] = [];
  const failing = new KeysteadError("storage_unavailable", { cause: new Error("database or disk is full") });
  const jobs = [
    { name: "failing", run: () => Promise.reject(failing) },
    { name: "next", run: () => Promise.resolve(void ran.push("next")) },
  ];
  await new JobRunner({ store, node: "main", jobs, log, now: Date.now }).runDue();
  assert.deepEqual(ran, ["next"]);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /"job":"failing".*database or disk is full/);
});
