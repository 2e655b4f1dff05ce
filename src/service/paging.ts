/**
 * Pages of lists: keyset paging by name.
 * Invariant: a page shows only what the caller may see, and no name twice however the list changes meanwhile. One page costs
 * at most SCANNED_MAX rows, however few of them the caller may see; it then ends early, with a cursor to go on from.
 * A cursor is sealed: it holds the last name that was looked at, which may be one that the caller may not see.
 */
import { KeysteadError } from "../errors.ts";
import type { Slice } from "../storage/slice.ts";

export const PAGE_LIMIT_DEFAULT = 100;
export const PAGE_LIMIT_MAX = 1000;
const ROUND_ROWS = 500;
const SCANNED_MAX = 5000;

export interface PageInput {
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Undefined on the last page. */
  readonly nextCursor: string | undefined;
  /** How many rows were looked at, at most. */
  readonly scanned: number;
}

/** Makes and reads cursors. */
export interface Cursors {
  seal(name: string): string;
  /** The name that a cursor holds; undefined for what `seal` did not make. */
  open(cursor: string): Promise<string | undefined>;
}

/**
 * Reads one page.
 * @param read gives the visible ones among up to `rows` rows whose names come after `afterName`
 * @param namePrefix the stretch of the list that is looked at; `read` gives no others
 */
export async function readPage<T extends { readonly name: string }>(
  cursors: Cursors,
  input: PageInput,
  read: (afterName: string, rows: number) => Promise<Slice<T>>,
  namePrefix = "",
): Promise<Page<T>> {
  const limit = input.limit ?? PAGE_LIMIT_DEFAULT;
  let after = input.cursor === undefined ? justBefore(namePrefix) : await openCursor(cursors, input.cursor);
  const items: T[] = [];
  for (let scanned = 0, rows = limit + 1; ; rows = ROUND_ROWS) {
    const slice = await read(after, rows);
    scanned += rows;
    for (const item of slice.items) {
      if (items.length === limit)
        return { items, nextCursor: cursors.seal(items.at(-1)?.name ?? ""), scanned };
      items.push(item);
    }
    const { lastName } = slice;
    const isPast = lastName !== undefined && lastName > namePrefix && !lastName.startsWith(namePrefix);
    if (lastName === undefined || isPast) return { items, nextCursor: undefined, scanned };
    after = lastName;
    if (scanned > SCANNED_MAX) return { items, nextCursor: cursors.seal(after), scanned };
  }
}

/** A text before all names that begin like this, and behind all that are less: no name but a freed one's mark has a `~`. */
function justBefore(namePrefix: string): string {
  // Nothing else begins a name: what finds nothing may as well look from the start.
  if (!/^[a-zA-Z0-9._-]+$/.test(namePrefix)) return "";
  const last = namePrefix.charCodeAt(namePrefix.length - 1);
  return `${namePrefix.slice(0, -1)}${String.fromCharCode(last - 1)}~`;
}

async function openCursor(cursors: Cursors, cursor: string): Promise<string> {
  const name = await cursors.open(cursor);
  if (name === undefined) {
    throw new KeysteadError("invalid_body", { field: "cursor", detail: "not a cursor of this list" });
  }
  return name;
}
