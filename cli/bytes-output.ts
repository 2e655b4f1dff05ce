/** A result that is bytes which people move as text: base64 by itself, the bytes with `--raw`, a file with `--out`. */
import { Buffer } from "node:buffer";
import type { Output } from "./output.ts";
import { UsageError } from "./usage-error.ts";

export interface BytesOutputFlags {
  readonly raw?: true;
  readonly out?: string;
}

/**
 * Prints or writes the bytes.
 * @param text what stands for them where `--raw` is not given; their base64 unless set
 */
export async function writeBytesResult(
  output: Output,
  bytes: Uint8Array,
  { raw, out }: BytesOutputFlags,
  json: unknown,
  text: string = Buffer.from(bytes).toString("base64"),
): Promise<void> {
  if (raw === true) await output.bytes(bytes, out, json);
  else await writeTextResult(output, text, out, json);
}

/** Prints text, or writes it into the file. */
export async function writeTextResult(
  output: Output,
  text: string,
  out: string | undefined,
  json: unknown,
): Promise<void> {
  if (out === undefined) await output.lines(text, json);
  else await output.bytes(Buffer.from(`${text}\n`), out, json);
}

/**
 * A secret with its encrypted form. The secret goes into the file of `--out` where there is one, and the encrypted form
 * to standard output; without a file both are printed.
 */
export async function writeSecretAndCiphertext(
  output: Output,
  { name, secret, ciphertext, version }: SecretAndCiphertext,
  out: string | undefined,
): Promise<void> {
  // Standard output is the encrypted form's: the two could not be told apart.
  if (out === "-") throw new UsageError("--out takes a file here; leave it out to print both");
  if (out !== undefined) {
    await output.bytes(secret, out, undefined);
    await output.line(ciphertext, { ciphertext, version });
    return;
  }
  await output.record({ [`${name}_b64`]: Buffer.from(secret).toString("base64"), ciphertext, version });
}

export interface SecretAndCiphertext {
  /** The secret's name in the API's JSON, without its encoding. */
  readonly name: string;
  readonly secret: Uint8Array;
  readonly ciphertext: string;
  readonly version: number;
}
