/** `keystead client`: a client of Go KMS's API: signs up, logs in by itself, and has data encryption keys. */
import type { Command } from "commander";
import { KeysteadApiError } from "../sdk/api-error.ts";
import { GoKmsClient, type GoKmsDek } from "../sdk/go-kms.ts";
import type { CommandContext } from "./command-context.ts";
import { readNewPassword, readPasswords } from "./password-input.ts";
import { UsageError } from "./usage-error.ts";

/** A login is renewed so long before its end. */
const RENEWAL_MS = 30_000;

interface KeyFlags {
  readonly ref: string;
  readonly user?: string;
}

/** Adds the group. */
export function addClientCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("client")
    .description("be a client of Go KMS's API, with data encryption keys of its own");

  group
    .command("signup")
    .description("sign up with the signup token that --token or --token-file gives, and choose a password")
    .addHelpText(
      "after",
      `
The password comes from KMS_PASS, else it is typed, unseen, or is the first line of standard input.

Example:
  keystead client signup --token-file billing.signup`,
    )
    .action(async () => {
      const token = context.givenToken();
      if (token === undefined) throw new UsageError("give the signup token with --token or --token-file");
      const { url, pass = (await readNewPassword())[0], timeoutMs } = context.goKms();
      await new GoKmsClient({ url, pass, timeoutMs }).signup(token);
      await context.output().done("signed up", { status: "signed_up" });
    });

  const onKey = (name: string, description: string): Command =>
    group
      .command(name)
      .description(description)
      .requiredOption("--ref <reference>", "the key's reference")
      .option("--user <name>", "the client's name (KMS_USER unless given)");

  onKey("generate", "make a data encryption key, and print it").action(async ({ ref, user }: KeyFlags) => {
    await showDek(context, await asClient(context, user, (client) => client.generate(ref)));
  });
  onKey("rotate", "make the key's next version, and print it").action(async ({ ref, user }: KeyFlags) => {
    await showDek(context, await asClient(context, user, (client) => client.rotate(ref)));
  });
  onKey("get", "print a version of the key, the latest unless --key-version is given")
    .option("--key-version <number>", "the version")
    .action(async ({ ref, user, keyVersion }: KeyFlags & { readonly keyVersion?: string }) => {
      if (keyVersion !== undefined && !/^[1-9][0-9]{0,8}$/.test(keyVersion))
        throw new UsageError("--key-version is a number from 1 on");
      const version = keyVersion === undefined ? undefined : Number(keyVersion);
      const key = await asClient(context, user, (client) => client.getKey(ref, version));
      const { dek, version: number, expiresAt } = key.decryptWith;
      const fields = { dek, version: number, deprecated: key.deprecated, expires_at: expiresAt };
      await context.output().record(fields, key);
    });
  onKey("delete", "delete the key with all its versions").action(async ({ ref, user }: KeyFlags) => {
    await asClient(context, user, (client) => client.delete(ref));
    await context.output().done("deleted the key", { status: "deleted" });
  });
}

/** Does something as the client: with the login that is kept, else with a new one, which is kept. */
async function asClient<T>(
  context: CommandContext,
  givenUser: string | undefined,
  act: (client: GoKmsClient) => Promise<T>,
): Promise<T> {
  const settings = context.goKms();
  const { url, timeoutMs, sessions } = settings;
  const user = givenUser ?? settings.user;
  if (user === undefined) throw new UsageError("which client? set KMS_USER or give --user");
  const place = `${url.replace(/\/+$/, "")}/clients/${encodeURIComponent(user)}`;
  const kept = sessions.get(place);
  if (kept !== undefined && kept.expiresAtMs - RENEWAL_MS > Date.now()) {
    try {
      return await act(new GoKmsClient({ url, timeoutMs, token: kept.token, user, pass: settings.pass }));
    } catch (error) {
      // Its end is no error of whoever asks: a new login follows.
      if (!isOver(error)) throw error;
      await sessions.change(place, undefined);
    }
  }
  const pass = settings.pass ?? (await readPasswords(["Password"]))[0];
  const client = new GoKmsClient({ url, user, pass, timeoutMs });
  const { token, ttl } = await client.login();
  await sessions.change(place, { token, expiresAtMs: Date.now() + ttl });
  return act(client);
}

function isOver(error: unknown): boolean {
  return (
    (error instanceof KeysteadApiError && error.status === 401) ||
    // Without a password there was no second login.
    (error instanceof Error && error.name === "KeysteadInputError" && error.message.includes("KMS_PASS"))
  );
}

async function showDek(context: CommandContext, made: GoKmsDek): Promise<void> {
  const { dek, version, expiresAt } = made;
  await context.output().record({ dek, version, expires_at: expiresAt }, made);
}
