/**
 * RSA and EC keys, whose encodings the platform parses and writes: import, opening, export.
 * Sources: PKCS#8 RFC 5958, SPKI RFC 5280 §4.1, JWK RFC 7518 §6.2 and §6.3.
 * Invariant: what is imported was rebuilt from its numbers; nothing stands after the key, and no number is spelt in two
 * ways.
 */
import type { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { asBuffer, secretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import {
  invalid,
  jwkBytes,
  noSuchFormat,
  type ExportedMaterial,
  type ImportedKey,
  type Jwk,
  type KeyFormat,
  type Material,
} from "./material.ts";

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject | undefined;
}

/** The public part of an opened key, as every asymmetric key gives it. */
export interface PublicPart {
  /** SubjectPublicKeyInfo (RFC 5280 §4.1), DER. */
  publicKeyDer(): Buffer;
  /** The public JSON Web Key. */
  publicKeyJwk(): Jwk;
}

/** Material from a private or public KeyObject. */
export function materialOf(key: KeyObject): Material {
  return key.type === "private"
    ? { form: "pkcs8", bytes: secretBytes(key.export({ format: "der", type: "pkcs8" })) }
    : { form: "spki", bytes: secretBytes(key.export({ format: "der", type: "spki" })) };
}

/** Opens asymmetric material: the public part always, the private one where it is there. */
export function keyPairOf(material: Material): KeyPair {
  if (material.form === "pkcs8") {
    const privateKey = createPrivateKey({ key: material.bytes, format: "der", type: "pkcs8" });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  }
  return {
    privateKey: undefined,
    publicKey: createPublicKey({ key: material.bytes, format: "der", type: "spki" }),
  };
}

/** The private key, or `key_public_only`. */
export function ownPrivateKey({ privateKey }: KeyPair): KeyObject {
  if (privateKey === undefined) throw new KeysteadError("key_public_only");
  return privateKey;
}

/** The public part of an RSA or EC key. */
export function publicPartOf({ publicKey }: KeyPair): PublicPart {
  return {
    publicKeyDer: () => publicKey.export({ format: "der", type: "spki" }),
    publicKeyJwk: () => jwkOf(publicKey),
  };
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

/** A key in a format; `spki` gives the public part of a whole key, `jwk` whatever is there. */
export function exportAsymmetric(material: Material, format: KeyFormat): ExportedMaterial {
  if (format === "raw") throw noSuchFormat();
  const pair = keyPairOf(material);
  switch (format) {
    case "pkcs8":
      return { format, bytes: materialOf(ownPrivateKey(pair)).bytes };
    case "spki":
      return { format, bytes: materialOf(pair.publicKey).bytes };
    case "jwk":
      return { format, jwk: jwkOf(pair.privateKey ?? pair.publicKey) };
  }
}

/** A key's JWK, its members in the order of RFC 7518 on every platform. */
function jwkOf(key: KeyObject): Jwk {
  const exported = key.export({ format: "jwk" });
  const members = ["kty", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi"] as const;
  const jwk: Jwk = {};
  for (const member of members) {
    const value = exported[member];
    if (value !== undefined) jwk[member] = value;
  }
  return jwk;
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
