/**
 * The use of keys. The commands stand at the top (as BunKMS has them) and under `key`; encryption is in
 * cipher-commands.ts, signatures, MACs and encapsulation in signature-commands.ts, export in transfer-commands.ts.
 */
import type { Command } from "commander";
import { addCipherCommands } from "./cipher-commands.ts";
import type { CommandContext } from "./command-context.ts";
import { addSignatureCommands } from "./signature-commands.ts";
import { addExportCommand } from "./transfer-commands.ts";

/** Adds the commands to the program or to a group. */
export function addCryptoCommands(parent: Command, context: CommandContext): void {
  addCipherCommands(parent, context);
  addSignatureCommands(parent, context);
  addExportCommand(parent, context);
}
