/** Lists, a page at a time: the flags, and the way from page to page. */
import type { Command } from "commander";
import type { CommandContext } from "./command-context.ts";
import type { Fields } from "./output.ts";
import { parseCount } from "./numbers.ts";

const LIMIT_MAX = 1000;

interface ListFlags {
  readonly limit?: string;
  readonly cursor?: string;
  readonly all?: true;
}

interface PageOf<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | undefined;
}

export interface ListCommand<T, F> {
  /** The list's name in the API's JSON. */
  readonly name: string;
  /** Asks for one page; `flags` are those of the command itself. */
  readonly page: (
    range: { limit?: number | undefined; cursor?: string | undefined },
    flags: F,
  ) => Promise<PageOf<T>>;
  readonly fields: (item: T) => Fields;
}

/** Makes a command a list: gives it its flags and its action. */
export function asList<T, F = unknown>(
  command: Command,
  context: CommandContext,
  { name, page, fields }: ListCommand<T, F>,
): Command {
  return command
    .option("--limit <count>", "how many on a page, at most 1000 (100 unless set)")
    .option("--cursor <cursor>", "where to go on: the next_cursor of the page before")
    .option("--all", "all pages")
    .action(async (flags: ListFlags & F) => {
      const all = flags.all === true;
      const limit =
        flags.limit === undefined
          ? all
            ? LIMIT_MAX
            : undefined
          : parseCount(flags.limit, "--limit", LIMIT_MAX);
      let cursor = flags.cursor;
      async function* pages(): AsyncGenerator<readonly T[]> {
        do {
          const { items, nextCursor } = await page({ limit, cursor }, flags);
          cursor = nextCursor;
          yield items;
        } while (all && cursor !== undefined);
      }
      await context.output().list(name, pages(), fields, () => cursor);
    });
}
