/** `keystead completion`, and the hidden command that its scripts call. */
import { Buffer } from "node:buffer";
import { Argument, type Command } from "commander";
import { completionsAt } from "./completion.ts";
import {
  completionScript,
  completionShells,
  FILES_LINE,
  type CompletionShell,
} from "./completion-scripts.ts";
import { visibleText, writeAll } from "./output.ts";

/** Adds both. */
export function addCompletionCommands(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands, flags and their values in a shell")
    .addArgument(new Argument("<shell>").choices(completionShells))
    .addHelpText(
      "after",
      `
Examples:
  source <(keystead completion bash)      # in ~/.bashrc
  source <(keystead completion zsh)       # in ~/.zshrc, after compinit
  keystead completion fish >~/.config/fish/completions/keystead.fish`,
    )
    .action((shell: CompletionShell) => writeAll(process.stdout, Buffer.from(completionScript(shell))));

  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .action(async (words: readonly string[]) => {
      const completions = completionsAt(program, words);
      const lines =
        completions === "files"
          ? [FILES_LINE]
          : completions.candidates.map(
              ({ value, description }) => `${visibleText(value)}\t${visibleText(description)}`,
            );
      await writeAll(process.stdout, Buffer.from(lines.map((line) => `${line}\n`).join("")));
    });
}
