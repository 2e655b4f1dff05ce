/** `keystead whoami` and `keystead can`: who one is, and what one may do. */
import type { Command } from "commander";
import type { PolicyExplanation, PolicyReason } from "../sdk/wire.ts";
import { bindingFields, bindingText } from "./account-commands.ts";
import type { CommandContext } from "./command-context.ts";
import { EXIT_FAILURE } from "./exit-code.ts";

/** Stands for the caller itself; no account is called so. */
const MYSELF = "@me";

/** Adds both commands. */
export function addWhoamiCommands(program: Command, context: CommandContext): void {
  program
    .command("whoami")
    .description("say who you are to the service, and what you are bound to")
    .action(async () => {
      const caller = await context.client().whoami();
      const { kind, account_id, authenticated_by, expires_at, issuer, subject, bindings } = caller;
      await context.output().record(
        {
          ...{ caller: caller.caller, kind, account_id, authenticated_by, expires_at, issuer, subject },
          ...bindingFields(bindings),
        },
        caller,
      );
    });

  program
    .command("can")
    .description("say whether an account may do something, and by what; exit code 0 for yes, 1 for no")
    .argument("<account>", `its name; ${MYSELF} for yourself`)
    .argument("<action>", "an operation, such as key.rotate")
    .argument("[resource]", "a key's or secret's name")
    .addHelpText(
      "after",
      `
Examples:
  keystead can billing key.encrypt orders --project payments
  keystead can ${MYSELF} account.create`,
    )
    .action(async (account: string, action: string, resource: string | undefined) => {
      const explained = await context.client().policy.explain(action, {
        account: account === MYSELF ? undefined : account,
        project: context.project(),
        resource,
      });
      const lines = sentences(explained, action, resource);
      await context.output().lines(lines.join("\n"), explained);
      if (!explained.allowed) process.exitCode = EXIT_FAILURE;
    });
}

function sentences(explained: PolicyExplanation, action: string, resource: string | undefined): string[] {
  const { caller, allowed, verdict, scope, reasons } = explained;
  const asked = `${action}${resource === undefined ? "" : ` on ${resource}`}`;
  const because: Readonly<Record<PolicyExplanation["verdict"], string>> = {
    allowed: "",
    any_caller: ": everybody with valid credentials may",
    denied: ": a denial wins over everything that is allowed",
    role_missing: ": a role that it is bound to cannot be read, so everything is denied",
    nothing_allows: `: no role that it is bound to there allows ${scope ?? "it"}`,
    no_part: ": it has no role in that project",
    caller_kind: `: not for a caller of this kind, whatever its roles`,
    account_disabled: ": it is disabled, so nothing that it comes with counts",
  };
  const first = `${allowed ? "yes" : "no"}: ${caller} ${allowed ? "may" : "may not"} ${asked}${because[verdict]}`;
  return [first, ...reasons.map(reasonText)];
}

function reasonText({ effect, binding, statement }: PolicyReason): string {
  const verb = { allow: "allowed", deny: "denied", role_missing: "denied" }[effect];
  const which = statement === undefined ? "" : `, statement ${statement}`;
  return `  ${verb} by binding ${binding.id}: ${bindingText(binding)}${which}`;
}
