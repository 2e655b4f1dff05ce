/** The tree of commands, with the flags that all of them take and the help that teaches. */
import { createRequire } from "node:module";
import { Command } from "commander";
import { addAccountCommands } from "./account-commands.ts";
import { addBarrierCommands } from "./barrier-commands.ts";
import { addClientCommands } from "./client-commands.ts";
import { CommandContext } from "./command-context.ts";
import { addCryptoCommands } from "./crypto-commands.ts";
import { addCompletionCommands } from "./completion-commands.ts";
import { addDocsCommands } from "./docs-commands.ts";
import { addFileCommands } from "./file-commands.ts";
import { addHealthCommand } from "./health-commands.ts";
import { addAdminCommands } from "./host/admin-commands.ts";
import { addInitCommand } from "./host/init.ts";
import { addServerCommand } from "./host/server.ts";
import { addIssuerCommands } from "./issuer-commands.ts";
import { addKeyCommands } from "./key-commands.ts";
import { addLoadtestCommand } from "./loadtest.ts";
import { addLoginCommands, addSignupCommands } from "./login-commands.ts";
import { addProjectCommands } from "./project-commands.ts";
import { addRandomCommand } from "./random-command.ts";
import { addRoleCommands } from "./role-commands.ts";
import { addRotateCommands } from "./rotate-command.ts";
import { addSecretCommands } from "./secret-commands.ts";
import { addTokenCommands } from "./token-commands.ts";
import { addWhoamiCommands } from "./whoami-command.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const help = `
Start here:
  keystead server --dev                                 a service to try things with
  keystead key create orders                            a key
  printf %s "4111 1111" | keystead encrypt orders >card.enc
  keystead decrypt orders <card.enc
  printf %s "$PASSWORD" | keystead secret put db-password
  keystead secret get db-password

For keeps: set KEYSTEAD_ROOT_KEY and KEYSTEAD_DATA_PATH, run keystead init once for the first admin token, then
keystead server. See keystead server --help.

Bytes come from standard input (the value is - or absent), from --file, or from the command line; they go to standard
output or to --out. A value on the command line is seen by other users of the machine and stays in the shell's history:
for anything secret use standard input or a file.

Output: tables on a terminal; in a pipe one item a line with tabs between its fields; with --json the API's JSON.

Environment:
  KEYSTEAD_URL           the server (http://localhost:8080 unless set)
  KEYSTEAD_TOKEN         the token (BUNKMS_TOKEN is understood as well)
  KEYSTEAD_TOKEN_FILE    a file that holds the token
                         without any, the session of keystead login is used
  KEYSTEAD_PROJECT       the project (default unless set)
  NO_COLOR               no colour on a terminal

Exit codes:
  0  done
  1  the service or the network failed (also: too many requests), or a check did
  2  the command line is wrong
  3  refused: the credentials or the permission (401, 403)
  4  not found (404)
  5  wrong input or state (400, 409, 413), or a file that cannot be read or written
  6  decryption failed, or the signature is not valid

In a shell, source <(keystead completion bash) completes commands, flags and values.

Long flags may have one dash: -url, -token. keystead <command> --help says more.`;

/** Builds all commands. */
export function buildProgram(env: NodeJS.ProcessEnv): Command {
  const program = new Command("keystead");
  const context = new CommandContext(program, env);
  program
    .description(
      "Keystead, a key management service: keys, encryption, signatures and secrets behind one audited door.",
    )
    .usage("<command> [flags]")
    .option("--url <url>", "the server")
    .option("--token-file <path>", "a file that holds the token")
    .option(
      "--token <token>",
      "the token (others on this machine can see it: prefer KEYSTEAD_TOKEN or --token-file)",
    )
    .option("--project <name>", "the project to act in")
    .option(
      "--timeout <duration>",
      "how long one request may take, such as 500ms or 2m (30s, in tries of 10s, unless set)",
    )
    .option("--json", "print JSON")
    .helpOption("-h, --help", "say more about a command")
    .helpCommand("help [command]", "say more about a command")
    .configureHelp({ showGlobalOptions: true, helpWidth: 110, subcommandTerm: shortTerm })
    // What is wrong is said once, by the entry.
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText("after", help);

  program.commandsGroup("Keys and secrets:");
  addKeyCommands(program, context);
  addCryptoCommands(program, context);
  addFileCommands(program, context);
  addRandomCommand(program, context);
  addSecretCommands(program, context);
  program.commandsGroup("Documents on disk:");
  addDocsCommands(program, context);
  program.commandsGroup("Who may do what:");
  addProjectCommands(program, context);
  addAccountCommands(program, context);
  addTokenCommands(program, context);
  addLoginCommands(program, context);
  addSignupCommands(program, context);
  addClientCommands(program, context);
  addRoleCommands(program, context);
  addIssuerCommands(program, context);
  addWhoamiCommands(program, context);
  program.commandsGroup("The service and this program:");
  addServerCommand(program);
  addInitCommand(program, context, env);
  addRotateCommands(program, context, env);
  addBarrierCommands(program, context);
  addAdminCommands(program, context, env);
  addHealthCommand(program, context);
  addLoadtestCommand(program, context);
  addCompletionCommands(program);
  program
    .command("version")
    .description("print this program's version")
    .action(() => context.output().line(version, { version }));
  return program;
}

/** A command as the list of commands shows it: its name and arguments; its flags stand in its own help. */
function shortTerm(command: Command): string {
  const names = [command.name(), ...command.aliases()].join("|");
  const shown = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  );
  return [names, ...shown].join(" ");
}
