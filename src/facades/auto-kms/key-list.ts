/**
 * Auto KMS's lists of keys: filters, order, `skip` and `limit` over the service's pages.
 * Invariant: one list looks at SCANNED_MAX rows and a page more at most, shown or not; one that names its key is a look-up.
 * Without `sort` it stops as soon as it has what was asked for.
 */
import { KeysteadError } from "../../errors.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { keyList } from "../../service/key-operations.ts";
import { isShown, namesOf, shown, type Key, type ShownKey } from "./resource.ts";

const LIMIT_DEFAULT = 1000;
const LIMIT_MAX = 1000;
const PAGE_KEYS = 500;
const SCANNED_MAX = 20_000;

export interface KeyQuery {
  readonly name?: string | undefined;
  readonly status?: ShownKey["status"] | undefined;
  readonly algorithm?: ShownKey["algorithm"] | undefined;
  readonly sort?: string | undefined;
  readonly skip?: number | undefined;
  readonly limit?: number | undefined;
}

/** The keys that a query asks for. */
export async function listedKeys(call: FacadeCall, query: KeyQuery): Promise<ShownKey[]> {
  const { skip = 0, sort } = query;
  const limit = Math.min(query.limit ?? LIMIT_DEFAULT, LIMIT_MAX);
  const wanted = sort === undefined ? skip + limit : Infinity;
  const found: ShownKey[] = [];
  const keys = query.name === undefined ? shownKeys(call) : await keysNamed(call, query.name);
  for await (const key of keys) {
    const one = shown(key);
    if (query.name !== undefined && one.name !== query.name) continue;
    if (query.status !== undefined && one.status !== query.status) continue;
    if (query.algorithm !== undefined && one.algorithm !== query.algorithm) continue;
    found.push(one);
    if (found.length >= wanted) break;
  }
  if (sort !== undefined) found.sort(orderOf(sort));
  return found.slice(skip, skip + limit);
}

/** The project's keys that Auto KMS shows, in the order of their native names. */
export async function* shownKeys(call: FacadeCall): AsyncGenerator<Key> {
  let cursor: string | undefined;
  let scanned = 0;
  do {
    const page = await keyPage(call, { limit: PAGE_KEYS, cursor, namePrefix: undefined });
    scanned += page.scanned;
    for (const key of page.items) if (isShown(key)) yield key;
    cursor = page.nextCursor;
    if (cursor !== undefined && scanned >= SCANNED_MAX) {
      throw new KeysteadError("limit_reached", { detail: "Too many keys for one list" });
    }
  } while (cursor !== undefined);
}

/** The key that may have a name: it comes first of those whose native names begin with its own. */
async function keysNamed(call: FacadeCall, name: string): Promise<readonly Key[]> {
  if (name === "") return [];
  const page = await keyPage(call, { limit: 1, cursor: undefined, namePrefix: namesOf(name).native });
  return page.items.filter(isShown);
}

function keyPage(
  call: FacadeCall,
  part: Pick<Parameters<(typeof keyList)["run"]>[1], "limit" | "cursor" | "namePrefix">,
): Promise<Awaited<ReturnType<(typeof keyList)["run"]>>> {
  return call.perform(keyList, {
    ...part,
    state: undefined,
    type: undefined,
    purpose: "encrypt",
    labels: new Map(),
  });
}

/** The order that `name`, `-name`, `name:desc`, or several of them between commas, ask for. */
function orderOf(sort: string): (a: ShownKey, b: ShownKey) => number {
  const terms = sort.split(",").map((term) => {
    const [, minus, field, , direction] = /^(-?)(\w+)(:(asc|desc))?$/.exec(term) ?? [];
    return {
      field: field as keyof ShownKey,
      sign: (minus === "-") === (direction === "desc") ? 1 : -1,
    };
  });
  return (a, b) => {
    for (const { field, sign } of terms) {
      if (a[field] < b[field]) return -sign;
      if (a[field] > b[field]) return sign;
    }
    return 0;
  };
}
