/** The flags of every command on documents: where they are, and what form their keys have. */
import type { Command } from "commander";
import { dekForms, type DekForm } from "../docstore/dek-source.ts";
import { DocStore, type DocStoreOptions } from "../docstore/doc-store.ts";
import type { CommandContext } from "./command-context.ts";

export interface StoreFlags {
  readonly data: string;
  readonly form: DekForm;
}

/** Adds them to a command. */
export function withStoreFlags(command: Command): Command {
  return command
    .requiredOption("--data <path>", "the folder of the documents")
    .addOption(
      command
        .createOption("--form <form>", "wrapped keys beside the data, or exported keys as Bundoc has them")
        .choices(dekForms)
        .default("wrapped"),
    );
}

/** The store that the flags name, over the service that the global flags and the environment name. */
export function openStore(
  context: CommandContext,
  { data, form }: StoreFlags,
  options: Partial<DocStoreOptions> = {},
): DocStore {
  return new DocStore({ data, form, client: context.client(), ...options });
}
