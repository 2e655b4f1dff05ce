/** The number that a start goes on from, and what one without a log leaves alone. */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import { temporaryFolder } from "../harness.ts";
import { FakeSink } from "./fake-sink.ts";
import { actions, leftEntry, lines, openTestAuditor, outboxRow, storeWith } from "./test-auditor.ts";

describe("the sequence of a node", () => {
  test("goes on after a stop though the log was moved away, and there were only reads", async () => {
    const path = join(temporaryFolder(), "audit.log");
    await using store = await storeWith([]);
    const first = await openTestAuditor(store, { path });
    for (let i = 0; i < 100; i++) await first.record(serviceFacts("test.read"));
    await first.close();
    rmSync(path);
    const second = await openTestAuditor(store, { path });
    await second.record(serviceFacts("test.read"));
    await second.close();
    assert.deepEqual(
      lines(readFileSync(path, "utf8")).map(({ sequence }) => sequence),
      [101],
    );
  });

  test("goes on from the log where somebody put an impossible number into the database, and says so", async () => {
    const path = join(temporaryFolder(), "audit.log");
    await using store = await storeWith([]);
    const first = await openTestAuditor(store, { path });
    await first.record(serviceFacts("test.read"));
    await first.close();
    const row = { node: "main", sequence: Number.MAX_SAFE_INTEGER };
    await store.commit([{ upsert: "audit_heads", row, conflict: "node" }]);
    const second = await openTestAuditor(store, { path });
    await second.close();
    const [, recovered] = lines(readFileSync(path, "utf8"));
    assert.deepEqual(
      [recovered?.sequence, recovered?.action, recovered?.severity, recovered?.details?.["heads_forged"]],
      [2, "audit.recover", "CRITICAL", 1],
    );
    const [stored] = await store.select({ from: "audit_heads" });
    assert.equal(stored?.sequence, 2);
  });
});

test("a start without a log leaves what a crash left in the outbox to one that has a log", async () => {
  const left = leftEntry("left-1", "main");
  await using store = await storeWith([]);
  await store.commit([outboxRow(left)]);
  const without = await openTestAuditor(store, {});
  await without.commitChange(serviceFacts("test.change"), []);
  await without.close();
  assert.deepEqual(
    (await store.select({ from: "outbox" })).map(({ id }) => id),
    [left.id],
  );
  const sink = new FakeSink();
  await (await openTestAuditor(store, { sink })).close();
  assert.deepEqual(actions(sink.text), ["test.change", "audit.recover"]);
});
