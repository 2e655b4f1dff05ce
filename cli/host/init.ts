/**
 * `keystead init`: makes a data path with its first account, and prints that account's token.
 * Invariant: the token is printed once, on standard output; a data path that has an account is left as it is. An init that
 * was killed before there was a token can be run again.
 */
import type { Command } from "commander";
import type { AuditFacts } from "../../src/audit/entry.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import type { Keystead } from "../../src/compose.ts";
import type { Account } from "../../src/identity/accounts.ts";
import type { CommandContext } from "../command-context.ts";
import { EXIT_FAILURE } from "../exit-code.ts";

const ADMIN = "admin";
const ALL_PROJECTS = "*";
const TTL_DAYS = 90;

interface FirstToken {
  readonly token: string;
  readonly id: string;
  readonly expiresAt: string;
}

/** Adds the command. */
export function addInitCommand(program: Command, context: CommandContext, env: NodeJS.ProcessEnv): void {
  program
    .command("init")
    .description(
      "make a data path (or database) with its first account, and print the admin token: this once only",
    )
    .argument("[flags...]", "the flags of keystead server, such as --data-path /var/lib/keystead")
    .allowUnknownOption()
    .addHelpText(
      "after",
      `
Takes the server's settings, from its flags, the environment and the settings file; see keystead server --help.
The token goes to standard output, everything else to standard error. It is valid for ${TTL_DAYS} days: make accounts of
their own for people and services before then (account create, account bind, token create).

Example:
  export KEYSTEAD_ROOT_KEY=$(openssl rand -hex 32)     # keep it: nothing opens without it
  export KEYSTEAD_DATA_PATH=/var/lib/keystead
  (umask 077; keystead init >admin.token)`,
    )
    .action(async (flags: string[]) => {
      process.exitCode = await init(flags, context, env);
    });
}

async function init(
  flags: readonly string[],
  context: CommandContext,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  process.umask(0o077);
  // Loaded here alone: no other command waits for the server's modules.
  const { compose } = await import("../../src/compose.ts");
  const { HelpAsked, readConfig } = await import("../../src/config.ts");
  let keystead: Keystead | undefined;
  try {
    const config = readConfig(flags, env, process.cwd());
    const place = config.database === undefined ? config.dataPath : "the database";
    if (place === undefined) {
      return refuse(
        "init needs a folder to keep data in: set KEYSTEAD_DATA_PATH or --data-path, or KEYSTEAD_DATABASE_URL",
      );
    }
    keystead = await compose(config, { initialising: true });
    if (!(await isWithoutAdmin(keystead))) {
      return refuse(`${place} already has an account; nothing was changed`);
    }
    const first = await makeFirstToken(keystead);
    await context.output().line(first.token, {
      account: ADMIN,
      token: first.token,
      id: first.id,
      expires_at: first.expiresAt,
    });
    remark(`${place} is ready, with the account ${ADMIN}`);
    remark(`its token (above, on standard output) is valid until ${first.expiresAt} and is not shown again`);
    return 0;
  } catch (error) {
    if (error instanceof HelpAsked) return refuse("see keystead init --help");
    // A refused start has one line for the operator, without a secret; other texts stay inside.
    if (error instanceof Error && error.name === "StartRefused") return refuse(error.message);
    return refuse(`init failed (${error instanceof Error ? error.name : "unknown"})`);
  } finally {
    await keystead?.close();
  }
}

/** True for a data path without accounts, and for one whose only account is what a killed init left. */
async function isWithoutAdmin({ services: { accounts } }: Keystead): Promise<boolean> {
  const { items: found } = await accounts.list("", 2);
  const [only] = found;
  return only === undefined || (found.length === 1 && isUnfinished(only) && (await hasNoToken()));

  async function hasNoToken(): Promise<boolean> {
    return (await accounts.tokens(ADMIN)).length === 0;
  }
}

function isUnfinished({ name, kind, bindings }: Account): boolean {
  return (
    name === ADMIN &&
    kind === "person" &&
    bindings.every(
      ({ role, project, pattern }) => role === "admin" && project === ALL_PROJECTS && pattern === undefined,
    )
  );
}

async function makeFirstToken({ services }: Keystead): Promise<FirstToken> {
  const { accounts, auditor } = services;
  const commit =
    (action: string): CommitChange =>
    (writes, facts) =>
      auditor.commitChange({ ...initFacts(action), ...facts, version: 0 }, writes);
  if (!(await accounts.any())) await accounts.create(ADMIN, "person", commit("account.create"));
  await accounts.bind(ADMIN, { role: "admin", project: ALL_PROJECTS }, commit("account.bind"));
  const { plainToken, token } = await accounts.createToken(
    ADMIN,
    "init",
    TTL_DAYS * 24 * 3600,
    commit("token.create"),
  );
  return { token: plainToken, id: token.id, expiresAt: token.expiresAt };
}

/** Nobody called: whoever holds the host and the root key did this. */
function initFacts(action: string): AuditFacts {
  return {
    action,
    address: "local",
    caller: "system:init",
    decision: "allow",
    outcome: "ok",
    project: "",
    request: "",
    resource: "",
    severity: "INFO",
    version: 0,
  };
}

function refuse(reason: string): number {
  remark(reason);
  return EXIT_FAILURE;
}

function remark(text: string): void {
  process.stderr.write(`keystead: ${text}\n`);
}
