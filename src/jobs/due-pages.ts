/**
 * What is due, earliest first, a page at a time.
 * Invariant: each comes once, also where it stays due; what stays hides nothing behind it, and is read a bounded number of
 * times however much of it there is.
 */
const PAGE_ROWS = 100;

export interface Due {
  readonly id: string;
  /** When its time came, as its row says. */
  readonly dueAt: string;
}

/** @param read gives at most `rows` of those that became due after a time, in that order */
export async function* dueInPages<T extends Due>(
  read: (after: string, rows: number) => Promise<readonly T[]>,
): AsyncGenerator<T, undefined> {
  let after = "";
  let rows = PAGE_ROWS;
  let seen = new Set<string>();
  for (;;) {
    const page = await read(after, rows);
    for (const due of page) if (!seen.has(due.id)) yield due;
    if (page.length < rows) return;
    // More may have become due at the moment of the last one: it is met again.
    const last = page.at(-1)?.dueAt;
    const before = page.findLast(({ dueAt }) => dueAt !== last)?.dueAt;
    seen = new Set(page.filter(({ dueAt }) => dueAt === last).map(({ id }) => id));
    if (before === undefined) rows *= 2;
    else {
      after = before;
      rows = PAGE_ROWS;
    }
  }
}
