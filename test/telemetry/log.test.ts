import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { KeysteadError } from "../../src/errors.ts";
import { Log } from "../../src/telemetry/log.ts";

test("a condition of the service is one line a second for each code, with how many others there were", (t) => {
  let nowMs = 10_000;
  t.after(() => {
    mock.restoreAll();
  });
  mock.method(performance, "now", () => nowMs);
  const lines: Record<string, unknown>[] = [];
  const log = new Log({
    plain: false,
    write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>),
  });
  const shown = (): unknown[] =>
    lines.splice(0).map(({ code, more }) => (more === undefined ? code : [code, more]));

  const conditions = ["audit_unavailable", "storage_unavailable", "busy", "stopping"] as const;
  for (let i = 0; i < 100; i++)
    for (const code of conditions) log.failure("key.encrypt", "r", new KeysteadError(code));
  assert.deepEqual(shown(), conditions);
  nowMs += 999;
  log.failure("key.encrypt", "r", new KeysteadError("busy"));
  assert.deepEqual(shown(), []);
  nowMs += 1;
  log.failure("key.encrypt", "r", new KeysteadError("busy"));
  log.failure("key.encrypt", "r", new KeysteadError("busy"));
  assert.deepEqual(shown(), [["busy", 100]]);
  // What went wrong with one request is told each time.
  for (let i = 0; i < 3; i++) log.failure("key.encrypt", "r", new KeysteadError("internal_error"));
  assert.deepEqual(shown(), ["internal_error", "internal_error", "internal_error"]);
});
