/** Pages of lists: what a prefix costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readPage } from "../../src/service/paging.ts";

const cursors = { seal: (name: string) => name, open: (cursor: string) => Promise.resolve(cursor) };
const byBytes = (a: string, b: string): number => (a < b ? -1 : 1);
const name = fc.stringMatching(/^[a-c0.-][a-cA0._-]{0,4}$/);

test("a page by prefix has all names with it, and looks at no row before them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(name, { maxLength: 40 }),
      fc.oneof(name, fc.constant("")),
      fc.integer({ min: 1, max: 50 }),
      async (names, namePrefix, limit) => {
        const sorted = ["~freed", ...names].sort(byBytes);
        const looked: string[] = [];
        const read = (
          after: string,
          rows: number,
        ): Promise<{ items: { name: string }[]; lastName?: string }> => {
          const found = sorted.filter((one) => one > after).slice(0, rows);
          looked.push(...found);
          const items = found.filter((one) => one.startsWith(namePrefix)).map((one) => ({ name: one }));
          return Promise.resolve({
            items,
            lastName: found.length < rows ? undefined : found.at(-1),
          } as never);
        };
        const page = await readPage(cursors, { limit, cursor: undefined }, read as never, namePrefix);
        const wanted = sorted.filter((one) => one.startsWith(namePrefix));
        assert.deepEqual(
          (page.items as { name: string }[]).map((item) => item.name),
          wanted.slice(0, limit),
        );
        assert.equal(page.nextCursor === undefined, wanted.length <= limit);
        assert.ok(looked.every((one) => one >= namePrefix));
      },
    ),
  );
});
