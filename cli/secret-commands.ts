/** `keystead secret …`. Invariant: a value never has to stand on a command line, and is printed by `get` alone. */
import type { Command } from "commander";
import type { SecretListed } from "../sdk/wire.ts";
import { bytesAsJson } from "./bytes-json.ts";
import type { CommandContext } from "./command-context.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { readInput } from "./input.ts";
import { asList } from "./list-options.ts";
import { parseVersion } from "./numbers.ts";

/** Adds the group. */
export function addSecretCommands(program: Command, context: CommandContext): void {
  const group = program.command("secret").description("store and fetch secrets, version by version");

  withInputFlags(group.command("put"), "read the value from a file")
    .description("store a secret, or a new version of it")
    .argument("<name>", "letters, digits, `.`, `_`, `-`")
    .argument("[value]", "- or nothing: standard input (see the warning)")
    .addHelpText(
      "after",
      `
Warning: a value on the command line is seen by other users of this machine (in its list of processes), and stays in
your shell's history. Use standard input or a file.

The value is stored byte for byte, a line end at its end included: printf %s writes none, echo does.

Examples:
  printf %s "$PASSWORD" | keystead secret put db-password
  keystead secret put tls-key --file server.key`,
    )
    .action(async (name: string, value: string | undefined, flags: InputFlags) => {
      const bytes = await readInput({ value, file: inputFile(flags), what: "the secret" });
      const stored = await context.client().secret.put(name, bytes);
      await context
        .output()
        .record({ name: stored.name, version: stored.version, created_at: stored.created_at });
    });

  group
    .command("get")
    .description("print a secret's value, byte for byte")
    .argument("<name>")
    .option("--version <version>", "this version instead of the latest")
    .option("--out <path>", "write the value there, for your eyes only (mode 0600)")
    .action(async (name: string, flags: { version?: string; out?: string }) => {
      const version = parseVersion(flags.version);
      const { value, ...secret } = await context.client().secret.get(name, { version });
      const json = { ...secret, ...bytesAsJson("value", value) };
      await context.output().bytes(value, flags.out, json);
    });

  asList(group.command("list").description("list the project's secrets, without values"), context, {
    name: "secrets",
    async page(range) {
      const { secrets, next_cursor: nextCursor } = await context.client().secret.list(range);
      return { items: secrets, nextCursor };
    },
    fields: ({ name, latest_version, created_at, updated_at }: SecretListed) => ({
      name,
      latest_version,
      created_at,
      updated_at,
    }),
  });

  group
    .command("delete")
    .description("delete a secret with all its versions")
    .argument("<name>")
    .action(async (name: string) => {
      await context.client().secret.delete(name);
      await context.output().done(`deleted ${name}`, { status: "deleted", name });
    });
}
