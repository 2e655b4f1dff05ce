/** The flags of commands that make a key, beside its type. */
import type { Command } from "commander";
import type { KeyCreateOptions } from "../sdk/key-api.ts";
import type { KeyPurpose } from "../sdk/wire.ts";
import { labelOption, labelsOf } from "./label-flags.ts";
import { parseDays } from "./numbers.ts";

export interface CreationFlags {
  readonly purpose?: KeyPurpose;
  readonly provider?: string;
  readonly exportable?: boolean;
  readonly description?: string;
  readonly label?: readonly string[];
  readonly rotationDays?: string;
}

/** Gives a command the flags. */
export function withCreationFlags(command: Command): Command {
  return command
    .option("--description <text>", "what it is for")
    .addOption(labelOption(command, "a label to find it by"))
    .option("--rotation-days <days>", "it rotates by itself when its latest version is this old")
    .option("--provider <name>", "who makes and opens its material; the service's default unless set")
    .option("--exportable", "it may leave the service, which then does not encrypt with it")
    .option("--no-exportable", "it stays inside, whoever makes it");
}

/** What the flags say. */
export function creationOf(flags: CreationFlags): Omit<KeyCreateOptions, "type"> {
  const { purpose, provider, exportable, description, label, rotationDays } = flags;
  return {
    purpose,
    provider,
    exportable,
    description,
    labels: labelsOf(label),
    rotationPeriodDays: parseDays(rotationDays, "--rotation-days"),
  };
}
