/** `keystead token …` and `keystead jwt …`. Invariant: a token is printed once, by `create`, on standard output. */
import type { Command } from "commander";
import type { CommandContext } from "./command-context.ts";
import { parseDurationMs } from "./duration.ts";
import { UsageError } from "./usage-error.ts";

/** Adds both groups. */
export function addTokenCommands(program: Command, context: CommandContext): void {
  const group = program.command("token").description("make, list and revoke the tokens of accounts");

  group
    .command("create")
    .description("make a token for an account, and print it: this is the only time that it is shown")
    .argument("<account>")
    .option("--label <text>", "what it is for")
    .option("--ttl <duration>", "how long it is valid, such as 12h or 30d (90d unless set)")
    .addHelpText(
      "after",
      `
Example:
  (umask 077; keystead token create billing --label "billing on host 3" --ttl 30d >billing.token)`,
    )
    .action(async (account: string, { label, ttl }: { label?: string; ttl?: string }) => {
      const ttlSeconds = ttl === undefined ? undefined : Math.ceil(parseDurationMs(ttl) / 1000);
      const created = await context.client().token.create(account, { label, ttlSeconds });
      const output = context.output();
      await output.line(created.token, created);
      if (output.options.terminal && !output.options.json)
        output.remark(
          `token ${created.id} of ${account} is valid until ${created.expires_at}; it is not shown again`,
        );
    });

  group
    .command("list")
    .description("list an account's tokens, without the tokens themselves")
    .argument("<account>")
    .action(async (account: string) => {
      const { tokens } = await context.client().token.list(account);
      await context.output().list("tokens", onePage(tokens), ({ id, label, created_at, expires_at }) => ({
        id,
        label,
        created_at,
        expires_at,
      }));
    });

  group
    .command("revoke")
    .description("end a token at once")
    .argument("<account>")
    .argument("<token>", "the token's id, as token list shows it (not the token itself)")
    .action(async (account: string, token: string) => {
      // An id stands in a path, which servers and proxies write into their logs.
      if (token.startsWith("kst_")) throw new UsageError("give the token's id, not the token itself");
      await context.client().token.revoke(account, token);
      await context.output().done(`revoked ${token}`, { status: "revoked", account, token });
    });

  addJwtCommands(program, context);
}

function addJwtCommands(program: Command, context: CommandContext): void {
  program
    .command("jwt")
    .description("refuse JSON Web Tokens that others issued")
    .command("revoke")
    .description("refuse a subject's JWTs that were issued before a time")
    .argument("<subject>", "the sub claim")
    .option("--issued-before <time>", "ISO 8601, or seconds since 1970 (now unless set)")
    .action(async (subject: string, flags: { issuedBefore?: string }) => {
      const issuedBefore = secondsOf(flags.issuedBefore);
      await context.client().jwt.revoke(subject, issuedBefore);
      const done = `JWTs of ${subject} issued before ${new Date(issuedBefore * 1000).toISOString()} are refused`;
      await context.output().done(done, { status: "revoked", sub: subject, issued_before: issuedBefore });
    });
}

/** Now counts the running second in: a JWT says when it was issued in whole seconds. */
function secondsOf(text: string | undefined): number {
  if (text === undefined) return Math.floor(Date.now() / 1000) + 1;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) {
    throw new UsageError("--issued-before is a time such as 2030-01-31T12:00:00Z, or seconds since 1970");
  }
  return Math.floor(time / 1000);
}

async function* onePage<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  yield await Promise.resolve(items);
}
