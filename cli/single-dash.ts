/**
 * Flags with one dash: BunKMS spells its long flags `-url`, as Go programs do.
 * Invariant: only a flag that exists is respelled, and never the value of another flag or what follows `--`.
 */
import type { Command } from "commander";

/** The arguments with each known long flag in its two-dash spelling. */
export function withDoubleDashes(args: readonly string[], program: Command): string[] {
  const takesValue = longFlags(program);
  const result: string[] = [];
  let isValue = false;
  for (const [i, arg] of args.entries()) {
    if (arg === "--" && !isValue) return [...result, ...args.slice(i)];
    const name: string | undefined = isValue ? undefined : /^--?([a-z][a-z0-9-]+)(?==|$)/.exec(arg)?.[1];
    isValue = false;
    if (name === undefined || !takesValue.has(name)) {
      result.push(arg);
      continue;
    }
    isValue = takesValue.get(name) === true && !arg.includes("=");
    result.push(arg.startsWith("--") ? arg : `-${arg}`);
  }
  return result;
}

/** Every long flag of a command and its subcommands, without dashes, with whether a value follows it. */
function longFlags(command: Command): Map<string, boolean> {
  const flags = new Map<string, boolean>([["help", false]]);
  for (const option of command.options) {
    if (typeof option.long === "string") flags.set(option.long.slice(2), option.required);
  }
  for (const subcommand of command.commands) {
    for (const [name, takesValue] of longFlags(subcommand)) flags.set(name, takesValue);
  }
  return flags;
}
