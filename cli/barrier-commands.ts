/** `keystead barrier status` and `keystead rotate barrier`: the keys that seal the service's records. */
import type { Command } from "commander";
import type { BarrierStatus } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";

/** Adds the group `barrier`. */
export function addBarrierCommands(program: Command, context: CommandContext): void {
  program
    .command("barrier")
    .description("show the keys that seal the records")
    .command("status")
    .description("list the keys that seal the records, and how many records each older one still seals")
    .action(async () => {
      await show(context, await context.client().barrier.status());
    });
}

/** Adds `rotate barrier` to its group. */
export function addRotateBarrierCommand(group: Command, context: CommandContext): void {
  group
    .command("barrier")
    .description(
      "make a new key that seals the records; those of before are sealed anew while the service works",
    )
    .addHelpText(
      "after",
      `
The old key is deleted by itself, an hour after no record needs it any more at the earliest: keystead barrier status says
how far that is.`,
    )
    .action(async () => {
      await show(context, await context.client().barrier.rotate());
    });
}

async function show(context: CommandContext, status: BarrierStatus): Promise<void> {
  const output = context.output();
  if (output.options.json) return output.record({}, status);
  await output.list("keys", onePage(status.keys), (key) => ({
    version: key.version,
    state: key.state,
    created_at: key.created_at,
    records_left: key.records_left,
    unused_since: key.unused_since,
  }));
}

async function* onePage<T>(items: readonly T[]): AsyncGenerator<readonly T[]> {
  yield await Promise.resolve(items);
}
