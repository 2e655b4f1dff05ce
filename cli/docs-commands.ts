/** `keystead docs …`: documents on this machine's disk, encrypted under keys of the service. */
import { Buffer } from "node:buffer";
import type { Command } from "commander";
import { importBundoc } from "../docstore/bundoc-import.ts";
import { LIST_LIMIT_MAX, type ListOptions, type NamesPage } from "../docstore/doc-store.ts";
import type { CommandContext } from "./command-context.ts";
import { openStore, withStoreFlags, type StoreFlags } from "./docs-options.ts";
import { addDocsKeyCommands } from "./docs-key-commands.ts";
import { ProgressLine } from "./docs-progress.ts";
import { addDocsServeCommand } from "./docs-serve.ts";
import { EXIT_INPUT, EXIT_NOT_FOUND } from "./exit-code.ts";
import { InputFailed, readInput } from "./input.ts";
import { parseCount } from "./numbers.ts";

const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;

interface PutFlags extends StoreFlags {
  readonly file?: string;
  readonly onlyIfAbsent?: true;
}

interface ListFlags extends StoreFlags {
  readonly limit?: string;
  readonly cursor?: string;
  readonly all?: true;
}

interface ImportFlags extends StoreFlags {
  readonly from: string;
  readonly collection?: string;
  readonly suffix?: string;
}

/** Adds the group. */
export function addDocsCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("docs")
    .description("keep JSON documents on this machine's disk, encrypted under keys of the service");
  addDocsServeCommand(group, context);

  withStoreFlags(group.command("put"))
    .description("store a document: JSON from standard input, a file or the command line")
    .argument("<project>")
    .argument("<collection>")
    .argument("<id>")
    .argument("[json]", "the document; - for standard input")
    .option("--file <path>", "where the document is")
    .option("--only-if-absent", "replace nothing: exit code 5 where there is such a document")
    .action(
      async (project: string, collection: string, id: string, value: string | undefined, flags: PutFlags) => {
        const source = { value, file: flags.file, what: "the document", bytesMax: DOCUMENT_BYTES_MAX };
        const text = utf8Of(await readInput(source));
        const { onlyIfAbsent } = flags;
        const isStored = await openStore(context, flags).putText(project, collection, id, text, {
          onlyIfAbsent,
        });
        if (isStored) return context.output().done("stored", { stored: true });
        context.output().remark("there is such a document; it was left as it is");
        process.exitCode = EXIT_INPUT;
      },
    );

  withStoreFlags(group.command("get"))
    .description("print a document")
    .argument("<project>")
    .argument("<collection>")
    .argument("<id>")
    .action(async (project: string, collection: string, id: string, flags: StoreFlags) => {
      const text = await openStore(context, flags).getText(project, collection, id);
      if (text === undefined) notFound(context);
      else await context.output().bytes(Buffer.from(text, "utf8"), undefined, JSON.parse(text));
    });

  withStoreFlags(group.command("delete"))
    .description("remove a document")
    .argument("<project>")
    .argument("<collection>")
    .argument("<id>")
    .action(async (project: string, collection: string, id: string, flags: StoreFlags) => {
      if (!(await openStore(context, flags).delete(project, collection, id))) notFound(context);
      else await context.output().done("removed", { removed: true });
    });

  addListCommands(group, context);
  addDocsKeyCommands(group, context);
  addImportCommand(group, context);
}

function addListCommands(group: Command, context: CommandContext): void {
  withListFlags(withStoreFlags(group.command("list")))
    .description("list a collection's documents, without opening them")
    .argument("<project>")
    .argument("<collection>")
    .action((project: string, collection: string, flags: ListFlags) =>
      list(context, "documents", flags, (range) =>
        openStore(context, flags).list(project, collection, range),
      ),
    );
  withListFlags(withStoreFlags(group.command("collections")))
    .description("list a project's collections")
    .argument("<project>")
    .action((project: string, flags: ListFlags) =>
      list(context, "collections", flags, (range) => openStore(context, flags).collections(project, range)),
    );
}

function withListFlags(command: Command): Command {
  return command
    .option("--limit <count>", "how many on a page, at most 1000 (100 unless set)")
    .option("--cursor <cursor>", "where to go on: the next_cursor of the page before")
    .option("--all", "all pages");
}

async function list(
  context: CommandContext,
  what: string,
  flags: ListFlags,
  page: (range: ListOptions) => Promise<NamesPage>,
): Promise<void> {
  const all = flags.all === true;
  const given = flags.limit === undefined ? undefined : parseCount(flags.limit, "--limit", LIST_LIMIT_MAX);
  const limit = given ?? (all ? LIST_LIMIT_MAX : undefined);
  let { cursor } = flags;
  async function* pages(): AsyncGenerator<readonly string[]> {
    do {
      const { names, nextCursor } = await page({ limit, cursor });
      cursor = nextCursor;
      yield names;
    } while (all && cursor !== undefined);
  }
  await context.output().list(
    what,
    pages(),
    (name) => ({ name }),
    () => cursor,
  );
}

function addImportCommand(group: Command, context: CommandContext): void {
  withStoreFlags(group.command("import"))
    .description("bring Bundoc's own files of a project in (takes a service account with role exporter)")
    .argument("<project>")
    .requiredOption("--from <path>", "Bundoc's data folder; it is only read")
    .option("--collection <name>", "where documents go that lie in no collection (documents unless set)")
    .option("--suffix <text>", "what to cut from the end of the files' names, such as .enc")
    .addHelpText(
      "after",
      `
Bundoc's files are under the key <project>-dek, without additional data. Each is opened, and stored anew for its place. A
document that the store has already is left as it is, so that an import can be run again.`,
    )
    .action(async (project: string, flags: ImportFlags) => {
      const progress = new ProgressLine("imported");
      const { imported, kept, refused } = await importBundoc(openStore(context, flags), {
        from: flags.from,
        project,
        exporter: context.client(),
        collection: flags.collection,
        suffix: flags.suffix,
        onProgress: progress.show,
      }).finally(progress.end);
      const output = context.output();
      for (const path of refused) output.remark(`not imported: ${path}`);
      await output.record({ imported, kept, refused: refused.length }, { imported, kept, refused });
      if (refused.length > 0) process.exitCode = EXIT_INPUT;
    });
}

/** A byte order mark stays, and is no JSON. */
function utf8Of(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new InputFailed("the document is no UTF-8");
  }
}

function notFound(context: CommandContext): void {
  context.output().remark("there is no such document");
  process.exitCode = EXIT_NOT_FOUND;
}
