/**
 * `keystead admin`: what an administrator does on the server's own host, without network.
 * Invariant: whoever can do this holds the host and the root key; it is recorded in the audit log all the same. A data path
 * that a server has open is left to that server.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { Keystead } from "../../src/compose.ts";
import { GoKmsClient } from "../../sdk/go-kms.ts";
import type { CommandContext } from "../command-context.ts";
import { EXIT_FAILURE } from "../exit-code.ts";
import { UsageError } from "../usage-error.ts";

const TTL_MS_DEFAULT = 24 * 3600_000;
const TTL_MS_MAX = 30 * 24 * 3600_000;
const BYTES_DEFAULT = 32;
const BYTES_MAX = 1024;

interface SignupFlags {
  readonly name: string;
  readonly ttl?: string;
}

/** Adds the group. */
export function addAdminCommands(program: Command, context: CommandContext, env: NodeJS.ProcessEnv): void {
  const group = program.command("admin").description("administer Go KMS's clients, on the server's own host");

  group
    .command("generate-signup")
    .alias("generate_signup")
    .description("print a token with which one client of this name can sign up, once")
    .requiredOption("--name <client>", "the client's name: 4 to 64 letters, digits and hyphens")
    .option("--ttl <ms>", "how many milliseconds it is good (a day unless given, 30 days at most)")
    .addHelpText(
      "after",
      `
Takes the server's settings from the environment and the settings file, and opens its data path or its database: the server must not run.
With a database (KEYSTEAD_DATABASE_URL) other nodes may run, under other names (KEYSTEAD_NODE).
Where a token is given (--token, --token-file, KEYSTEAD_TOKEN, or a session of keystead login), the running server at
--url is asked instead.

Example:
  keystead admin generate-signup --name billing --ttl 3600000 >billing.signup`,
    )
    .action(async (flags: SignupFlags) => {
      const ttlMs = readNumber("--ttl", flags.ttl, TTL_MS_DEFAULT, TTL_MS_MAX);
      if (!/^[a-zA-Z0-9-]{4,64}$/.test(flags.name))
        throw new UsageError("--name is 4 to 64 letters, digits and hyphens");
      const { url, token, timeoutMs } = context.connection();
      if (token === undefined) {
        process.exitCode = await inviteHere(flags.name, ttlMs, context, env);
        return;
      }
      const given = typeof token === "string" ? token : (await token()).token;
      const made = await new GoKmsClient({ url, token: given, timeoutMs }).invite(flags.name, ttlMs);
      await context.output().line(made, { token: made });
    });

  group
    .command("generate-bytes")
    .alias("generate_bytes")
    .description("print random bytes in base64url, such as a root key for KEK")
    .option("--n <bytes>", "how many (32 unless given)")
    .action(async ({ n }: { readonly n?: string }) => {
      const drawn = crypto.getRandomValues(new Uint8Array(readNumber("--n", n, BYTES_DEFAULT, BYTES_MAX)));
      const bytes = Buffer.from(drawn).toString("base64url");
      await context.output().line(bytes, { bytes });
    });
}

async function inviteHere(
  name: string,
  ttlMs: number,
  context: CommandContext,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  process.umask(0o077);
  // Loaded here alone: no other command waits for the server's modules.
  const { compose } = await import("../../src/compose.ts");
  const { readConfig } = await import("../../src/config.ts");
  const { serviceFacts } = await import("../../src/audit/auditor.ts");
  let keystead: Keystead | undefined;
  try {
    const config = readConfig([], env, process.cwd());
    // A mistyped path must not become a data path of its own.
    const { dataPath, database } = config;
    if (database === undefined && (dataPath === undefined || !existsSync(join(dataPath, "keystead.db"))))
      return refuse(
        "there is nothing to sign up to: set KEYSTEAD_DATA_PATH or KEYSTEAD_DATABASE_URL, or give a token to ask a running server",
      );
    keystead = await compose(config, { initialising: true, existing: true });
    const { auditor, clientAccounts } = keystead.services;
    const { token, expiresAt } = await clientAccounts.invite(name, Math.ceil(ttlMs / 1000), (writes, facts) =>
      auditor.commitChange(
        { ...serviceFacts("client.invite"), severity: "WARNING", ...facts, version: 0 },
        writes,
      ),
    );
    await context.output().line(token, { token, expires_at: expiresAt });
    return 0;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // A refused start and a refused name have one line for people, without a secret; other texts stay inside.
    if (error.name === "StartRefused")
      return refuse(`${error.message}; a running server is asked with a token`);
    if (error.name === "KeysteadError") return refuse(error.message);
    return refuse(`it failed (${error.name})`);
  } finally {
    await keystead?.close();
  }
}

function readNumber(flag: string, text: string | undefined, otherwise: number, max: number): number {
  if (text === undefined) return otherwise;
  const value = /^[1-9][0-9]{0,11}$/.test(text) ? Number(text) : Infinity;
  if (value > max) throw new UsageError(`${flag} is a number from 1 to ${max}`);
  return value;
}

function refuse(reason: string): number {
  process.stderr.write(`keystead: ${reason}\n`);
  return EXIT_FAILURE;
}
