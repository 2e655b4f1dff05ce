/**
 * Encryption: encrypt, decrypt, reencrypt, data-key.
 * Invariant: encrypt prints the ciphertext alone and decrypt the plaintext alone, byte for byte.
 */
import { Buffer } from "node:buffer";
import type { Command } from "commander";
import { dataKeyLengths, type DataKeyLength } from "../sdk/wire.ts";
import { bytesAsJson } from "./bytes-json.ts";
import { writeSecretAndCiphertext, writeTextResult } from "./bytes-output.ts";
import type { CommandContext } from "./command-context.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { readInput, readInputFile, readTextInput } from "./input.ts";
import { assertBatchAlone, notOneLine, runLineBatch } from "./line-batch.ts";
import { parseVersion } from "./numbers.ts";
import { visibleText } from "./output.ts";
import { UsageError } from "./usage-error.ts";

const LINE_FEED = 0x0a;

interface ContextFlags extends InputFlags {
  readonly out?: string;
  readonly aad?: string;
  readonly aadFile?: string;
  readonly batch?: string;
}

interface EncryptFlags extends ContextFlags {
  readonly version?: string;
}

interface ReencryptFlags extends ContextFlags {
  readonly toKey?: string;
  readonly toVersion?: string;
  readonly toAad?: string;
  readonly toAadFile?: string;
}

interface DataKeyFlags {
  readonly bytes?: string;
  readonly aad?: string;
  readonly aadFile?: string;
  readonly wrappedOnly?: true;
  readonly out?: string;
}

/** Adds the commands to the program or to a group. */
export function addCipherCommands(parent: Command, context: CommandContext): void {
  addEncrypt(parent, context);
  addDecrypt(parent, context);
  addReencrypt(parent, context);
  addDataKey(parent, context);
}

function addEncrypt(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("encrypt"), "read the plaintext from a file")
    .description("encrypt under a key's latest version, and print the ciphertext")
    .argument("<key>", "its name or id")
    .argument("[plaintext]", "- or nothing: standard input (others on this machine can see a command line)")
    .option("--aad <text>", "additional authenticated data: decryption takes the same")
    .option("--aad-file <path>", "the same, from a file")
    .option("--version <version>", "under this version instead of the latest")
    .option(
      "--batch <path>",
      "encrypt each line of a file, and print a ciphertext a line (- is standard input)",
    )
    .option("--out <path>", "write the result there")
    .addHelpText(
      "after",
      `
Examples:
  keystead encrypt orders <card.txt >card.enc
  printf %s "$CARD" | keystead encrypt orders --aad "order 42"
  keystead encrypt orders --batch cards.txt >cards.enc`,
    )
    .action(async (key: string, value: string | undefined, flags: EncryptFlags) => {
      const aad = aadOf(flags);
      const version = parseVersion(flags.version);
      const client = context.client();
      if (flags.batch !== undefined) {
        assertBatchAlone([value, inputFile(flags), flags.out, version]);
        return runLineBatch(context.output(), {
          path: flags.batch,
          what: "the plaintexts",
          itemBytes: lengthOf(aad),
          run: (lines) =>
            client.key.encryptBatch(
              key,
              lines.map((plaintext) => ({ plaintext, aad })),
            ),
          line: ({ ciphertext }) => Buffer.from(visibleText(ciphertext)),
          json: (result) => result,
        });
      }
      const plaintext = await readInput({ value, file: inputFile(flags), what: "the plaintext" });
      const result = await client.key.encrypt(key, plaintext, { aad, version });
      await writeTextResult(context.output(), visibleText(result.ciphertext), flags.out, result);
    });
}

function addDecrypt(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("decrypt"), "read the ciphertext from a file")
    .description("decrypt what any version of a key encrypted, and print the plaintext, byte for byte")
    .argument("<key>", "its name or id")
    .argument("[ciphertext]", "as encrypt printed it; - or nothing: standard input")
    .option("--aad <text>", "the additional authenticated data that it was encrypted with")
    .option("--aad-file <path>", "the same, from a file")
    .option(
      "--batch <path>",
      "decrypt each line of a file, and print a plaintext a line (- is standard input)",
    )
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
Exit code 6: the ciphertext is of another key, was changed, or came with other additional data. In a batch such a line
is empty in the output, and named on standard error.

Examples:
  keystead decrypt orders <card.enc
  keystead decrypt orders --file card.enc --aad "order 42" --out card.txt`,
    )
    .action(async (key: string, value: string | undefined, flags: ContextFlags) => {
      const aad = aadOf(flags);
      const client = context.client();
      if (flags.batch !== undefined) {
        assertBatchAlone([value, inputFile(flags), flags.out]);
        return runLineBatch(context.output(), {
          path: flags.batch,
          what: "the ciphertexts",
          itemBytes: lengthOf(aad),
          run: (lines) =>
            client.key.decryptBatch(
              key,
              lines.map((line) => ({ ciphertext: textOf(line), aad })),
            ),
          line: ({ plaintext }) => (plaintext.includes(LINE_FEED) ? notOneLine() : plaintext),
          json: ({ plaintext, version }) => ({ ...bytesAsJson("plaintext", plaintext), version }),
        });
      }
      const ciphertext = await readTextInput({ value, file: inputFile(flags), what: "the ciphertext" });
      const { plaintext, version } = await client.key.decrypt(key, ciphertext, { aad });
      const json = { ...bytesAsJson("plaintext", plaintext), version };
      await context.output().bytes(plaintext, flags.out, json);
    });
}

function addReencrypt(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("reencrypt"), "read the ciphertext from a file")
    .description(
      "encrypt anew, under the latest version or another key, without the plaintext leaving the service",
    )
    .argument("<key>", "the key that it is encrypted under: its name or id")
    .argument("[ciphertext]", "as encrypt printed it; - or nothing: standard input")
    .option("--aad <text>", "the additional authenticated data that it was encrypted with")
    .option("--aad-file <path>", "the same, from a file")
    .option("--to-key <key>", "another key from now on")
    .option("--to-version <version>", "this version instead of the latest")
    .option("--to-aad <text>", "other additional data from now on")
    .option("--to-aad-file <path>", "the same, from a file")
    .option("--batch <path>", "each line of a file, a ciphertext a line (- is standard input)")
    .option("--out <path>", "write the result there")
    .addHelpText(
      "after",
      `
Examples:
  keystead key rotate orders && keystead reencrypt orders --batch cards.enc >cards.new
  keystead reencrypt orders --file card.enc --to-key archive`,
    )
    .action(async (key: string, value: string | undefined, flags: ReencryptFlags) => {
      const aad = aadOf(flags);
      const toAad = aadOf({ aad: flags.toAad, aadFile: flags.toAadFile }, "--to-aad");
      const target = { toKey: flags.toKey, toVersion: parseVersion(flags.toVersion, "--to-version") };
      const client = context.client();
      if (flags.batch !== undefined) {
        assertBatchAlone([value, inputFile(flags), flags.out]);
        return runLineBatch(context.output(), {
          path: flags.batch,
          what: "the ciphertexts",
          itemBytes: lengthOf(aad) + lengthOf(toAad),
          run(lines) {
            const items = lines.map((line) => ({ ciphertext: textOf(line), aad, toAad }));
            return client.key.reencryptBatch(key, items, target);
          },
          line: ({ ciphertext }) => Buffer.from(visibleText(ciphertext)),
          json: (result) => result,
        });
      }
      const ciphertext = await readTextInput({ value, file: inputFile(flags), what: "the ciphertext" });
      const result = await client.key.reencrypt(key, ciphertext, { aad, toAad, ...target });
      await writeTextResult(context.output(), visibleText(result.ciphertext), flags.out, result);
    });
}

function addDataKey(parent: Command, context: CommandContext): void {
  const command = parent.command("data-key").alias("generate-data-key");
  command
    .description("make a data key to encrypt with by yourself, with its form encrypted under a key, to keep")
    .argument("<key>", "its name or id")
    .addOption(
      command
        .createOption("--bytes <count>", "how long it is (32 unless set)")
        .choices(dataKeyLengths.map(String)),
    )
    .option("--aad <text>", "additional authenticated data: decryption takes the same")
    .option("--aad-file <path>", "the same, from a file")
    .option("--wrapped-only", "print the encrypted form alone, for others to decrypt")
    .option("--out <path>", "write the data key itself there, as bytes and for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
keystead decrypt with the same key gives the data key back.

Examples:
  keystead data-key backups --out dek.bin >dek.enc
  keystead decrypt backups --file dek.enc --out dek.bin`,
    )
    .action(async (key: string, flags: DataKeyFlags) => {
      const bytes = flags.bytes === undefined ? undefined : (Number(flags.bytes) as DataKeyLength);
      const options = { bytes, aad: aadOf(flags) };
      if (flags.wrappedOnly === true) {
        if (flags.out !== undefined) throw new UsageError("give --wrapped-only or --out, not both");
        const result = await context.client().key.generateWrappedDataKey(key, options);
        await context.output().line(result.ciphertext, result);
        return;
      }
      const { plaintext, ...rest } = await context.client().key.generateDataKey(key, options);
      const result = { name: "plaintext", secret: plaintext, ...rest };
      await writeSecretAndCiphertext(context.output(), result, flags.out);
    });
}

function aadOf(
  { aad, aadFile }: { readonly aad?: string | undefined; readonly aadFile?: string | undefined },
  flag = "--aad",
): string | Uint8Array | undefined {
  if (aad !== undefined && aadFile !== undefined) {
    throw new UsageError(`give ${flag} or ${flag}-file, not both`);
  }
  return aadFile === undefined ? aad : readInputFile(aadFile, "the additional data");
}

function lengthOf(aad: string | Uint8Array | undefined): number {
  return aad === undefined ? 0 : Buffer.byteLength(aad);
}

/** A line of base64, as text: what is none is refused by the service. */
function textOf(line: Buffer): string {
  return line.toString("latin1").trim();
}
