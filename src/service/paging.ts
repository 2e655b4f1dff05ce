/**
 * Pages of lists: keyset paging by name.
 * Cursor: the last name of the page before, as base64url; it says nothing that the page did not.
 * Invariant: a page shows only what the caller may see, and no name twice however the list changes meanwhile.
 */
import { Buffer } from "node:buffer";
import { decodeBase64Url, decodeUtf8 } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";

export const PAGE_LIMIT_DEFAULT = 100;
export const PAGE_LIMIT_MAX = 1000;

export interface PageInput {
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Undefined on the last page. */
  readonly nextCursor: string | undefined;
}

/**
 * Reads one page.
 * @param read gives up to `limit` items whose names come after `afterName`
 * @param isVisible leaves out what the caller may not see
 */
export async function readPage<T extends { readonly name: string }>(
  input: PageInput,
  read: (afterName: string, limit: number) => Promise<T[]>,
  isVisible: (item: T) => boolean = () => true,
): Promise<Page<T>> {
  const limit = input.limit ?? PAGE_LIMIT_DEFAULT;
  let after = input.cursor === undefined ? "" : nameOf(input.cursor);
  const items: T[] = [];
  for (;;) {
    const batch = await read(after, limit + 1);
    for (const item of batch) {
      if (!isVisible(item)) continue;
      if (items.length === limit) return { items, nextCursor: cursorOf(items.at(-1)?.name ?? "") };
      items.push(item);
    }
    const last = batch.at(-1);
    if (last === undefined || batch.length <= limit) return { items, nextCursor: undefined };
    after = last.name;
  }
}

function cursorOf(name: string): string {
  return Buffer.from(name, "utf8").toString("base64url");
}

function nameOf(cursor: string): string {
  const bytes = decodeBase64Url(cursor);
  const name = bytes === undefined ? undefined : decodeUtf8(bytes);
  if (name === undefined)
    throw new KeysteadError("invalid_body", { field: "cursor", detail: "not a cursor of this list" });
  return name;
}
