/**
 * The fields that native requests and answers are made of, as schemas, and the way from their text to bytes.
 * Invariant: sizes are capped here, and an encoding is accepted in its canonical form only.
 */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { decodeBase64, decodeUtf8 } from "../../bytes.ts";
import { KeysteadError } from "../../errors.ts";
import { PAGE_LIMIT_MAX } from "../../service/paging.ts";

/** The largest plaintext, message or secret value. */
export const PAYLOAD_BYTES_MAX = 512 * 1024;
export const AAD_BYTES_MAX = 64 * 1024;
/** A body with a payload: base64, or text with escapes. */
export const PAYLOAD_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** A ciphertext is longer than its plaintext by the version, the longest nonce and the tag. */
export const CIPHERTEXT_BYTES_MAX = PAYLOAD_BYTES_MAX + 128;

const RESOURCE_NAME_CHARACTERS_MAX = 256;
const resourceNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9._-]*$/;

/** Keys and secrets: compared byte for byte. */
export const resourceName = z
  .string()
  .max(RESOURCE_NAME_CHARACTERS_MAX, "at most 256 characters")
  .regex(resourceNamePattern, "letters, digits, `.`, `_` and `-`, beginning with a letter or digit")
  .meta({ examples: ["mykey"] });

/** The parameters of a path that names a key or a secret. */
export const namedParams = z.strictObject({ name: resourceName });

/** Whether parameters fit `namedParams`, without the schema's own way: every use of a key passes here. */
export function fitNamedParams(params: Readonly<Record<string, string>>): boolean {
  const { name } = params;
  return name !== undefined && name.length <= RESOURCE_NAME_CHARACTERS_MAX && resourceNamePattern.test(name);
}

/** Projects and accounts: lower case only. */
export const lowerCaseName = z
  .string()
  .max(64, "at most 64 characters")
  .regex(
    /^[a-z0-9][a-z0-9._-]*$/,
    "lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
  )
  .meta({ examples: ["billing"] });

/** Which names something is about. */
export const namePattern = z
  .string()
  .max(256)
  .regex(/^[a-zA-Z0-9._*-]+$/, "letters, digits, `.`, `_`, `-` and `*` for any run of characters");

export const versionNumber = z.int().min(1).max(0xffff_ffff);
/** A version in a query string. */
export const versionText = z
  .string()
  .regex(/^[1-9][0-9]{0,8}$/, "a version number")
  .transform(Number);
export const uuid = z.uuid("a UUID");
export const time = z.iso.datetime();
export const base64Text = z.string().meta({ contentEncoding: "base64" });

export const pageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,3}$/, `a number from 1 to ${PAGE_LIMIT_MAX}`)
    .transform(Number)
    .refine((limit) => limit <= PAGE_LIMIT_MAX, `a number from 1 to ${PAGE_LIMIT_MAX}`)
    .optional(),
  cursor: z.string().max(512).optional(),
});

/** Both ways to send bytes: UTF-8 text, or base64. */
export function textOrBase64<N extends string>(
  name: N,
): Record<N, z.ZodOptional<z.ZodString>> & Record<`${N}_b64`, z.ZodOptional<z.ZodString>> {
  return {
    [name]: z.string().optional(),
    [`${name}_b64`]: base64Text.optional(),
  } as Record<N, z.ZodOptional<z.ZodString>> & Record<`${N}_b64`, z.ZodOptional<z.ZodString>>;
}

/** The bytes of a field that came as text or as base64; undefined where neither came. Both at once are refused. */
export function bytesOf(
  field: string,
  text: string | undefined,
  base64: string | undefined,
  bytesMax: number,
): Buffer | undefined {
  if (text !== undefined && base64 !== undefined) {
    throw new KeysteadError("invalid_body", { field, detail: `give ${field} or ${field}_b64, not both` });
  }
  if (text !== undefined) return capped(field, wellFormed(field, text), bytesMax);
  return base64 === undefined ? undefined : base64Bytes(`${field}_b64`, base64, bytesMax);
}

/** As `bytesOf`, for a field that must come. */
export function requiredBytesOf(
  field: string,
  text: string | undefined,
  base64: string | undefined,
  bytesMax: number,
): Buffer {
  const bytes = bytesOf(field, text, base64, bytesMax);
  if (bytes === undefined) {
    throw new KeysteadError("invalid_body", { field, detail: `${field} or ${field}_b64 is needed` });
  }
  return bytes;
}

/** The bytes of a base64 field. Throws `invalid_encoding` or `payload_too_large`. */
export function base64Bytes(field: string, text: string, bytesMax: number): Buffer {
  if (text.length > Math.ceil(bytesMax / 3) * 4) throw tooLarge(field, bytesMax);
  const bytes = decodeBase64(text);
  if (bytes === undefined)
    throw new KeysteadError("invalid_encoding", { field, detail: "base64 with padding" });
  return capped(field, bytes, bytesMax);
}

/** A value for an answer: always base64, and the text where the bytes are UTF-8. */
export function textAndBase64(name: string, bytes: Buffer): Record<string, string> {
  const text = decodeUtf8(bytes);
  const base64 = { [`${name}_b64`]: bytes.toString("base64") };
  return text === undefined ? base64 : { ...base64, [name]: text };
}

function wellFormed(field: string, text: string): Buffer {
  // A lone surrogate has no UTF-8: encoding it would silently put another character in its place.
  if (!text.isWellFormed())
    throw new KeysteadError("invalid_encoding", { field, detail: "well-formed Unicode" });
  return Buffer.from(text, "utf8");
}

function capped(field: string, bytes: Buffer, bytesMax: number): Buffer {
  if (bytes.length > bytesMax) throw tooLarge(field, bytesMax);
  return bytes;
}

function tooLarge(field: string, bytesMax: number): KeysteadError {
  return new KeysteadError("payload_too_large", { field, detail: `at most ${bytesMax} bytes` });
}
