/** Signatures, MACs, key encapsulation and agreement: sign, verify, mac, verify-mac, encapsulate, decapsulate, agree. */
import { Buffer } from "node:buffer";
import type { Command } from "commander";
import { importMaterialFromPem, looksLikePem } from "../sdk/pem.ts";
import type { SignatureForm, Signed } from "../sdk/signature-calls.ts";
import {
  keyDerivations,
  signatureEncodings,
  signatureSchemes,
  type KeyDerivation,
  type Verified,
} from "../sdk/wire.ts";
import { writeBytesResult, writeSecretAndCiphertext, type BytesOutputFlags } from "./bytes-output.ts";
import type { CommandContext } from "./command-context.ts";
import { EXIT_NOT_VALID } from "./exit-code.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { InputFailed, readInput, readInputFile, readTextInput } from "./input.ts";
import { parseCount, parseVersion } from "./numbers.ts";
import { UsageError } from "./usage-error.ts";

const digestLengths = [32, 48, 64];

interface VersionFlags {
  readonly version?: string;
}

interface SignedFlags extends InputFlags, SignatureForm, VersionFlags {
  readonly digest?: string;
}

type SignFlags = SignedFlags & BytesOutputFlags;

interface VerifyFlags extends SignedFlags {
  readonly signature?: string;
  readonly signatureFile?: string;
}

type MacFlags = InputFlags & VersionFlags & BytesOutputFlags;

interface VerifyMacFlags extends InputFlags, VersionFlags {
  readonly mac?: string;
  readonly macFile?: string;
}

/** Adds the commands to the program or to a group. */
export function addSignatureCommands(parent: Command, context: CommandContext): void {
  addSign(parent, context);
  addVerify(parent, context);
  addMac(parent, context);
  addVerifyMac(parent, context);
  addEncapsulate(parent, context);
  addDecapsulate(parent, context);
  addAgree(parent, context);
}

function withSignedFlags(command: Command): Command {
  return withInputFlags(command, "read the message from a file")
    .argument("<key>", "its name or id")
    .argument("[message]", "- or nothing: standard input")
    .option("--digest <digest>", "instead of a message: its digest, hexadecimal or base64")
    .addOption(
      command
        .createOption("--scheme <scheme>", "of an RSA key: PKCS#1 v1.5 (unless set) or PSS")
        .choices(signatureSchemes),
    )
    .addOption(
      command
        .createOption("--encoding <encoding>", "of an ECDSA key: ASN.1 DER (unless set) or r and s alone")
        .choices(signatureEncodings),
    );
}

function addSign(parent: Command, context: CommandContext): void {
  withSignedFlags(parent.command("sign"))
    .description("sign a message or its digest, and print the signature in base64")
    .option("--version <version>", "with this version of the key instead of the latest")
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
      const options = { ...formOf(flags), version: parseVersion(flags.version) };
      const signed = await signedOf(value, flags);
      const { signature, version } = await context.client().key.sign(key, signed, options);
      const json = { signature_b64: Buffer.from(signature).toString("base64"), version };
      await writeBytesResult(context.output(), signature, flags, json);
    });
}

function addVerify(parent: Command, context: CommandContext): void {
  withSignedFlags(parent.command("verify"))
    .description("say whether a key made a signature: exit code 0 where it did, 6 where it did not")
    .option("--signature <base64>", "the signature")
    .option("--signature-file <path>", "the same from a file, as base64 or as bytes")
    .option("--version <version>", "only this version of the key")
    .addHelpText(
      "after",
      `
Examples:
  keystead verify release --file app.tar.gz --signature-file app.sig`,
    )
    .action(async (key: string, value: string | undefined, flags: VerifyFlags) => {
      const options = { ...formOf(flags), version: parseVersion(flags.version) };
      const signature = proofOf("signature", flags.signature, flags.signatureFile);
      const signed = await signedOf(value, flags);
      await tell(context, await context.client().key.verify(key, signed, signature, options));
    });
}

function addMac(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("mac"), "read the message from a file")
    .description("make a message authentication code, and print it in base64")
    .argument("<key>", "its name or id")
    .argument("[message]", "- or nothing: standard input")
    .option("--version <version>", "with this version of the key instead of the latest")
    .option("--raw", "the code as bytes instead of base64")
    .option("--out <path>", "write the result there")
    .action(async (key: string, value: string | undefined, flags: MacFlags) => {
      const options = { version: parseVersion(flags.version) };
      const message = await readInput({ value, file: inputFile(flags), what: "the message" });
      const { mac, version } = await context.client().key.mac(key, message, options);
      const json = { mac_b64: Buffer.from(mac).toString("base64"), version };
      await writeBytesResult(context.output(), mac, flags, json);
    });
}

function addVerifyMac(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("verify-mac"), "read the message from a file")
    .description("say whether a key made a code: exit code 0 where it did, 6 where it did not")
    .argument("<key>", "its name or id")
    .argument("[message]", "- or nothing: standard input")
    .option("--mac <base64>", "the code")
    .option("--mac-file <path>", "the same from a file, as base64 or as bytes")
    .option("--version <version>", "only this version of the key")
    .action(async (key: string, value: string | undefined, flags: VerifyMacFlags) => {
      const options = { version: parseVersion(flags.version) };
      const mac = proofOf("mac", flags.mac, flags.macFile);
      const message = await readInput({ value, file: inputFile(flags), what: "the message" });
      await tell(context, await context.client().key.verifyMac(key, message, mac, options));
    });
}

function addEncapsulate(parent: Command, context: CommandContext): void {
  parent
    .command("encapsulate")
    .description("make a shared secret, with the ciphertext that gives it to whoever may decapsulate")
    .argument("<key>", "its name or id")
    .option("--version <version>", "to this version of the key instead of the latest")
    .option("--out <path>", "write the secret there, as bytes and for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
Example:
  keystead encapsulate partner --out shared.bin >shared.enc`,
    )
    .action(async (key: string, flags: VersionFlags & { out?: string }) => {
      const options = { version: parseVersion(flags.version) };
      const { sharedSecret, ...rest } = await context.client().key.encapsulate(key, options);
      const result = { name: "shared_secret", secret: sharedSecret, ...rest };
      await writeSecretAndCiphertext(context.output(), result, flags.out);
    });
}

function addDecapsulate(parent: Command, context: CommandContext): void {
  withInputFlags(parent.command("decapsulate"), "read the ciphertext from a file")
    .description("print the shared secret of an encapsulation, in base64")
    .argument("<key>", "its name or id")
    .argument("[ciphertext]", "as encapsulate printed it; - or nothing: standard input")
    .option("--raw", "the secret as bytes instead of base64")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .action(async (key: string, value: string | undefined, flags: InputFlags & BytesOutputFlags) => {
      const ciphertext = await readTextInput({ value, file: inputFile(flags), what: "the ciphertext" });
      const { sharedSecret, version } = await context.client().key.decapsulate(key, ciphertext);
      const json = { shared_secret_b64: Buffer.from(sharedSecret).toString("base64"), version };
      await writeBytesResult(context.output(), sharedSecret, flags, json);
    });
}

interface AgreeFlags extends VersionFlags, BytesOutputFlags {
  readonly peer: string;
  readonly kdf?: KeyDerivation;
  readonly salt?: string;
  readonly info?: string;
  readonly bytes?: string;
}

function addAgree(parent: Command, context: CommandContext): void {
  const command = parent.command("agree");
  command
    .description("print the key that a key of ours and a peer's public key have in common, in base64")
    .argument("<key>", "its name or id")
    .requiredOption("--peer <path>", "the peer's public key: a PEM file, or its bytes")
    .addOption(
      command
        .createOption("--kdf <kdf>", "how the secret becomes a key (hkdf-sha-256 unless set)")
        .choices(keyDerivations),
    )
    .option("--salt <base64>", "the derivation's salt")
    .option("--info <text>", "what the key is for, as both sides know it")
    .option("--bytes <count>", "the key's length (32 unless set)")
    .option("--version <version>", "with this version of the key instead of the latest")
    .option("--raw", "the key as bytes instead of base64")
    .option("--out <path>", "write the result there, for your eyes only (mode 0600)")
    .addHelpText(
      "after",
      `
Example:
  keystead agree ours --peer theirs.pem --info "orders v1" --out shared.b64`,
    )
    .action(async (key: string, flags: AgreeFlags) => {
      const options = {
        kdf: flags.kdf,
        salt: flags.salt === undefined ? undefined : saltOf(flags.salt),
        info: flags.info,
        bytes: flags.bytes === undefined ? undefined : parseCount(flags.bytes, "--bytes", 1024),
        version: parseVersion(flags.version),
      };
      const peer = peerKeyFrom(readInputFile(flags.peer, "the peer's public key"));
      const { sharedSecret, version } = await context.client().key.agree(key, peer, options);
      const json = { shared_secret_b64: Buffer.from(sharedSecret).toString("base64"), version };
      await writeBytesResult(context.output(), sharedSecret, flags, json);
    });
}

function saltOf(text: string): Uint8Array {
  const salt = Buffer.from(text, "base64");
  if (salt.toString("base64") !== text) throw new InputFailed("--salt is base64");
  return salt;
}

/** PEM as its DER; anything else as it is. */
function peerKeyFrom(bytes: Buffer): Uint8Array {
  const text = bytes.toString("latin1");
  if (!looksLikePem(text)) return bytes;
  const material = importMaterialFromPem(text);
  if (material.format !== "spki" || !("bytes" in material))
    throw new InputFailed("the file of --peer holds no public key");
  return material.bytes;
}

function formOf({ scheme, encoding }: SignatureForm): SignatureForm {
  return { scheme, encoding };
}

async function tell(context: CommandContext, result: Verified): Promise<void> {
  await context.output().line(result.valid ? "valid" : "invalid", result);
  if (!result.valid) process.exitCode = EXIT_NOT_VALID;
}

async function signedOf(value: string | undefined, flags: SignedFlags): Promise<Signed> {
  const file = inputFile(flags);
  if (flags.digest === undefined) return { message: await readInput({ value, file, what: "the message" }) };
  if (value !== undefined || file !== undefined) throw new UsageError("give a message or --digest, not both");
  const digest = digestOf(flags.digest);
  if (digest === undefined)
    throw new InputFailed("a digest is 32, 48 or 64 bytes, as hexadecimal digits or in base64");
  return { digest };
}

function digestOf(text: string): Uint8Array | undefined {
  // No digest in base64 is as long as one in hexadecimal digits, but for 48 bytes that happen to be 64 such digits.
  if (/^[0-9a-fA-F]+$/.test(text) && digestLengths.includes(text.length / 2)) return Buffer.from(text, "hex");
  const digest = Buffer.from(text, "base64");
  return digestLengths.includes(digest.length) && digest.toString("base64") === text ? digest : undefined;
}

/** A signature or code, from a flag in base64, or from a file in either form. */
function proofOf(
  what: "signature" | "mac",
  base64: string | undefined,
  file: string | undefined,
): Uint8Array {
  if ((base64 === undefined) === (file === undefined)) {
    throw new UsageError(`give one of --${what} and --${what}-file`);
  }
  const bytes =
    base64 === undefined ? readInputFile(file ?? "", `the ${what}`) : Buffer.from(base64, "latin1");
  const text = bytes.toString("latin1").trim();
  const decoded = Buffer.from(text, "base64");
  if (decoded.length > 0 && decoded.toString("base64") === text) return decoded;
  if (base64 !== undefined) throw new InputFailed(`the ${what} is no base64`);
  return bytes;
}
