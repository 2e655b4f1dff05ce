import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { canonicalLine } from "../../src/audit/entry.ts";
import { cutTornLine, entriesBackward, type FoundEntry } from "../../src/audit/log-tail.ts";
import { temporaryFolder } from "../harness.ts";
import { leftEntry, openTestAuditor, outboxRow, storeWith } from "./test-auditor.ts";

const MIB = 1 << 20;
const newLog = (): string => join(temporaryFolder(), "audit.log");
const lineOf = (id: string, sequence: number): string => canonicalLine(leftEntry(id, "main"), sequence);
const newest = (path: string): FoundEntry["entry"] | undefined => {
  for (const { entry } of entriesBackward(path)) return entry;
  return undefined;
};
const idsOf = (path: string): string[] => [...entriesBackward(path)].map(({ entry }) => entry.id);

describe("an audit log that is read from its end", () => {
  test("shows its entries wherever the pieces that it is read in begin and end", () => {
    const path = newLog();
    // Lines that fall on every place of the borders between the first pieces.
    for (const shift of [0, 1, 2, 100]) {
      const ids: string[] = [];
      let text = "";
      while (text.length < 2.2 * MIB) {
        ids.push(`e-${ids.length}`);
        text += lineOf(ids.at(-1) ?? "", ids.length);
        if (ids.length % 4000 === 0) text += `${"x".repeat(shift)}\n\n`;
      }
      writeFileSync(path, text);
      assert.deepEqual(idsOf(path), ids.toReversed());
    }
  });

  test("shows the entries before and after a line of any length, and not that line", () => {
    for (const bytes of [MIB - 1, MIB, MIB + 1, 5 * MIB]) {
      const path = newLog();
      writeFileSync(path, `${lineOf("first", 1)}${"x".repeat(bytes)}\n${lineOf("last", 2)}`);
      assert.deepEqual(idsOf(path), ["last", "first"]);
    }
  });

  test("of more than 4 GiB is read from the end only, and goes on", async () => {
    const path = newLog();
    const bytes = 4.5 * 1024 * MIB;
    const fd = openSync(path, "w");
    ftruncateSync(fd, bytes);
    closeSync(fd);
    appendFileSync(path, `\n${lineOf("last", 41)}torn`);
    const startedAt = performance.now();
    await using store = await storeWith([]);
    const auditor = await openTestAuditor(store, { path });
    assert.equal(auditor.log.head, 42, "the last entry, and the one that tells of the torn line");
    assert.ok(performance.now() - startedAt < 2000);
    await auditor.close();
    assert.ok(statSync(path).size > bytes);
    assert.equal(newest(path)?.sequence, 42);
  });

  test("loses a torn line of any length", () => {
    for (const bytes of [1, MIB - 1, MIB, 3 * MIB]) {
      const path = newLog();
      writeFileSync(path, `${lineOf("whole", 1)}${"x".repeat(bytes)}`);
      assert.equal(cutTornLine(path), bytes);
      assert.deepEqual(idsOf(path), ["whole"]);
    }
  });
});

describe("the files that an audit log was renamed to", () => {
  /** Three files whose times, after a jump of the clock or a copy, say the opposite of their order. */
  const rotated = (): string => {
    const path = newLog();
    for (const [i, name] of ["a", "b", "c"].entries()) {
      writeFileSync(
        `${path}.${name}`,
        `${lineOf(`e-${2 * i + 1}`, 2 * i + 1)}${lineOf(`e-${2 * i + 2}`, 2 * i + 2)}`,
      );
      utimesSync(`${path}.${name}`, 1000, 5000 - i);
    }
    return path;
  };

  test("are read in the order of their entries, whatever the clock says", () => {
    assert.deepEqual(idsOf(rotated()), ["e-6", "e-5", "e-4", "e-3", "e-2", "e-1"]);
  });

  test("give the next number, and are searched for what the outbox holds, whatever the clock says", async () => {
    const path = rotated();
    await using store = await storeWith([]);
    await store.commit([outboxRow(leftEntry("e-5", "main"), 4)]);
    const auditor = await openTestAuditor(store, { path });
    await auditor.close();
    const entry = newest(path);
    assert.deepEqual([entry?.sequence, entry?.details], [7, { entries_appended: 0, torn_bytes_cut: 0 }]);
  });

  test("are closed again", { skip: !existsSync("/proc/self/fd") }, () => {
    const path = rotated();
    const before = readdirSync("/proc/self/fd").length;
    assert.equal(newest(path)?.sequence, 6);
    assert.equal(readdirSync("/proc/self/fd").length, before);
  });

  test("may be links that lead nowhere", () => {
    const path = rotated();
    symlinkSync(`${path}.gone`, `${path}.link`);
    assert.equal(idsOf(path).length, 6);
  });
});
