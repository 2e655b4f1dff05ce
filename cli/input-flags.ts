/** The flags of a command that takes bytes: `--file`, and `--in`, which is the same. */
import type { Command } from "commander";
import { UsageError } from "./usage-error.ts";

export interface InputFlags {
  readonly file?: string;
  readonly in?: string;
}

/**
 * Gives a command the flags.
 * @param help what is read from the file
 */
export function withInputFlags(command: Command, help: string): Command {
  return command
    .option("--file <path>", `${help} (also --in)`)
    .addOption(command.createOption("--in <path>").hideHelp());
}

/** The file that was named, under either name. */
export function inputFile({ file, in: alias }: InputFlags): string | undefined {
  if (file !== undefined && alias !== undefined) throw new UsageError("--file and --in are the same flag");
  return file ?? alias;
}
