/** `keystead random`: random bytes of the service. */
import { Buffer } from "node:buffer";
import type { Command } from "commander";
import { writeBytesResult, type BytesOutputFlags } from "./bytes-output.ts";
import type { CommandContext } from "./command-context.ts";
import { parseCount } from "./numbers.ts";

const RANDOM_BYTES_MAX = 4096;

/** Adds the command. */
export function addRandomCommand(program: Command, context: CommandContext): void {
  program
    .command("random")
    .description("print random bytes, in base64")
    .argument("[bytes]", "how many, at most 4096 (32 unless set)")
    .option("--hex", "hexadecimal digits instead of base64")
    .option("--raw", "the bytes as they are")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .action(async (count: string | undefined, flags: BytesOutputFlags & { hex?: true }) => {
      const wanted =
        count === undefined ? undefined : parseCount(count, "the number of bytes", RANDOM_BYTES_MAX);
      const bytes = Buffer.from(await context.client().random.generate(wanted));
      const text = bytes.toString(flags.hex === true ? "hex" : "base64");
      const json = { random_b64: bytes.toString("base64") };
      await writeBytesResult(context.output(), bytes, flags, json, text);
    });
}
