/**
 * Key material as it is stored (sealed by the barrier), and its import from the outside.
 * Stored layout: form (1 byte: 1 raw, 2 PKCS#8, 3 SPKI) ‖ the bytes of that form.
 * Sources: PKCS#8 RFC 5958, SPKI RFC 5280 §4.1, JWK RFC 7517 and RFC 7518 §6.
 * Invariant: what is stored was parsed and written anew, so that no two encodings of one key are ever kept.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { asBuffer, decodeBase64Url, secretBytes, type SecretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";

export type MaterialForm = "raw" | "pkcs8" | "spki";

export interface Material {
  readonly form: MaterialForm;
  readonly bytes: SecretBytes;
}

/** What an import brings: bytes in one of the forms, or a JSON Web Key. */
export type ImportedKey =
  | { readonly format: MaterialForm; readonly bytes: Uint8Array }
  | { readonly format: "jwk"; readonly jwk: Readonly<Record<string, unknown>> };

const formCodes = { raw: 1, pkcs8: 2, spki: 3 } as const;

/** The stored layout of a material. */
export function encodeMaterial(material: Material): SecretBytes {
  return secretBytes(Buffer.concat([Buffer.of(formCodes[material.form]), material.bytes]));
}

/** The way back; throws on what `encodeMaterial` never made. */
export function decodeMaterial(encoded: Uint8Array): Material {
  for (const form of ["raw", "pkcs8", "spki"] as const) {
    if (formCodes[form] === encoded[0]) return { form, bytes: secretBytes(asBuffer(encoded).subarray(1)) };
  }
  throw new KeysteadError("internal_error", { cause: new Error("stored key material has an unknown form") });
}

/** Material from a private or public KeyObject. */
export function materialOf(key: KeyObject): Material {
  return key.type === "private"
    ? { form: "pkcs8", bytes: secretBytes(key.export({ format: "der", type: "pkcs8" })) }
    : { form: "spki", bytes: secretBytes(key.export({ format: "der", type: "spki" })) };
}

/** Opens asymmetric material: the public part always, the private one where it is there. */
export function keyObjectsOf(material: Material): {
  publicKey: KeyObject;
  privateKey: KeyObject | undefined;
} {
  if (material.form === "pkcs8") {
    const privateKey = createPrivateKey({ key: material.bytes, format: "der", type: "pkcs8" });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  }
  return {
    privateKey: undefined,
    publicKey: createPublicKey({ key: material.bytes, format: "der", type: "spki" }),
  };
}

/** A symmetric key of exactly `keyBytes` bytes from `raw` or an `oct` JWK. Throws `invalid_key_material`. */
export function importSymmetric(imported: ImportedKey, keyBytes: number): Material {
  let bytes: Uint8Array | undefined;
  if (imported.format === "raw") bytes = imported.bytes;
  else if (imported.format === "jwk" && imported.jwk["kty"] === "oct") bytes = jwkBytes(imported.jwk["k"]);
  if (bytes === undefined) throw invalid("a symmetric key comes as raw bytes or as a JWK of kty oct");
  if (bytes.length !== keyBytes) throw invalid("the key has the wrong length for its type");
  return { form: "raw", bytes: secretBytes(Buffer.from(bytes)) };
}

/**
 * An asymmetric key from PKCS#8, SPKI or JWK.
 * @param check refuses, by throwing, a key that is not of the wanted type and size
 */
export function importAsymmetric(imported: ImportedKey, check: (key: KeyObject) => void): Material {
  try {
    const key = parseAsymmetric(imported);
    check(key);
    // Rebuilt from its numbers: a platform keeps a point's compression and a curve's spelt-out parameters otherwise.
    return materialOf(fromJwk(key.export({ format: "jwk" })));
  } catch (cause) {
    // A platform finds some faults only when the key is used or written: they are the key's all the same.
    if (cause instanceof KeysteadError) throw cause;
    throw new KeysteadError("invalid_key_material", { cause });
  }
}

/** The error for material that does not fit; `detail` is a constant sentence. */
export function invalid(detail: string): KeysteadError {
  return new KeysteadError("invalid_key_material", { detail });
}

function parseAsymmetric(imported: ImportedKey): KeyObject {
  switch (imported.format) {
    case "pkcs8":
      assertOneSequence(imported.bytes);
      return createPrivateKey({ key: asBuffer(imported.bytes), format: "der", type: "pkcs8" });
    case "spki":
      assertOneSequence(imported.bytes);
      return createPublicKey({ key: asBuffer(imported.bytes), format: "der", type: "spki" });
    case "jwk":
      return fromJwk(strictJwk(imported.jwk));
    case "raw":
      throw invalid("an asymmetric key comes as PKCS#8, SPKI or JWK");
  }
}

function fromJwk(jwk: JsonWebKey): KeyObject {
  return jwk.d === undefined
    ? createPublicKey({ key: jwk, format: "jwk" })
    : createPrivateKey({ key: jwk, format: "jwk" });
}

/** Refuses bytes after the outer SEQUENCE (X.690 §8.1.3), which the platform's parsers overlook. */
function assertOneSequence(bytes: Uint8Array): void {
  const [tag, first = 0] = bytes;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const header = 2 + lengthBytes;
  const length = bytes
    .subarray(2, header)
    .reduce((sum, byte) => sum * 256 + byte, lengthBytes === 0 ? first : 0);
  if (tag !== 0x30 || bytes.length !== header + length)
    throw invalid("the key is not one whole DER structure");
}

const numberMembers = new Set(["n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"]);

/** Keeps the members that make the key, each in canonical base64url; the platform's parser is more lenient. */
function strictJwk(jwk: Readonly<Record<string, unknown>>): JsonWebKey {
  const strict: Record<string, string> = {};
  for (const [member, value] of Object.entries(jwk)) {
    if (member === "kty" || member === "crv") {
      if (typeof value !== "string") throw invalid("kty and crv of a JWK are strings");
      strict[member] = value;
    } else if (numberMembers.has(member)) {
      if (jwkBytes(value) === undefined) throw invalid("a member of the JWK is not canonical base64url");
      strict[member] = value as string;
    }
  }
  return strict;
}

function jwkBytes(value: unknown): Buffer | undefined {
  return typeof value === "string" ? decodeBase64Url(value) : undefined;
}
