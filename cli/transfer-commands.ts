/**
 * Keys on their way in and out: key import, export, key public.
 * Invariant: key material never has to stand on a command line; what comes out is printed by `export` alone.
 */
import { Buffer } from "node:buffer";
import { Argument, type Command } from "commander";
import type { ImportMaterial } from "../sdk/key-api.ts";
import { importMaterialFromPem, looksLikePem, pemOf } from "../sdk/pem.ts";
import { keyFormats, keyPurposes, keyTypes, type KeyFormat, type KeyType } from "../sdk/wire.ts";
import { writeBytesResult, writeTextResult, type BytesOutputFlags } from "./bytes-output.ts";
import type { CommandContext } from "./command-context.ts";
import { creationOf, withCreationFlags, type CreationFlags } from "./creation-flags.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { InputFailed, readInput, readInputFile } from "./input.ts";
import { keyFields } from "./key-fields.ts";
import { parseVersion } from "./numbers.ts";
import { jsonText } from "./output.ts";
import { UsageError } from "./usage-error.ts";

/** The lengths of keys that may come as the text of their bytes. */
const rawKeyBytes: Readonly<Partial<Record<KeyType, number>>> = {
  "aes-256": 32,
  "xaes-256": 32,
  "aes-128-gcm": 16,
  "aes-128-cbc-hmac-sha-256": 32,
  "aes-256-cbc-hmac-sha-512": 64,
  "chacha20-poly1305": 32,
  "xchacha20-poly1305": 32,
  "aes-128-kw": 16,
  "aes-256-kw": 32,
  "aes-128-kwp": 16,
  "aes-256-kwp": 32,
  "bls12-381-g1": 32,
  "bls12-381-g2": 32,
  "bls12-381-g1g2": 32,
  "hmac-256": 32,
  "hmac-384": 48,
  "hmac-512": 64,
};

const publicFormats = ["pem", "jwk"] as const;

type ImportFlags = InputFlags &
  CreationFlags & { readonly format?: KeyFormat; readonly wrappedUnder?: string };

interface ExportFlags extends BytesOutputFlags {
  readonly version?: string;
  readonly format?: KeyFormat;
  readonly wrappedUnder?: string;
  readonly wrappedTo?: string;
}

/** Adds the commands to the group of keys. */
export function addTransferCommands(group: Command, context: CommandContext): void {
  const command = group.command("import");
  withCreationFlags(withInputFlags(command, "where the material is; standard input unless set"))
    .description("make a key from material that you have")
    .argument("<name>")
    .addArgument(new Argument("<type>").choices(keyTypes))
    .addOption(
      command.createOption("--purpose <purpose>", "of an RSA key: sign or encrypt").choices(keyPurposes),
    )
    .addOption(
      command
        .createOption("--format <format>", "what it is; a PEM file and a JSON Web Key tell by themselves")
        .choices(keyFormats),
    )
    .option(
      "--wrapped-under <key>",
      "it was wrapped under this key of the service; --format says what it is unwrapped",
    )
    .addHelpText(
      "after",
      `
Material:
  PEM    any private or public key that openssl writes, unencrypted, or a certificate
  raw    for types that encrypt by one key, wrap or authenticate: the bytes, or their base64 or hexadecimal text
  jwk    a JSON Web Key
  pkcs8, spki    DER files; they take --format

It never comes from the command line, where other users of the machine can see it. Wrapped material is AES-KWP or AES-KW
under a key of such a type, as aes-256-kwp, or RSA-OAEP and AES-KWP (CKM_RSA_AES_KEY_WRAP) to an RSA key that encrypts.

Examples:
  keystead key import release ecdsa-p256 --file release.pem
  openssl rand 32 | keystead key import orders aes-256
  keystead key import orders aes-256 --file orders.wrapped --wrapped-under intake`,
    )
    .action(async (name: string, type: KeyType, flags: ImportFlags) => {
      const creation = creationOf(flags);
      const material = await importMaterial(type, flags);
      const key = await context.client().key.import(name, type, material, creation);
      await context.output().record(keyFields(key), key);
    });

  const publicCommand = group.command("public");
  publicCommand
    .description("print the public part of a key, as PEM")
    .argument("<key>", "its name or id")
    .option("--version <version>", "of this version instead of the latest")
    .addOption(
      publicCommand.createOption("--format <format>", "what to print").choices(publicFormats).default("pem"),
    )
    .option("--out <path>", "write the result there")
    .action(async (key: string, flags: { version?: string; format: string; out?: string }) => {
      const options = { version: parseVersion(flags.version) };
      const result = await context.client().key.public(key, options);
      const pem = result.public_key_pem?.trimEnd();
      if (flags.format !== "jwk" && pem === undefined)
        throw new UsageError("a key of this type has no PEM; add --format jwk");
      const text = flags.format === "jwk" ? jsonText(result.jwk) : (pem ?? "");
      await writeTextResult(context.output(), text, flags.out, result);
    });
}

/** Adds the command to the program or to a group. */
export function addExportCommand(parent: Command, context: CommandContext): void {
  const command = parent.command("export");
  command
    .description("print an exportable key's material (takes a service account with role exporter)")
    .argument("<key>", "its name or id")
    .option("--version <version>", "this version instead of the latest")
    .addOption(
      command
        .createOption("--format <format>", "raw or pkcs8 by the key's type unless set")
        .choices(keyFormats),
    )
    .option(
      "--wrapped-under <key>",
      "wrap it under a key of the service (of a type that wraps, as aes-256-kwp)",
    )
    .option("--wrapped-to <path>", "wrap it to the RSA public key in this file (PEM, or SPKI in DER)")
    .option("--raw", "the bytes as they are instead of base64 or PEM")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
Prints raw and wrapped bytes in base64, pkcs8 and spki as PEM, jwk as JSON.

Examples:
  keystead export orders --out orders.b64
  keystead export orders --wrapped-to partner.pem --raw --out orders.wrapped`,
    )
    .action(async (key: string, flags: ExportFlags) => {
      if (flags.wrappedUnder !== undefined && flags.wrappedTo !== undefined) {
        throw new UsageError("give --wrapped-under or --wrapped-to, not both");
      }
      const exported = await context.client().key.export(key, {
        version: parseVersion(flags.version),
        format: flags.format,
        wrappingKey: flags.wrappedUnder,
        wrappingPublicKey: flags.wrappedTo === undefined ? undefined : publicKeyFrom(flags.wrappedTo),
      });
      const { algorithm, version, format } = exported;
      const facts = { algorithm, version, format };
      const output = context.output();
      if (exported.format === "jwk") {
        const text = jsonText(exported.jwk);
        await writeTextResult(output, text, flags.out, { ...facts, jwk: exported.jwk });
        return;
      }
      const { keyMaterial, isWrapped } = exported;
      const base64 = Buffer.from(keyMaterial).toString("base64");
      const json = { ...facts, [isWrapped ? "wrapped_material_b64" : "material_b64"]: base64 };
      const isDer = !isWrapped && exported.format !== "raw";
      const text = isDer ? pemOf({ format: exported.format, bytes: keyMaterial }) : base64;
      await writeBytesResult(output, keyMaterial, flags, json, text);
    });
}

async function importMaterial(type: KeyType, flags: ImportFlags): Promise<ImportMaterial> {
  const bytes = await readInput({ file: inputFile(flags), what: "the key material" });
  if (flags.wrappedUnder !== undefined) return wrappedMaterial(type, bytes, flags, flags.wrappedUnder);
  const text = bytes.toString("utf8");
  const { format = looksLikePem(text) ? "pem" : text.trimStart().startsWith("{") ? "jwk" : undefined } =
    flags;
  if (format === "jwk") return { format, jwk: parseJwk(text) };
  if (format === "pem" || ((format === "pkcs8" || format === "spki") && looksLikePem(text))) {
    return importMaterialFromPem(text);
  }
  if (format === "pkcs8" || format === "spki") return { format, bytes };
  if (format === "raw" || rawKeyBytes[type] !== undefined) {
    return { format: "raw", bytes: rawBytes(bytes, rawKeyBytes[type]) };
  }
  throw new UsageError("this material does not tell what it is; add --format pkcs8 or --format spki");
}

/** Wrapped bytes as they are, or from their base64. */
function wrappedMaterial(
  type: KeyType,
  bytes: Buffer,
  { format = rawKeyBytes[type] === undefined ? "pkcs8" : "raw" }: ImportFlags,
  wrappingKey: string,
): ImportMaterial {
  if (format === "jwk")
    throw new UsageError("a JSON Web Key is not wrapped; --format says raw, pkcs8 or spki");
  const text = bytes.toString("latin1").trim();
  const decoded = Buffer.from(text, "base64");
  const wrapped = decoded.length > 0 && decoded.toString("base64") === text ? decoded : bytes;
  return { format, wrapped, wrappingKey };
}

/** The bytes as they are, or what their text stands for; the three forms have different lengths. */
function rawBytes(bytes: Buffer, length: number | undefined): Uint8Array {
  if (length === undefined || bytes.length === length) return bytes;
  const text = bytes.toString("latin1").trim();
  if (text.length === 2 * length && /^[0-9a-fA-F]+$/.test(text)) return Buffer.from(text, "hex");
  const decoded = Buffer.from(text, "base64");
  return decoded.length === length && decoded.toString("base64") === text ? decoded : bytes;
}

function publicKeyFrom(path: string): Uint8Array {
  const bytes = readInputFile(path, "the public key");
  const text = bytes.toString("utf8");
  if (!looksLikePem(text)) return bytes;
  const { format, bytes: der } = importMaterialFromPem(text);
  if (format !== "spki") throw new InputFailed("the file for the public key holds a private key");
  return der;
}

function parseJwk(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below; the parser's own message quotes the text.
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputFailed("the key material is no JSON Web Key");
  }
  return value as Record<string, unknown>;
}
