/**
 * Key material as it is stored (sealed by the barrier), and what it looks like coming in and going out.
 * Stored layout: form (1 byte: 1 raw, 2 PKCS#8, 3 SPKI, 4 handle) ‖ the bytes of that form.
 * Sources: PKCS#8 RFC 5958, SPKI RFC 5280 §4.1, JWK RFC 7517 and RFC 7518 §6.
 * Invariant: what is stored was parsed and written anew, so that no two encodings of one key are ever kept, and every
 * platform that the service runs on opens it. Opened keys hold on to the bytes of their material.
 */
import { Buffer } from "node:buffer";
import { asBuffer, decodeBase64Url, secretBytes, type SecretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";

export type MaterialForm = "raw" | "pkcs8" | "spki";

/** The formats in which keys come in and go out. */
export type KeyFormat = MaterialForm | "jwk";

/** As stored: `handle` is what a provider that keeps the key itself knows it by. */
export interface Material {
  readonly form: MaterialForm | "handle";
  readonly bytes: SecretBytes;
}

/** What an import brings: bytes in one of the forms, or a JSON Web Key. */
export type ImportedKey =
  | { readonly format: MaterialForm; readonly bytes: Uint8Array }
  | { readonly format: "jwk"; readonly jwk: Readonly<Record<string, unknown>> };

/** A JSON Web Key of ours: every member that it has is text. */
export type Jwk = Record<string, string>;

/** A key on its way out, in the format that was asked for. */
export type ExportedMaterial =
  | { readonly format: MaterialForm; readonly bytes: SecretBytes }
  | { readonly format: "jwk"; readonly jwk: Jwk };

const formCodes = { raw: 1, pkcs8: 2, spki: 3, handle: 4 } as const;

/** The stored layout of a material. */
export function encodeMaterial(material: Material): SecretBytes {
  return secretBytes(Buffer.concat([Buffer.of(formCodes[material.form]), material.bytes]));
}

/** The way back; throws on what `encodeMaterial` never made. */
export function decodeMaterial(encoded: Uint8Array): Material {
  for (const form of ["raw", "pkcs8", "spki", "handle"] as const) {
    if (formCodes[form] === encoded[0]) return { form, bytes: secretBytes(asBuffer(encoded).subarray(1)) };
  }
  throw new KeysteadError("internal_error", { cause: new Error("stored key material has an unknown form") });
}

/** The error for material that does not fit; `detail` is a constant sentence. */
export function invalid(detail: string): KeysteadError {
  return new KeysteadError("invalid_key_material", { detail });
}

/** The error for a format that a key is not exported in. */
export function noSuchFormat(): KeysteadError {
  return new KeysteadError("invalid_body", {
    field: "format",
    detail: "a key of this type is not exported in this format",
  });
}

/** The bytes of a JWK's member; undefined unless it is canonical base64url (RFC 7515 §2). */
export function jwkBytes(value: unknown): Buffer | undefined {
  return typeof value === "string" ? decodeBase64Url(value) : undefined;
}
