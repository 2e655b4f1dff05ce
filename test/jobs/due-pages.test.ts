import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dueInPages, type Due } from "../../src/jobs/due-pages.ts";

/** Rows in the order of their time, which can be read, and what was read of them. */
function table(times: readonly number[]) {
  const rows = times.map((time, i): Due => ({ id: `id-${i}`, dueAt: String(time).padStart(8, "0") }));
  const counted = { reads: 0, rows: 0 };
  const read = (after: string, limit: number): Promise<Due[]> => {
    const page = rows.filter(({ dueAt }) => dueAt > after).slice(0, limit);
    counted.reads++;
    counted.rows += page.length;
    return Promise.resolve(page);
  };
  return { rows, read, counted };
}

async function all(read: (after: string, rows: number) => Promise<Due[]>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of dueInPages(read)) ids.push(id);
  return ids;
}

const range = (length: number, timeOf: (i: number) => number): number[] =>
  Array.from({ length }, (_, i) => timeOf(i));

describe("what stays due", () => {
  for (const [what, times] of [
    ["nothing", []],
    ["all at times of their own", range(1000, (i) => i)],
    ["all at one time", range(1000, () => 7)],
    ["in groups that end with a page", range(1000, (i) => Math.floor(i / 100))],
    ["in groups that cross pages", range(1000, (i) => Math.floor(i / 37))],
    ["one group among many times", range(1000, (i) => (i < 300 ? i : i < 800 ? 300 : i))],
  ] as const) {
    test(`comes once, and is read a few times at most: ${what}`, async () => {
      const { rows, read, counted } = table(times);
      assert.deepEqual(
        await all(read),
        rows.map(({ id }) => id),
      );
      assert.ok(counted.rows <= 4 * rows.length, `${counted.rows} rows in ${counted.reads} reads`);
    });
  }

  test("hides nothing, where what was done is due no more", async () => {
    const { rows, read } = table(range(500, (i) => Math.floor(i / 150)));
    const done = new Set<string>();
    for await (const { id } of dueInPages(async (after, limit) => {
      const left = await read(after, Infinity);
      return left.filter(({ id }) => !done.has(id)).slice(0, limit);
    }))
      if (Number(id.slice(3)) % 3 > 0) done.add(id);
      else assert.ok(!done.has(id));
    assert.equal(done.size, rows.filter((_, i) => i % 3 > 0).length);
  });
});
