/**
 * Keys on their way in and out: public parts, exported material, and material wrapped in transit.
 * Invariant: material leaves only through `exportMaterial`, which its caller has asked the table of states and the key's
 * `exportable` for; what cannot be unwrapped is one error for every reason.
 */
import { wipe } from "../bytes.ts";
import type { ExportedMaterial, KeyFormat } from "../crypto/material.ts";
import { algorithmOf, keyTypes, purposesOf } from "../crypto/catalogue.ts";
import { unwrapWithRsa, wrapToRsa } from "../crypto/key-wrap.ts";
import type { PublicCipherKey } from "../crypto/public-cipher-key.ts";
import { asKeysteadError, KeysteadError } from "../errors.ts";
import { assertOpening, assertUse, firstOpening, makingVersion, openedAs } from "./key-use.ts";
import { VERSIONS_TRIED_MAX } from "./signature-use.ts";
import { keyAlgorithm, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";

/** A key that was wrapped under a key of this keyring before it was sent. */
export interface WrappedKey {
  readonly wrappedUnder: string;
  /** What the unwrapped bytes are. */
  readonly format: Exclude<KeyFormat, "jwk">;
  readonly wrapped: Uint8Array;
}

/** What the unwrapped bytes are, and the wrapped ones. */
export interface WrappedMaterial {
  readonly format: Exclude<KeyFormat, "jwk">;
  readonly bytes: Uint8Array;
}

/** Material on its way to a caller: the one result of this service that is secret by purpose. */
export interface ExportedKey {
  readonly algorithm: string;
  readonly version: number;
  readonly exportedMaterial: ExportedMaterial | WrappedMaterial;
  /** True where the bytes are wrapped: then they are no secret by themselves. */
  readonly isWrapped: boolean;
}

export interface PublicKey {
  readonly version: number;
  /** SubjectPublicKeyInfo (RFC 5280 §4.1); undefined for kinds of keys that have none. */
  readonly der: Uint8Array | undefined;
  readonly jwk: Readonly<Record<string, string>>;
}

/** The public part of a version. Throws `key_usage` where the key has none. */
export async function publicKeyOf(keyring: Keyring, key: Key, version: number): Promise<PublicKey> {
  if (key.state === "destroyed") throw new KeysteadError("key_destroyed");
  const opened = await keyring.version(key, version);
  if (opened === undefined) throw new KeysteadError("key_version_not_found");
  switch (opened.family) {
    case "signature":
    case "public-cipher":
    case "kem":
    case "agreement":
      return { version, der: opened.key.publicKeyDer(), jwk: opened.key.publicKeyJwk() };
    case "shown":
      return { version, der: undefined, jwk: opened.key.publicKeyJwk() };
    case "cipher":
    case "mac":
    case "wrap":
      throw new KeysteadError("key_usage");
  }
}

/**
 * What was wrapped, ready to be imported; the caller wipes it. Throws `unwrap_failed`, and what the wrapping key's state
 * forbids.
 */
export async function unwrapImported(
  keyring: Keyring,
  wrapping: Key,
  { format, wrapped }: WrappedKey,
): Promise<WrappedMaterial> {
  assertUse(wrapping, "unwrap", "wrap", "public-cipher");
  if (wrapping.publicOnly) throw new KeysteadError("key_public_only");
  // The wrapped form names no version: the newest few are tried, as signatures are that name none.
  const bytes = await firstOpening(wrapping, VERSIONS_TRIED_MAX, async (version) =>
    keyAlgorithm(wrapping).family === "wrap"
      ? (await openedAs(keyring, wrapping, version, "wrap")).key.unwrap(wrapped)
      : unwrapWithRsa((await openedAs(keyring, wrapping, version, "public-cipher")).key, wrapped),
  );
  if (bytes === undefined) throw new KeysteadError("unwrap_failed");
  return { format, bytes };
}

/**
 * A version's material in a format, wrapped where a wrapping is given. Throws what the version's state forbids.
 * @param under a key of the keyring that wraps, or somebody's RSA public key (SPKI)
 */
export async function exportMaterial(
  keyring: Keyring,
  key: Key,
  version: number,
  format: KeyFormat | undefined,
  under: Key | { readonly publicKeyDer: Uint8Array } | undefined,
): Promise<ExportedKey> {
  // Whoever has the material opens and makes what the version may not any more.
  assertOpening(key, version);
  const algorithm = keyAlgorithm(key);
  const wanted = format ?? algorithm.exportFormats[0] ?? "raw";
  const material = await keyring.material(key, version);
  const exported = await keyring.exportKey(key, material, wanted);
  const facts = { algorithm: algorithm.exportName, version };
  if (under === undefined) return { ...facts, exportedMaterial: exported, isWrapped: false };
  if (exported.format === "jwk")
    throw new KeysteadError("invalid_body", { field: "format", detail: "a JWK is not wrapped" });
  try {
    const bytes = await wrap(keyring, under, exported.bytes);
    return { ...facts, exportedMaterial: { format: exported.format, bytes }, isWrapped: true };
  } finally {
    wipe(exported.bytes);
  }
}

async function wrap(
  keyring: Keyring,
  under: Key | { readonly publicKeyDer: Uint8Array },
  bytes: Uint8Array,
): Promise<Uint8Array> {
  if ("publicKeyDer" in under) return wrapToRsa(await openPublicKey(under.publicKeyDer), bytes);
  assertUse(under, "wrap", "wrap", "public-cipher");
  const version = makingVersion(under, undefined);
  if (keyAlgorithm(under).family === "wrap")
    return (await openedAs(keyring, under, version, "wrap")).key.wrap(bytes);
  return wrapToRsa((await openedAs(keyring, under, version, "public-cipher")).key, bytes);
}

/** Somebody's public key that material can be wrapped to. Throws `invalid_key_material`. */
async function openPublicKey(der: Uint8Array): Promise<PublicCipherKey> {
  for (const type of keyTypes) {
    if (!purposesOf(type).includes("encrypt")) continue;
    const algorithm = algorithmOf(type, "encrypt");
    if (algorithm.family !== "public-cipher") continue;
    try {
      return algorithm.open(await algorithm.import({ format: "spki", bytes: der }));
    } catch (thrown) {
      if (asKeysteadError(thrown).code !== "invalid_key_material") throw thrown;
    }
  }
  throw new KeysteadError("invalid_key_material", {
    detail: "an RSA public key of 2048, 3072 or 4096 bits as SPKI",
  });
}
