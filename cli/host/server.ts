/** `keystead server` in the help. The launcher starts the server itself, without the command line's modules. */
import type { Command } from "commander";
import { UsageError } from "../usage-error.ts";

/** Adds the command's place in the help. */
export function addServerCommand(program: Command): void {
  program
    .command("server")
    .description("serve the API; keystead server --help lists its settings, keystead server --dev needs none")
    .addHelpText("after", "\nIts flags and settings: keystead server --help")
    .action(() => {
      throw new UsageError("server stands first: keystead server [flags]");
    });
}
