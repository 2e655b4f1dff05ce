/** `keystead key …`: keys themselves; their use is in crypto-commands.ts. */
import { Argument, type Command } from "commander";
import type { ImportMaterial } from "../sdk/key-api.ts";
import { importMaterialFromPem, looksLikePem } from "../sdk/pem.ts";
import { keyTypes, type Key, type KeyType } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { addCryptoCommands } from "./crypto-commands.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { InputFailed, readInput } from "./input.ts";
import { asList } from "./list-options.ts";
import type { Fields } from "./output.ts";
import { UsageError } from "./usage-error.ts";

const formats = ["raw", "pkcs8", "spki", "jwk"] as const;
const RAW_KEY_BYTES = 32;

interface ImportFlags extends InputFlags {
  readonly format?: string;
  readonly exportable?: boolean;
}

/** Adds the group. */
export function addKeyCommands(program: Command, context: CommandContext): void {
  const group = program.command("key").description("make, import, see, rotate and revoke keys");

  group
    .command("create")
    .description("make a key")
    .argument("<name>", "letters, digits, `.`, `_`, `-`")
    .addArgument(new Argument("[type]", "what it is for: see below").choices(keyTypes).default("aes-256"))
    .option("--exportable", "its raw bytes may leave the service, which then does not encrypt with it")
    .option("--no-exportable", "it stays inside, whoever makes it")
    .addHelpText(
      "after",
      `
Types:
  aes-256      encrypts (AES-256-GCM)
  xaes-256     encrypts (XAES-256-GCM: no limit of messages that anyone will reach)
  ecdsa-p256   signs (ECDSA on P-256 with SHA-256)
  rsa-2048     signs (RSA PKCS#1 v1.5 with SHA-256)

Examples:
  keystead key create orders
  keystead key create release ecdsa-p256`,
    )
    .action(async (name: string, type: KeyType, { exportable }: { exportable?: boolean }) => {
      const key = await context.client().key.create(name, { type, exportable });
      await context.output().record(keyFields(key), key);
    });

  withInputFlags(group.command("import"), "where the material is; standard input unless set")
    .description("make a key from material that you have")
    .argument("<name>")
    .addArgument(new Argument("<type>").choices(keyTypes))
    .addOption(
      group
        .createOption("--format <format>", "what it is; a PEM file and a JSON Web Key tell by themselves")
        .choices(formats),
    )
    .option("--exportable", "its raw bytes may leave the service again")
    .option("--no-exportable", "it stays inside, whoever imports it")
    .addHelpText(
      "after",
      `
Material:
  PEM    any private or public key that openssl writes, unencrypted, or a certificate
  raw    for aes-256 and xaes-256: 32 bytes, or their base64 or hexadecimal text
  jwk    a JSON Web Key
  pkcs8, spki    DER files; they take --format

It never comes from the command line, where other users of the machine can see it.

Examples:
  keystead key import release ecdsa-p256 --file release.pem
  openssl rand 32 | keystead key import orders aes-256`,
    )
    .action(async (name: string, type: KeyType, flags: ImportFlags) => {
      const material = await importMaterial(type, flags);
      const key = await context.client().key.import(name, type, material, { exportable: flags.exportable });
      await context.output().record(keyFields(key), key);
    });

  asList(group.command("list").description("list the project's keys"), context, {
    name: "keys",
    async page(range) {
      const { keys, next_cursor: nextCursor } = await context.client().key.list(range);
      return { items: keys, nextCursor };
    },
    fields: ({ name, type, state, latest_version, created_at }: Key) => ({
      name,
      type,
      state,
      latest_version,
      created_at,
    }),
  });

  group
    .command("get")
    .description("show a key's metadata (--json shows its versions too)")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const key = await context.client().key.get(name);
      await context.output().record(keyFields(key), key);
    });

  group
    .command("rotate")
    .description("add a version; it encrypts and signs from now on, older ones still decrypt and verify")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const key = await context.client().key.rotate(name);
      await context.output().record(keyFields(key), key);
    });

  group
    .command("revoke")
    .description("refuse every use of a key from now on; what it encrypted opens no more")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const { status, name: revoked, revoked_at } = await context.client().key.revoke(name);
      await context.output().record({ status, name: revoked, revoked_at });
    });

  addCryptoCommands(group, context);
}

function keyFields(key: Key): Fields {
  const { name, id, type, state, exportable, public_only, created_at, latest_version, revoked_at } = key;
  return { name, id, type, state, exportable, public_only, created_at, latest_version, revoked_at };
}

async function importMaterial(type: KeyType, flags: ImportFlags): Promise<ImportMaterial> {
  const bytes = await readInput({ file: inputFile(flags), what: "the key material" });
  const text = bytes.toString("utf8");
  const { format = looksLikePem(text) ? "pem" : text.trimStart().startsWith("{") ? "jwk" : undefined } =
    flags;
  if (format === "jwk") return { format, jwk: parseJwk(text) };
  if (format === "pem" || ((format === "pkcs8" || format === "spki") && looksLikePem(text))) {
    return importMaterialFromPem(text);
  }
  if (format === "pkcs8" || format === "spki") return { format, bytes };
  if (format === "raw" || type === "aes-256" || type === "xaes-256") {
    return { format: "raw", bytes: rawKeyBytes(bytes) };
  }
  throw new UsageError("this material does not tell what it is; add --format pkcs8 or --format spki");
}

/** The bytes as they are, or what their text stands for; the three forms have different lengths. */
function rawKeyBytes(bytes: Buffer): Uint8Array {
  if (bytes.length === RAW_KEY_BYTES) return bytes;
  const text = bytes.toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, "base64");
  return bytes;
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
