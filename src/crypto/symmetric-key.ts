/**
 * Keys that are nothing but random bytes: raw, or as a JWK of kty "oct" (RFC 7518 §6.4).
 * Invariant: a key's length fits its type; what is exported is a copy.
 */
import { Buffer } from "node:buffer";
import { secretBytes } from "../bytes.ts";
import {
  invalid,
  jwkBytes,
  noSuchFormat,
  type ExportedMaterial,
  type ImportedKey,
  type KeyFormat,
  type Material,
} from "./material.ts";
import { randomSecret } from "./random.ts";

/** The part of a catalogue row that all keys of random bytes share. */
export interface SymmetricKind {
  readonly exportFormats: readonly ["raw", "jwk"];
  generate(): Material;
  import(imported: ImportedKey): Material;
  exportKey(material: Material, format: KeyFormat): ExportedMaterial;
}

/**
 * @param keyBytes length of a fresh key, and the least of an imported one
 * @param keyBytesMax the most of an imported one
 * @param alg the JWK's `alg` (RFC 7518 §3.1, §5.1), where one is registered for the type
 */
export function symmetricKind(keyBytes: number, keyBytesMax = keyBytes, alg?: string): SymmetricKind {
  return {
    exportFormats: ["raw", "jwk"],
    generate: () => ({ form: "raw", bytes: randomSecret(keyBytes) }),
    import(imported) {
      const bytes = bytesOf(imported);
      if (bytes.length < keyBytes || bytes.length > keyBytesMax) {
        throw invalid("the key has the wrong length for its type");
      }
      return { form: "raw", bytes: secretBytes(Buffer.from(bytes)) };
    },
    exportKey({ bytes }, format) {
      if (format === "raw") return { format, bytes: secretBytes(Buffer.from(bytes)) };
      if (format !== "jwk") throw noSuchFormat();
      const jwk = { kty: "oct", k: bytes.toString("base64url") };
      return { format, jwk: alg === undefined ? jwk : { ...jwk, alg } };
    },
  };
}

function bytesOf(imported: ImportedKey): Uint8Array {
  if (imported.format === "raw") return imported.bytes;
  const bytes =
    imported.format === "jwk" && imported.jwk["kty"] === "oct" ? jwkBytes(imported.jwk["k"]) : undefined;
  if (bytes === undefined) throw invalid("a symmetric key comes as raw bytes or as a JWK of kty oct");
  return bytes;
}
