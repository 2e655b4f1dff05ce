/** `keystead account …`: accounts and what they may do. */
import type { Argument, Command } from "commander";
import { accountKinds, roleNames, type Account, type AccountKind, type RoleBinding } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { asList } from "./list-options.ts";
import type { Fields } from "./output.ts";

const ALL_PROJECTS = "*";
const DEFAULT_PROJECT = "default";

interface BindFlags {
  readonly allProjects?: true;
  readonly pattern?: string;
}

/** Adds the group. */
export function addAccountCommands(program: Command, context: CommandContext): void {
  const group = program.command("account").description("make accounts, and say what each may do");

  group
    .command("create")
    .description("make an account, without any right: see account bind and token create")
    .argument("<name>", "lower-case letters, digits, `.`, `_`, `-`")
    .addOption(
      group.createOption("--kind <kind>", "who it stands for").choices(accountKinds).default("service"),
    )
    .action(async (name: string, { kind }: { kind: AccountKind }) => {
      const account = await context.client().account.create(name, kind);
      await context.output().record(accountFields(account), account);
    });

  asList(group.command("list").description("list accounts"), context, {
    name: "accounts",
    async page(range) {
      const { accounts, next_cursor: nextCursor } = await context.client().account.list(range);
      return { items: accounts, nextCursor };
    },
    fields: ({ name, kind, state, id, created_at }) => ({ name, kind, state, id, created_at }),
  });

  group
    .command("get")
    .description("show an account with its roles")
    .argument("<name>")
    .action(async (name: string) => {
      const account = await context.client().account.get(name);
      await context.output().record(accountFields(account), account);
    });

  group
    .command("bind")
    .description("give an account a role in a project (--project, or else the default one)")
    .argument("<name>")
    .addArgument(roleArgument(group))
    .option("--all-projects", "in all projects; with admin also accounts, tokens and projects themselves")
    .option("--pattern <pattern>", "only for names that match; * stands for any run of characters")
    .addHelpText(
      "after",
      `
Built-in roles (keystead role makes others):
  admin       everything but the export of raw keys
  operator    uses keys and secrets
  reader      sees keys and the names of secrets
  encrypter   encrypts, makes data keys and verifies only
  decrypter   decrypts only
  signer      signs, makes MACs and verifies only
  exporter    for a service that encrypts by itself: makes and fetches exportable keys

Examples:
  keystead account bind billing operator --project payments
  keystead account bind mailer encrypter --pattern 'mail-*'`,
    )
    .action(async (name: string, role: string, { allProjects, pattern }: BindFlags) => {
      const project = allProjects === true ? ALL_PROJECTS : (context.project() ?? DEFAULT_PROJECT);
      const binding = { role, project, ...(pattern === undefined ? {} : { pattern }) };
      const account = await context.client().account.bind(name, binding);
      await context.output().record(accountFields(account), account);
    });

  for (const [verb, description] of [
    ["disable", "refuse whatever an account comes with, at once, and end its sessions"],
    ["enable", "let an account in again"],
  ] as const) {
    group
      .command(verb)
      .description(description)
      .argument("<name>")
      .action(async (name: string) => {
        const account = await context.client().account[verb](name);
        await context.output().record(accountFields(account), account);
      });
  }

  group
    .command("delete")
    .description("delete an account with its tokens, password, sessions and roles")
    .argument("<name>")
    .action(async (name: string) => {
      await context.client().account.delete(name);
      await context.output().done(`deleted ${name}`, { status: "deleted", name });
    });

  group
    .command("unbind")
    .description("take a role from an account")
    .argument("<name>")
    .argument("<binding>", "the binding's id, as account get shows it")
    .action(async (name: string, binding: string) => {
      await context.client().account.unbind(name, binding);
      await context.output().done(`unbound ${name}`, { status: "unbound", name, binding });
    });
}

/** Offers the built-in roles, and takes any. */
function roleArgument(group: Command): Argument {
  const argument = group.createArgument("<role>", "one of these, or one of your own");
  argument.argChoices = [...roleNames];
  return argument;
}

function accountFields({ name, id, kind, state, created_at, bindings }: Account): Fields {
  return { name, id, kind, state, created_at, ...bindingFields(bindings) };
}

/** One field a binding, under its id, which unbind takes. */
export function bindingFields(bindings: readonly RoleBinding[]): Fields {
  return Object.fromEntries(bindings.map((binding) => [`binding ${binding.id}`, bindingText(binding)]));
}

/** What a binding gives, in words. */
export function bindingText({ role, project, pattern }: RoleBinding): string {
  const where = project === ALL_PROJECTS ? "all projects" : project;
  return `${role} in ${where}${pattern === undefined ? "" : ` for ${pattern}`}`;
}
