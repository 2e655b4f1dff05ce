/** Reads the compact vector files beside this one (made by scripts/make-vectors.mjs), and runs their cases. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** The shape is vouched for by the script. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- one place that says so
export function readVectors<T>(family: string): T {
  const file = new URL(`./${family}.json.gz`, import.meta.url);
  return JSON.parse(gunzipSync(readFileSync(file)).toString("utf8")) as T;
}

/** The groups of a file of Project Wycheproof. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as above
export function readGroups<G>(family: string): readonly G[] {
  return readVectors<{ readonly groups: readonly G[] }>(family).groups;
}

/** Runs `work` for every item, at most `atOnce` at a time. */
export async function forEachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}

/** Counts by name, for the asserted tables of what ran and what did not. */
export class Tally {
  readonly counts: Record<string, number> = {};

  add(name: string, count = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + count;
  }
}
