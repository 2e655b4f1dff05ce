/** `keystead rotate …`: the keys that the service itself stands on, the barrier's and the root. */
import type { Command } from "commander";
import { addRotateBarrierCommand } from "./barrier-commands.ts";
import type { CommandContext } from "./command-context.ts";
import { addRotateRootCommand } from "./host/rotate-root.ts";

/** Adds the group. */
export function addRotateCommands(program: Command, context: CommandContext, env: NodeJS.ProcessEnv): void {
  const group = program
    .command("rotate")
    .description("rotate the keys that the service itself stands on (key rotate is for yours)");
  addRotateBarrierCommand(group, context);
  addRotateRootCommand(group, context, env);
}
