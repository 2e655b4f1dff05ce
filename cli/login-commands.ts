/** `keystead login`, `logout`, `password`, `session`, `signup`, `login-key`: how accounts come in. */
import type { Command, Option } from "commander";
import { KeysteadClient } from "../sdk/client.ts";
import { accountKinds, roleNames, type AccountKind, type Login } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { parseDurationMs } from "./duration.ts";
import { readInputFile } from "./input.ts";
import { asList } from "./list-options.ts";
import type { Fields } from "./output.ts";
import { readNewPassword, readPasswords } from "./password-input.ts";
import { UsageError } from "./usage-error.ts";

/** Adds the commands. */
export function addLoginCommands(program: Command, context: CommandContext): void {
  program
    .command("login")
    .description("log in with a password; later commands to this server go on with the session")
    .argument("<account>")
    .addHelpText(
      "after",
      `
The password is typed, unseen, or is the first line of standard input. The session is kept in a file that only you can
read, refreshed by itself, and used where neither --token, --token-file nor KEYSTEAD_TOKEN is given. It ends after seven
days, with keystead logout, or when the password changes.

Example:
  keystead login alice`,
    )
    .action(async (account: string) => {
      const [password = ""] = await readPasswords(["Password"]);
      const { url, timeoutMs, tryTimeoutMs } = context.connection();
      // Without the credentials of whoever was logged in before.
      const login = await new KeysteadClient({ url, timeoutMs, tryTimeoutMs }).login.create(
        account,
        password,
      );
      await context.sessions.change(url, login);
      await showLogin(context, login);
    });

  program
    .command("logout")
    .description("end the session of keystead login")
    .action(async () => {
      const { url, timeoutMs, tryTimeoutMs } = context.connection();
      const session = context.sessions.get(url);
      if (session === undefined) throw new UsageError("there is no session at this server");
      // Forgotten even where the server cannot be told: then it ends by its time.
      await context.sessions.change(url, undefined);
      await new KeysteadClient({ url, timeoutMs, tryTimeoutMs, token: session.token }).login.revoke();
      await context.output().done(`logged out ${session.account}`, { status: "logged_out" });
    });

  const password = program.command("password").description("set passwords");
  password
    .command("set")
    .description("set an account's password; its sessions end")
    .argument("<account>")
    .option("--current", "ask for the password until now as well: needed for one's own")
    .addHelpText(
      "after",
      `
Passwords are typed, unseen, or come from standard input, one a line: with --current the old one first.

Examples:
  keystead password set alice --current
  keystead password set billing <new-password`,
    )
    .action(async (account: string, { current }: { current?: true }) => {
      const read = await readNewPassword(current === true ? ["Current password"] : []);
      const next = read.at(-1) ?? "";
      await context.client().password.set(account, next, current === true ? read[0] : undefined);
      await context.output().done(`set the password of ${account}`, { status: "set", account });
    });

  const session = program.command("session").description("see and end sessions");
  session
    .command("list")
    .description("list an account's sessions")
    .argument("<account>")
    .action(async (account: string) => {
      const { sessions } = await context.client().session.list(account);
      await context.output().list("sessions", onePage(sessions), (one) => ({ ...one }));
    });
  session
    .command("revoke")
    .description("end a session at once")
    .argument("<account>")
    .argument("<session>", "the session's id, as session list shows it")
    .action(async (account: string, id: string) => {
      await context.client().session.revoke(account, id);
      await context.output().done(`ended a session of ${account}`, { status: "revoked", session: id });
    });

  const keys = program.command("login-key").description("the keys that logins are signed with");
  keys
    .command("rotate")
    .description("make the next key; it signs ten minutes later, so that everybody has it by then")
    .option("--immediately", "sign with it at once, and refuse all tokens until now: for a key that leaked")
    .action(async (flags: { immediately?: true }) => {
      const key = await context.client().loginKey.rotate({ immediately: flags.immediately === true });
      const { kid, created_at, used_from } = key;
      await context.output().record({ kid, created_at, used_from }, key);
    });
}

interface SignupFlags {
  readonly kind: AccountKind;
  readonly ttl?: string;
  readonly role?: string;
  readonly allProjects?: true;
  readonly pattern?: string;
}

/** Adds the group. */
export function addSignupCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("signup")
    .description("let others make their account and choose its password");
  group
    .command("create")
    .description("make a token with which one account of this name can be made, once")
    .argument("<name>", "the account's name")
    .addOption(
      group.createOption("--kind <kind>", "who it stands for").choices(accountKinds).default("service"),
    )
    .option("--ttl <duration>", "how long it is good, such as 2h (24h unless set, 720h at most)")
    .addOption(roleOption(group))
    .option("--all-projects", "the role counts in all projects, not only in --project")
    .option("--pattern <pattern>", "the role counts only for names that match")
    .addHelpText(
      "after",
      `
Whoever gets the token first can use it: hand it over as you would a password.

Example:
  keystead signup create alice --kind person --role operator >alice.signup`,
    )
    .action(async (name: string, { kind, ttl, role, allProjects, pattern }: SignupFlags) => {
      if (role === undefined && (allProjects === true || pattern !== undefined))
        throw new UsageError("--all-projects and --pattern say where --role counts; give --role");
      const project = allProjects === true ? "*" : (context.project() ?? "default");
      const binding =
        role === undefined ? [] : [{ role, project, ...(pattern === undefined ? {} : { pattern }) }];
      const made = await context.client().signup.create(name, kind, {
        ttlSeconds: ttl === undefined ? undefined : Math.ceil(parseDurationMs(ttl) / 1000),
        bindings: binding,
      });
      await context.output().line(made.token, made);
    });

  asList(group.command("list").description("list the signups that are still open"), context, {
    name: "signups",
    async page(range) {
      const { signups, next_cursor: nextCursor } = await context.client().signup.list(range);
      return { items: signups, nextCursor };
    },
    fields: ({ name, kind, id, expires_at }) => ({ name, kind, id, expires_at }),
  });

  group
    .command("revoke")
    .description("take a signup back")
    .argument("<signup>", "its id, as signup list shows it")
    .action(async (id: string) => {
      await context.client().signup.revoke(id);
      await context.output().done("took the signup back", { status: "revoked", id });
    });

  group
    .command("redeem")
    .description("make the account that a signup token allows, with a password, and log in")
    .argument("<file>", "the file that holds the token")
    .addHelpText("after", "\nExample:\n  keystead signup redeem alice.signup")
    .action(async (file: string) => {
      const token = readInputFile(file, "the signup token").toString("utf8").trim();
      const [password = ""] = await readNewPassword();
      const { url, timeoutMs, tryTimeoutMs } = context.connection();
      const login = await new KeysteadClient({ url, timeoutMs, tryTimeoutMs }).signup.redeem(token, password);
      await context.sessions.change(url, login);
      await showLogin(context, login);
    });
}

/** Offers the built-in roles, and takes any. */
function roleOption(group: Command): Option {
  const option = group.createOption(
    "--role <role>",
    "a role that the account gets: one of these, or your own",
  );
  option.argChoices = [...roleNames];
  return option;
}

async function* onePage<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  yield await Promise.resolve(items);
}

async function showLogin(context: CommandContext, login: Login): Promise<void> {
  const { account, kind, session, expires_at, refresh_expires_at } = login;
  const fields: Fields = { account, kind, session, expires_at, refresh_expires_at };
  await context.output().record(fields, fields);
}
