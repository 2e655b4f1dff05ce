import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import { canonicalLine } from "../../src/audit/entry.ts";
import { sealOutboxRow } from "../../src/audit/outbox.ts";
import { secretBytes } from "../../src/bytes.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import type { Write } from "../../src/storage/store.ts";
import { temporaryFolder } from "../harness.ts";
import { FakeSink } from "./fake-sink.ts";
import {
  actions,
  barrier,
  bound,
  leftEntry,
  lines,
  openTestAuditor,
  outboxRow,
  storeWith,
  until,
  watchCommits,
} from "./test-auditor.ts";

describe("the outbox", () => {
  test("is not cleaned at a start before the disk has what was found in the log", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const entry = leftEntry("left-1", "main");
    // What kill -9 leaves: the line is in the file, nobody flushed it.
    writeFileSync(path, canonicalLine(entry, 1));
    const sink = new FakeSink();
    await using store = await storeWith([entry]);
    const syncsAtCommit: number[] = [];
    const watched = watchCommits(store, () => syncsAtCommit.push(sink.syncs));
    const auditor = await openTestAuditor(watched, { path, sink });
    assert.equal((await store.select({ from: "outbox" })).length, 0);
    assert.deepEqual(syncsAtCommit, [1]);
    assert.deepEqual(actions(sink.text), ["audit.recover"], "and the line is not written twice");
    await auditor.close();
  });

  test("loses the entries of an outage when the disk has them", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    const auditor = await openTestAuditor(store, { sink });
    sink.failing = true;
    await assert.rejects(auditor.commitChange(serviceFacts("test.change"), []), {
      code: "audit_unavailable",
    });
    assert.equal((await store.select({ from: "outbox" })).length, 1, "the change was committed");
    sink.failing = false;
    await until(async () => (await store.select({ from: "outbox" })).length === 0);
    assert.deepEqual(actions(sink.text), ["audit.resume", "test.change"]);
    await auditor.close();
  });

  test("takes no change while the log cannot be written", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    let commits = 0;
    const auditor = await openTestAuditor(
      watchCommits(store, () => commits++),
      { sink },
    );
    sink.failing = true;
    await assert.rejects(auditor.record(serviceFacts("test.read")), { code: "audit_unavailable" });
    await assert.rejects(auditor.commitChange(serviceFacts("test.change"), []), {
      code: "audit_unavailable",
    });
    assert.equal(commits, 0);
    await auditor.close();
  });

  test("gives a renamed node what it left under its old name, once", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const [written, missing] = [leftEntry("left-1", "old"), leftEntry("left-2", "old")];
    writeFileSync(path, canonicalLine(written, 1));
    await using store = await storeWith([written, missing]);
    await (await openTestAuditor(store, { path, node: "new" })).close();
    assert.equal((await store.select({ from: "outbox" })).length, 0);
    // A crash between the log and the outbox: the row is there again, its line is under the new name.
    await store.commit([outboxRow(missing)]);
    await (await openTestAuditor(store, { path, node: "new" })).close();
    const entries = lines(readFileSync(path, "utf8"));
    assert.deepEqual(
      entries.map(({ action, node, sequence }) => [action, node, sequence]),
      [
        ["test.change", "old", 1],
        ["test.change", "new", 1],
        ["audit.recover", "new", 2],
        ["audit.recover", "new", 3],
      ],
    );
    assert.deepEqual([entries[1]?.id, entries[1]?.details], [missing.id, { count: 1, node: "old" }]);
    assert.deepEqual(entries[3]?.details, { entries_appended: 0, torn_bytes_cut: 0 });
  });

  test("is appended in the order the changes were made, whatever their times and the order of the rows", async () => {
    const sink = new FakeSink();
    const made = ["b-y", "b-z", "b-10", "b-11"].map((id, i) => ({
      ...leftEntry(id, "main"),
      // The clock goes back between any two.
      time: `2026-11-22T00:00:0${9 - i}.000Z`,
    }));
    await using store = await storeWith(made.toReversed());
    const auditor = await openTestAuditor(store, { sink });
    assert.deepEqual(
      lines(sink.text)
        .slice(0, -1)
        .map(({ id }) => id),
      made.map(({ id }) => id),
    );
    await auditor.close();
  });

  test("keeps the rows of other nodes where they share the database", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([leftEntry("left-1", "other")]);
    const auditor = await openTestAuditor({ ...bound(store), exclusive: false }, { sink });
    assert.equal((await store.select({ from: "outbox" })).length, 1);
    assert.equal(sink.text, "");
    await auditor.close();
  });
});

describe("an outbox that somebody else wrote to", () => {
  const entry = leftEntry("left-1", "main");
  const own = sealOutboxRow(barrier, entry, 0);
  const other = sealOutboxRow(barrier, leftEntry("left-2", "main"), 0);
  const otherKey = new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 8)) }]);
  const flipped = Buffer.from(own.entry, "base64");
  flipped[40]! ^= 1;

  for (const [title, rows] of [
    ["a forged row in plain JSON", [{ ...own, entry: JSON.stringify(entry) }]],
    ["a row that another key sealed", [sealOutboxRow(otherKey, entry, 0)]],
    ["a row moved to another id", [{ ...own, id: "left-3" }]],
    [
      "two rows whose entries were swapped",
      [
        { ...own, entry: other.entry },
        { ...other, entry: own.entry },
      ],
    ],
    ["a row under another node's name", [{ ...own, node: "other" }]],
    ["a row with another place in the sequence", [{ ...own, after_sequence: 7 }]],
    ["an edited entry", [{ ...own, entry: flipped.toString("base64") }]],
    ["an entry that is cut short", [{ ...own, entry: own.entry.slice(0, 8) }]],
    ["no base64 at all", [{ ...own, entry: "" }]],
  ] as const) {
    test(`${title} does not reach the log, is counted as CRITICAL and is gone then`, async () => {
      const sink = new FakeSink();
      await using store = await storeWith([]);
      const genuine = sealOutboxRow(barrier, leftEntry("genuine", "main"), 0);
      await store.commit([...rows, genuine].map((row): Write => ({ insert: "outbox", row })));
      const auditor = await openTestAuditor(store, { sink });
      const [appended, recovered, ...more] = lines(sink.text);
      assert.deepEqual(
        [appended?.id, recovered?.action, recovered?.severity, more],
        ["genuine", "audit.recover", "CRITICAL", []],
      );
      assert.deepEqual(recovered?.details, {
        entries_appended: 1,
        rows_forged: rows.length,
        torn_bytes_cut: 0,
      });
      assert.deepEqual(await store.select({ from: "outbox" }), []);
      await auditor.close();
    });
  }

  test("reads nothing in it: entries are sealed there", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    const auditor = await openTestAuditor(store, { sink });
    sink.failing = true;
    const facts = { ...serviceFacts("test.change"), caller: "service:canary", resource: "key:canary" };
    await assert.rejects(auditor.commitChange(facts, []), { code: "audit_unavailable" });
    const [row] = await store.select({ from: "outbox" });
    assert.ok(row);
    for (const text of [row.entry, Buffer.from(row.entry, "base64").toString("latin1")])
      assert.ok(!text.includes("canary") && !text.includes("test.change"));
    await auditor.close();
    const again = new FakeSink();
    await (await openTestAuditor(store, { sink: again })).close();
    assert.equal(lines(again.text)[0]?.resource, "key:canary", "and the next start opens it");
  });
});
