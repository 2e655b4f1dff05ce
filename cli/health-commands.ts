/** `keystead health`: whether the service can do its work. */
import type { Command } from "commander";
import type { CommandContext } from "./command-context.ts";
import { EXIT_FAILURE } from "./exit-code.ts";

/** Adds the command. */
export function addHealthCommand(program: Command, context: CommandContext): void {
  program
    .command("health")
    .alias("status")
    .description("say whether the service works, check by check; exit code 1 where it does not")
    .action(async () => {
      const health = await context.client().health();
      await context.output().record({ status: health.status, ...health.checks }, health);
      if (health.status !== "ok") process.exitCode = EXIT_FAILURE;
    });
}
