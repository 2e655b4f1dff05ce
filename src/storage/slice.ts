/** A stretch of a list in the order of its names. */
export interface Slice<T> {
  /** Those that whoever asks may see, opened; the others are not even opened. */
  readonly items: readonly T[];
  /** The last name of the stretch, seen or not; undefined where the list ends with it. */
  readonly lastName: string | undefined;
}

/** Whether a name is shown to whoever asks. */
export type IsVisible = (name: string) => boolean;

/**
 * Makes a slice of rows.
 * @param asked how many rows were asked for: fewer mean the list's end
 */
export function sliceOf<R extends { readonly name: string }, T>(
  rows: readonly R[],
  asked: number,
  isVisible: IsVisible,
  open: (row: R) => T,
): Slice<T> {
  const items = rows.filter((row) => isVisible(row.name)).map(open);
  return { items, lastName: rows.length < asked ? undefined : rows.at(-1)?.name };
}
