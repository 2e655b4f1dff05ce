/** Values to start from, for whoever tries a row of an API in a browser. */
export interface RouteExample {
  readonly params?: Readonly<Record<string, string>>;
  /** Absent where the row has no body. */
  readonly body?: unknown;
  /** Other bodies worth showing, by what they are for. */
  readonly otherBodies?: Readonly<Record<string, unknown>>;
  /** The field of path or body that takes a value of an earlier answer, or what has to be there that no call here makes. */
  readonly needs?: string;
}

/** The text that stands where a field of an earlier answer belongs. */
export function fromEarlier(field: string): string {
  return `[${field} of an earlier answer]`;
}

/** The field that such a text stands for; undefined for any other value. */
export function earlierField(value: unknown): string | undefined {
  return typeof value === "string" ? /^\[(\w+) of an earlier answer\]$/.exec(value)?.[1] : undefined;
}
