/** The flags that give labels: `--label team=payments`, as often as there are labels. */
import type { Command, Option } from "commander";
import { UsageError } from "./usage-error.ts";

/** The flag, which may come more than once. */
export function labelOption(command: Command, help: string): Option {
  return command
    .createOption("--label <name=value>", `${help} (may come more than once)`)
    .argParser((text: string, before: unknown) => [...(isTexts(before) ? before : []), text]);
}

/** The labels, where any were given. Throws UsageError for what is no label. */
export function labelsOf(texts: readonly string[] | undefined): Record<string, string> | undefined {
  if (texts === undefined) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new UsageError("--label is a name, = and a value, such as --label team=payments");
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** Labels to look for: with a value, or the name alone for any value. */
export function askedLabelsOf(texts: readonly string[] | undefined): Record<string, string> | undefined {
  return labelsOf(texts?.map((text) => (text.includes("=") ? text : `${text}=`)));
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}
