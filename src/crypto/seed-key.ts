/**
 * Keys whose private part is a seed of fixed length: Ed25519, ML-DSA, ML-KEM. Their encodings are written here byte for
 * byte, so that both platforms read what the other wrote, and a key is refused unless it is exactly that.
 * PKCS#8 (RFC 5958): SEQUENCE { INTEGER 0, SEQUENCE { OID }, OCTET STRING { seed } }, the seed as an OCTET STRING for Ed25519
 * (RFC 8410 §7) and as [0] for the others (RFC 9881 §6, draft-ietf-lamps-kyber-certificates §6: the seed form).
 * SPKI: SEQUENCE { SEQUENCE { OID }, BIT STRING { public key } }.
 * JWK: kty "OKP" with crv, x, d (RFC 8037 §2) or "AKP" with alg, pub, priv (draft-ietf-cose-dilithium §3).
 * Invariant: a private key that comes with its public part is refused unless the one follows from the other.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { equalConstantTime, secretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import type { KeyPair, PublicPart } from "./asymmetric-key.ts";
import { keyPairOf } from "./asymmetric-key.ts";
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
import { randomSecret } from "./random.ts";

export interface SeedKind {
  /** The object identifier's body, in hexadecimal. */
  readonly oid: string;
  readonly seedBytes: number;
  readonly publicBytes: number;
  /** The JWK's names for the kind and for both parts. */
  readonly jwk: { readonly kty: "OKP"; readonly crv: string } | { readonly kty: "AKP"; readonly alg: string };
}

/** The part of a catalogue row that all keys of a kind share. */
export interface SeedKeys {
  readonly exportFormats: readonly ["pkcs8", "jwk"];
  generate(): Material;
  import(imported: ImportedKey): Material;
  exportKey(material: Material, format: KeyFormat): ExportedMaterial;
  /** Opens stored material: both parts for the platform, and the public one for everybody. */
  open(material: Material): { readonly pair: KeyPair; readonly publicPart: PublicPart };
}

/** @param checkPublic refuses, by throwing, bytes that are no public key */
export function seedKeys(kind: SeedKind, checkPublic?: (bytes: Buffer) => void): SeedKeys {
  const { seedBytes, publicBytes } = kind;
  const head = heads(kind);
  const privateMaterial = (seed: Uint8Array): Material => ({
    form: "pkcs8",
    bytes: secretBytes(Buffer.concat([head.pkcs8, seed])),
  });
  const publicMaterial = (bytes: Uint8Array): Material => ({
    form: "spki",
    bytes: secretBytes(Buffer.concat([head.spki, bytes])),
  });
  const publicBytesOf = ({ publicKey }: KeyPair): Buffer =>
    publicKey.export({ format: "der", type: "spki" }).subarray(head.spki.length);
  const publicJwk = (pair: KeyPair): Jwk => {
    const text = publicBytesOf(pair).toString("base64url");
    return kind.jwk.kty === "OKP" ? { ...kind.jwk, x: text } : { ...kind.jwk, pub: text };
  };

  const checkedPublic = (bytes: Buffer): Material => {
    checkPublic?.(bytes);
    const material = publicMaterial(bytes);
    createPublicKey({ key: material.bytes, format: "der", type: "spki" });
    return material;
  };
  const checkedPrivate = (seed: Buffer): Material => {
    const material = privateMaterial(seed);
    createPrivateKey({ key: material.bytes, format: "der", type: "pkcs8" });
    return material;
  };
  const importJwk = (jwk: Readonly<Record<string, unknown>>): Material => {
    for (const [member, value] of Object.entries(kind.jwk)) {
      if (jwk[member] !== value) throw invalid("the JWK is of another kind than its type");
    }
    const [publicName, privateName] = kind.jwk.kty === "OKP" ? ["x", "d"] : ["pub", "priv"];
    const bytes = jwkBytes(jwk[publicName]);
    if (bytes?.length !== publicBytes) throw invalid("the JWK lacks a public part of the type's length");
    if (jwk[privateName] === undefined) return checkedPublic(bytes);
    const seed = jwkBytes(jwk[privateName]);
    if (seed?.length !== seedBytes)
      throw invalid("the JWK's private part is not a seed of the type's length");
    const material = checkedPrivate(seed);
    if (!equalConstantTime(publicBytesOf(keyPairOf(material)), bytes)) {
      throw invalid("the private and the public part do not belong together");
    }
    return material;
  };

  return {
    exportFormats: ["pkcs8", "jwk"],
    generate: () => privateMaterial(randomSecret(seedBytes)),
    import(imported) {
      try {
        switch (imported.format) {
          case "pkcs8":
            return checkedPrivate(after(head.pkcs8, imported.bytes, seedBytes));
          case "spki":
            return checkedPublic(after(head.spki, imported.bytes, publicBytes));
          case "jwk":
            return importJwk(imported.jwk);
          case "raw":
            throw invalid("an asymmetric key comes as PKCS#8, SPKI or JWK");
        }
      } catch (cause) {
        if (cause instanceof KeysteadError) throw cause;
        throw new KeysteadError("invalid_key_material", { cause });
      }
    },
    exportKey(material, format) {
      if (format === "raw") throw noSuchFormat();
      if (format === "spki") {
        return { format, bytes: publicMaterial(publicBytesOf(keyPairOf(material))).bytes };
      }
      if (format === "jwk" && material.form === "spki") {
        return { format, jwk: publicJwk(keyPairOf(material)) };
      }
      if (material.form !== "pkcs8") throw new KeysteadError("key_public_only");
      if (format === "pkcs8") return { format, bytes: secretBytes(Buffer.from(material.bytes)) };
      const seed = material.bytes.subarray(head.pkcs8.length).toString("base64url");
      const whole = kind.jwk.kty === "OKP" ? { d: seed } : { priv: seed };
      return { format, jwk: { ...publicJwk(keyPairOf(material)), ...whole } };
    },
    open(material) {
      const pair = keyPairOf(material);
      const publicPart = {
        publicKeyDer: (): Buffer => publicMaterial(publicBytesOf(pair)).bytes,
        publicKeyJwk: (): Jwk => publicJwk(pair),
      };
      return { pair, publicPart };
    },
  };
}

/** What follows the head; refuses other heads and other lengths. */
function after(head: Buffer, bytes: Uint8Array, length: number): Buffer {
  const body = Buffer.from(bytes.subarray(head.length));
  if (!head.equals(bytes.subarray(0, head.length)) || body.length !== length) {
    throw invalid(
      "the key is not in the one DER form of its type: for a private key, the form with the seed alone",
    );
  }
  return body;
}

function heads({ oid, seedBytes, publicBytes, jwk }: SeedKind): { pkcs8: Buffer; spki: Buffer } {
  const algorithm = der(0x30, der(0x06, Buffer.from(oid, "hex")));
  const seed = der(jwk.kty === "OKP" ? 0x04 : 0x80, Buffer.alloc(seedBytes));
  const pkcs8 = der(0x30, Buffer.concat([Buffer.of(2, 1, 0), algorithm, der(0x04, seed)]));
  const spki = der(0x30, Buffer.concat([algorithm, der(0x03, Buffer.alloc(1 + publicBytes))]));
  return { pkcs8: pkcs8.subarray(0, -seedBytes), spki: spki.subarray(0, -publicBytes) };
}

/** Tag, definite length (X.690 §8.1.3), body. */
function der(tag: number, body: Buffer): Buffer {
  const { length } = body;
  const header =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...header), body]);
}
