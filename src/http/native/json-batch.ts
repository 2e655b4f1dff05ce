/**
 * The JSON form of a batch: `{"items": […]}` in, `{"results": […], "failed": n}` out, results in the order of the items.
 * Invariant: the list's own shape and count are held before anything is done; the items themselves are read and rendered
 * one by one while the batch runs, so that neither holds the event loop for long. A bad item is that item's error.
 */
import { errorRegistry, KeysteadError } from "../../errors.ts";
import { BATCH_ITEMS_MAX, type BatchResult } from "../../service/batch-operations.ts";

/** What came: the items as they were parsed, and the fields beside them. */
export interface BatchBody {
  readonly items: readonly unknown[];
  readonly [field: string]: unknown;
}

/** One item as it came: texts and numbers by name. */
export type ItemFields = Readonly<Record<string, string | undefined>> & { readonly version?: number };

export interface JsonBatchOptions<I, O> {
  /** The fields that an item may have. */
  readonly fields: ReadonlySet<string>;
  /** Reads an item whose fields are texts, but for `version`, a number. */
  read(fields: ItemFields): I;
  /** The result as JSON text. */
  render(result: O): string;
}

/** Holds a body to the shape of a batch. Throws `invalid_body`, `unknown_field`, `batch_too_large`. */
export function parseBatchBody(value: unknown, otherFields: readonly string[] = []): BatchBody {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new KeysteadError("invalid_body");
  const body = value as Record<string, unknown>;
  for (const field in body) {
    if (field !== "items" && !otherFields.includes(field)) throw new KeysteadError("unknown_field");
  }
  const { items } = body;
  if (!Array.isArray(items) || items.length === 0) {
    throw new KeysteadError("invalid_body", { field: "items", detail: "a list with at least one item" });
  }
  if (items.length > BATCH_ITEMS_MAX) {
    throw new KeysteadError("payload_too_large", {
      field: "items",
      detail: `at most ${BATCH_ITEMS_MAX} items`,
    });
  }
  return { ...body, items };
}

export class JsonBatch<I, O> {
  readonly name: string;
  readonly count: number;
  readonly #items: readonly unknown[];
  readonly #options: JsonBatchOptions<I, O>;
  readonly #results: string[];

  constructor(name: string, items: readonly unknown[], options: JsonBatchOptions<I, O>) {
    this.name = name;
    this.count = items.length;
    this.#items = items;
    this.#options = options;
    this.#results = new Array<string>(items.length);
  }

  item(index: number): I {
    return this.#options.read(this.#fieldsOf(this.#items[index]));
  }

  done(index: number, result: O | KeysteadError): void {
    this.#results[index] = result instanceof KeysteadError ? errorText(result) : this.#options.render(result);
  }

  /** The whole answer. */
  answer({ failed }: BatchResult): string {
    return `{"results":[${this.#results.join(",")}],"failed":${failed}}`;
  }

  #fieldsOf(item: unknown): ItemFields {
    if (typeof item !== "object" || item === null || Array.isArray(item))
      throw new KeysteadError("invalid_body");
    for (const name in item) {
      if (!this.#options.fields.has(name)) throw new KeysteadError("unknown_field");
      const value = (item as Record<string, unknown>)[name];
      if (typeof value !== (name === "version" ? "number" : "string")) {
        throw new KeysteadError("invalid_body", { field: name });
      }
    }
    return item as ItemFields;
  }
}

function errorText({ code }: KeysteadError): string {
  return JSON.stringify({ error: { code, title: errorRegistry[code].title } });
}
