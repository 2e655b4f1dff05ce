/**
 * The use of keys: encrypt, decrypt, sign, verify, export. They stand at the top (as BunKMS has them) and under `key`.
 * Invariant: encrypt prints the ciphertext alone and decrypt the plaintext alone, byte for byte.
 */
import type { Command } from "commander";
import type { Signed } from "../sdk/signature-calls.ts";
import { bytesAsJson } from "./bytes-json.ts";
import type { CommandContext } from "./command-context.ts";
import { EXIT_NOT_VALID } from "./exit-code.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { InputFailed, readInput, readInputFile, readTextInput } from "./input.ts";
import { parseVersion } from "./numbers.ts";
import { UsageError } from "./usage-error.ts";

const DIGEST_BYTES = 32;

interface ContextFlags extends InputFlags {
  readonly out?: string;
  readonly aad?: string;
  readonly aadFile?: string;
}

interface SignFlags extends InputFlags {
  readonly digest?: string;
  readonly out?: string;
  readonly raw?: true;
}

interface VerifyFlags extends InputFlags {
  readonly digest?: string;
  readonly signature?: string;
  readonly signatureFile?: string;
  readonly version?: string;
}

interface ExportFlags {
  readonly version?: string;
  readonly raw?: true;
  readonly out?: string;
}

/** Adds the commands to the program or to a group. */
export function addCryptoCommands(parent: Command, context: CommandContext): void {
  addEncrypt(parent, context);
  addDecrypt(parent, context);
  addSign(parent, context);
  addVerify(parent, context);
  addExport(parent, context);
}

function addEncrypt(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("encrypt"), "read the plaintext from a file")
    .description("encrypt under a key's latest version, and print the ciphertext")
    .argument("<key>", "its name or id")
    .argument("[plaintext]", "- or nothing: standard input (others on this machine can see a command line)")
    .option("--aad <text>", "additional authenticated data: decryption takes the same")
    .option("--aad-file <path>", "the same, from a file")
    .option("--out <path>", "write the result there")
    .addHelpText(
      "after",
      `
Examples:
  keystead encrypt orders <card.txt >card.enc
  printf %s "$CARD" | keystead encrypt orders --aad "order 42"`,
    )
    .action(async (key: string, value: string | undefined, flags: ContextFlags) => {
      const plaintext = await readInput({ value, file: inputFile(flags), what: "the plaintext" });
      const result = await context.client().key.encrypt(key, plaintext, { aad: aadOf(flags) });
      if (flags.out === undefined) await context.output().line(result.ciphertext, result);
      else await context.output().bytes(Buffer.from(`${result.ciphertext}\n`), flags.out, result);
    });
}

function addDecrypt(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("decrypt"), "read the ciphertext from a file")
    .description("decrypt what any version of a key encrypted, and print the plaintext, byte for byte")
    .argument("<key>", "its name or id")
    .argument("[ciphertext]", "as encrypt printed it; - or nothing: standard input")
    .option("--aad <text>", "the additional authenticated data that it was encrypted with")
    .option("--aad-file <path>", "the same, from a file")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
Exit code 6: the ciphertext is of another key, was changed, or came with other additional data.

Examples:
  keystead decrypt orders <card.enc
  keystead decrypt orders --file card.enc --aad "order 42" --out card.txt`,
    )
    .action(async (key: string, value: string | undefined, flags: ContextFlags) => {
      const ciphertext = await readTextInput({ value, file: inputFile(flags), what: "the ciphertext" });
      const { plaintext, version } = await context
        .client()
        .key.decrypt(key, ciphertext, { aad: aadOf(flags) });
      const json = { ...bytesAsJson("plaintext", plaintext), version };
      await context.output().bytes(plaintext, flags.out, json);
    });
}

function addSign(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("sign"), "read the message from a file")
    .description("sign a message or its SHA-256 digest, and print the signature in base64")
    .argument("<key>", "its name or id")
    .argument("[message]", "- or nothing: standard input")
    .option("--digest <digest>", "instead of a message: its SHA-256, hexadecimal or base64")
    .option("--raw", "the signature as bytes instead of base64")
    .option("--out <path>", "write the result there")
    .addHelpText(
      "after",
      `
Examples:
  keystead sign release --file app.tar.gz >app.sig
  keystead sign release --digest "$(sha256sum big.iso | cut -d ' ' -f 1)"
  keystead sign release --file app.tar.gz --raw --out app.der    # for: openssl dgst -sha256 -verify`,
    )
    .action(async (key: string, value: string | undefined, flags: SignFlags) => {
      const signed = await signedOf(value, flags);
      const { signature, version } = await context.client().key.sign(key, signed);
      const base64 = Buffer.from(signature).toString("base64");
      const json = { signature_b64: base64, version };
      if (flags.raw === true) await context.output().bytes(signature, flags.out, json);
      else if (flags.out === undefined) await context.output().line(base64, json);
      else await context.output().bytes(Buffer.from(`${base64}\n`), flags.out, json);
    });
}

function addVerify(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("verify"), "read the message from a file")
    .description("say whether a key made a signature: exit code 0 where it did, 6 where it did not")
    .argument("<key>", "its name or id")
    .argument("[message]", "- or nothing: standard input")
    .option("--signature <base64>", "the signature")
    .option("--signature-file <path>", "the same from a file, as base64 or as bytes")
    .option("--digest <digest>", "instead of a message: its SHA-256, hexadecimal or base64")
    .option("--version <version>", "only this version of the key")
    .addHelpText(
      "after",
      `
Examples:
  keystead verify release --file app.tar.gz --signature-file app.sig`,
    )
    .action(async (key: string, value: string | undefined, flags: VerifyFlags) => {
      const version = parseVersion(flags.version);
      const signature = signatureOf(flags);
      const signed = await signedOf(value, flags);
      const result = await context.client().key.verify(key, signed, signature, { version });
      await context.output().line(result.valid ? "valid" : "invalid", result);
      if (!result.valid) process.exitCode = EXIT_NOT_VALID;
    });
}

function addExport(parent: Command, context: CommandContext): void {
  parent
    .command("export")
    .description(
      "print an exportable key's raw bytes, in base64 (takes a service account with role exporter)",
    )
    .argument("<key>", "its name or id")
    .option("--version <version>", "this version instead of the latest")
    .option("--raw", "the bytes as they are instead of base64")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .action(async (key: string, flags: ExportFlags) => {
      const version = parseVersion(flags.version);
      const exported = await context.client().key.export(key, { version });
      const base64 = Buffer.from(exported.keyMaterial).toString("base64");
      const json = { key_material_b64: base64, algorithm: exported.algorithm, version: exported.version };
      if (flags.raw === true) await context.output().bytes(exported.keyMaterial, flags.out, json);
      else if (flags.out === undefined) await context.output().line(base64, json);
      else await context.output().bytes(Buffer.from(`${base64}\n`), flags.out, json);
    });
}

function aadOf({ aad, aadFile }: ContextFlags): string | Uint8Array | undefined {
  if (aad !== undefined && aadFile !== undefined) throw new UsageError("give --aad or --aad-file, not both");
  return aadFile === undefined ? aad : readInputFile(aadFile, "the additional data");
}

async function signedOf(value: string | undefined, flags: SignFlags): Promise<Signed> {
  const file = inputFile(flags);
  if (flags.digest === undefined) return { message: await readInput({ value, file, what: "the message" }) };
  if (value !== undefined || file !== undefined) throw new UsageError("give a message or --digest, not both");
  const digest = /^[0-9a-fA-F]{64}$/.test(flags.digest)
    ? Buffer.from(flags.digest, "hex")
    : Buffer.from(flags.digest, "base64");
  if (
    digest.length !== DIGEST_BYTES ||
    (flags.digest.length !== 64 && digest.toString("base64") !== flags.digest)
  )
    throw new InputFailed("a SHA-256 digest is 64 hexadecimal digits, or 32 bytes in base64");
  return { digest };
}

function signatureOf({ signature, signatureFile }: VerifyFlags): Uint8Array {
  if ((signature === undefined) === (signatureFile === undefined)) {
    throw new UsageError("give one of --signature and --signature-file");
  }
  const bytes =
    signature === undefined
      ? readInputFile(signatureFile ?? "", "the signature")
      : Buffer.from(signature, "latin1");
  const text = bytes.toString("latin1").trim();
  const decoded = Buffer.from(text, "base64");
  if (decoded.length > 0 && decoded.toString("base64") === text) return decoded;
  if (signature !== undefined) throw new InputFailed("the signature is no base64");
  return bytes;
}
