/** `keystead role …`: roles of one's own, beside the built-in ones. */
import type { Command, Option } from "commander";
import type { Role, RoleStatement } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import type { Fields } from "./output.ts";
import { UsageError } from "./usage-error.ts";

interface StatementFlags {
  readonly statement?: readonly RoleStatement[];
  readonly description?: string;
}

const examples = `
A statement is scopes, and after an @ the names that it is about; both are lists with commas. A denial wins over everything
that any role allows. deny '*' speaks of all scopes, later ones too.

Examples:
  keystead role create card-clerk --allow kms:encrypt,kms:read_key@card-*
  keystead role create no-prod --deny '*@prod-*' --description "Keeps away from production"
  keystead account bind billing card-clerk --project payments`;

/** Adds the group. */
export function addRoleCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("role")
    .description("make roles of your own: what each allows, and what it denies");

  withStatements(group.command("create").description("make a role; it gives nothing until it is bound"))
    .argument("<name>", "lower-case letters, digits, `.`, `_`, `-`")
    .addHelpText("after", examples)
    .action(async (name: string, { statement, description }: StatementFlags) => {
      if (statement === undefined) throw new UsageError("a role allows or denies something: --allow, --deny");
      const role = await context.client().role.create(name, statement, { description });
      await context.output().record(roleFields(role), role);
    });

  group
    .command("list")
    .description("list all roles, built-in ones first")
    .action(async () => {
      const { roles } = await context.client().role.list();
      await context.output().list("roles", onePage(roles), ({ name, built_in, description, statements }) => ({
        name,
        built_in,
        statements: statements.length,
        description,
      }));
    });

  group
    .command("get")
    .description("show what a role allows and denies")
    .argument("<name>")
    .action(async (name: string) => {
      const role = await context.client().role.get(name);
      await context.output().record(roleFields(role), role);
    });

  withStatements(
    group
      .command("update")
      .description("change a role for everybody who is bound to it; statements come all anew"),
  )
    .argument("<name>")
    .addHelpText("after", examples)
    .action(async (name: string, { statement: statements, description }: StatementFlags) => {
      if (statements === undefined && description === undefined)
        throw new UsageError("say what to change: see keystead role update --help");
      const role = await context.client().role.update(name, { statements, description });
      await context.output().record(roleFields(role), role);
    });

  group
    .command("delete")
    .description("delete a role that nothing is bound to")
    .argument("<name>")
    .action(async (name: string) => {
      await context.client().role.delete(name);
      await context.output().done(`deleted ${name}`, { status: "deleted", name });
    });
}

function withStatements(command: Command): Command {
  return command
    .addOption(statementOption(command, "allow"))
    .addOption(statementOption(command, "deny"))
    .option("--description <text>", "what it is for");
}

/** Both flags fill one list, so that statements keep their order. */
function statementOption(command: Command, effect: "allow" | "deny"): Option {
  const option = command.createOption(
    `--${effect} <scopes[@names]>`,
    `${effect === "allow" ? "what it allows" : "what it denies"} (may come more than once)`,
  );
  option.argParser((text: string) => {
    const before = (command.getOptionValue("statement") ?? []) as readonly RoleStatement[];
    command.setOptionValue("statement", [...before, statementOf(effect, text)]);
    return true;
  });
  return option;
}

function statementOf(effect: "allow" | "deny", text: string): RoleStatement {
  const at = text.indexOf("@");
  const scopes = (at === -1 ? text : text.slice(0, at)).split(",");
  if (at === -1) return { effect, scopes };
  return { effect, scopes, patterns: text.slice(at + 1).split(",") };
}

function roleFields({ name, built_in, description, created_at, statements }: Role): Fields {
  return {
    ...{ name, built_in, description, created_at },
    ...Object.fromEntries(
      statements.map(({ effect, scopes, patterns }, i) => [
        `statement ${i + 1}`,
        `${effect} ${scopes.join(",")}${patterns === undefined ? "" : ` on ${patterns.join(",")}`}`,
      ]),
    ),
  };
}

/** A list that comes whole, as lists are printed. */
export async function* onePage<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  await Promise.resolve();
  yield items;
}
