/**
 * The command line's entry: parses, runs one command, and ends with an exit code that says what happened.
 * Invariant: an error is one line on standard error; neither a token nor a secret is ever in it.
 */
import { CommanderError } from "commander";
import { errorLine, exitCodeOf, EXIT_INPUT, EXIT_USAGE } from "./exit-code.ts";
import { buildProgram } from "./program.ts";
import { withDoubleDashes } from "./single-dash.ts";
import { UsageError } from "./usage-error.ts";

// Whoever reads our output may stop early (head, less): that is no failure worth a message.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(1);
  // Whoever wrote says so.
  process.exitCode = EXIT_INPUT;
});
process.stderr.on("error", () => process.exit(1));
void main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  const program = buildProgram(process.env);
  try {
    // `--version` alone: beside a command it asks for a version of a key or a secret.
    const asked = args.length === 1 && args[0] === "--version" ? ["version"] : args;
    await program.parseAsync(withDoubleDashes(asked, program), { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    if (error instanceof CommanderError && error.code === "commander.help") {
      process.exitCode = EXIT_USAGE;
      return;
    }
    const cause = error instanceof CommanderError ? new UsageError(usageText(error)) : error;
    process.stderr.write(`${errorLine(cause)}\n`);
    process.exitCode = exitCodeOf(cause);
  }
}

/** The parser's own sentence, without what was given where that could be anything: a mistyped secret, for one. */
function usageText({ code, message }: CommanderError): string {
  const text = message.replace(/^error: /, "").replaceAll("\n", " ");
  switch (code) {
    case "commander.unknownOption":
      return /^unknown option '--[a-z-]{1,24}'/.test(text) ? text : "unknown option";
    case "commander.unknownCommand":
      return /^unknown command '[a-z]{1,12}'/.test(text) ? text : "unknown command";
    case "commander.invalidArgument":
      return text
        .replace(/^command-argument value '.*' is invalid for argument ('[a-z]+')/, "argument $1 is invalid")
        .replace(/ argument '.*' is invalid\./, " is invalid.");
    default:
      return text;
  }
}
