/**
 * The JSON form of a batch: `{"items": […]}` in, `{"results": […], "failed": n}` out, results in the order of the items.
 * Invariant: the list's shape, down to the fields of its items, is held before anything is done. What the fields hold is
 * read, and results are rendered, one by one while the batch runs, so that neither holds the event loop for long; a bad
 * value is that item's error.
 */
import { errorRegistry, KeysteadError } from "../../errors.ts";
import { BATCH_ITEMS_MAX, type BatchInput, type BatchResult } from "../../service/batch-operations.ts";

/** One item as it came: texts by name, but for `version`, a number. */
export type ItemFields = Readonly<Record<string, string | undefined>> & { readonly version?: number };

/** What came: the items, and the fields beside them. */
export interface BatchBody {
  readonly items: readonly ItemFields[];
  readonly [field: string]: unknown;
}

export interface JsonBatchOptions<I, O> {
  /** Reads an item; throws a KeysteadError where a value is no good. */
  readonly read: (fields: ItemFields) => I;
  /** The result as JSON text. */
  readonly render: (result: O) => string;
}

/**
 * Holds a body to the shape of a batch. Throws `invalid_body`, `unknown_field`, `payload_too_large`.
 * @param itemFields what an item may have
 * @param otherFields what may stand beside the items
 */
export function parseBatchBody(
  value: unknown,
  itemFields: ReadonlySet<string>,
  otherFields: readonly string[] = [],
): BatchBody {
  if (!isObject(value)) throw new KeysteadError("invalid_body");
  for (const field in value) {
    if (field !== "items" && !otherFields.includes(field)) throw new KeysteadError("unknown_field");
  }
  const { items } = value;
  if (!Array.isArray(items) || items.length === 0) throw badItems("a list with at least one item");
  if (items.length > BATCH_ITEMS_MAX) {
    throw new KeysteadError("payload_too_large", {
      field: "items",
      detail: `at most ${BATCH_ITEMS_MAX} items`,
    });
  }
  for (const item of items as unknown[]) {
    if (!isObject(item)) throw badItems("items are objects");
    for (const field in item) {
      if (!itemFields.has(field)) throw new KeysteadError("unknown_field", { detail: "an item has it" });
      if (typeof item[field] !== (field === "version" ? "number" : "string")) {
        throw badItems("an item's fields are texts, and its version a number");
      }
    }
  }
  return { ...value, items: items as ItemFields[] };
}

/** A batch as it came as JSON, with room for its results. */
export interface JsonBatch<I, O> extends BatchInput<I, O> {
  /** The whole answer, when all is done. */
  answer(result: BatchResult): string;
}

/** Makes a batch of items that `parseBatchBody` has passed. */
export function jsonBatch<I, O>(
  name: string,
  items: readonly ItemFields[],
  options: JsonBatchOptions<I, O>,
): JsonBatch<I, O> {
  const results = new Array<string>(items.length);
  return {
    name,
    count: items.length,
    item: (index) => options.read(items[index] ?? {}),
    done(index, result) {
      results[index] = result instanceof KeysteadError ? errorText(result) : options.render(result);
    },
    answer: ({ failed }) => `{"results":[${results.join(",")}],"failed":${failed}}`,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function badItems(detail: string): KeysteadError {
  return new KeysteadError("invalid_body", { field: "items", detail });
}

function errorText({ code }: KeysteadError): string {
  return JSON.stringify({ error: { code, title: errorRegistry[code].title } });
}
