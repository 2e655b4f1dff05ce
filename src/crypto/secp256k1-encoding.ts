/**
 * The encodings of secp256k1 keys, written here byte for byte, since not every platform knows the curve.
 * PKCS#8 (RFC 5958) around ECPrivateKey (RFC 5915): SEQUENCE { 0, SEQUENCE { id-ecPublicKey, secp256k1 }, OCTET STRING
 * { SEQUENCE { 1, scalar (32), [1] BIT STRING point } } }; [1] may be missing in what comes in.
 * SPKI (RFC 5480): SEQUENCE { the same algorithm, BIT STRING point }. Points are uncompressed, 04 ‖ x ‖ y (SEC 1 §2.3.3); in
 * what comes in as SPKI a compressed one is taken too.
 * JWK: kty "EC", crv "secp256k1", x, y, d (RFC 8812 §3.1).
 * Invariant: what is stored has the uncompressed point, and it is on the curve and the private key's own.
 */
import { Buffer } from "node:buffer";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { equalConstantTime, secretBytes } from "../bytes.ts";
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

export interface Secp256k1Numbers {
  /** Undefined where only the public part is there. */
  readonly scalar: Buffer | undefined;
  /** 04 ‖ x ‖ y. */
  readonly point: Buffer;
}

const SCALAR_BYTES = 32;
const POINT_BYTES = 65;
const COMPRESSED_BYTES = 33;
const algorithm = "301006072a8648ce3d020106052b8104000a";
const whole = {
  head: Buffer.from(`308184020100${algorithm}046d306b0201010420`, "hex"),
  middle: Buffer.from("a144034200", "hex"),
};
const scalarHead = Buffer.from(`303e020100${algorithm}042730250201010420`, "hex");
const spkiHead = Buffer.from(`3056${algorithm}034200`, "hex");
const compressedHead = Buffer.from(`3036${algorithm}032200`, "hex");

/** The numbers of stored material; undefined where it is no key on this curve. */
export function secp256k1NumbersOf({ form, bytes }: Material): Secp256k1Numbers | undefined {
  if (form === "spki") {
    const point = after(spkiHead, bytes, POINT_BYTES);
    return point === undefined ? undefined : { scalar: undefined, point };
  }
  const rest = after(whole.head, bytes, SCALAR_BYTES + whole.middle.length + POINT_BYTES);
  if (rest === undefined) return undefined;
  return {
    scalar: rest.subarray(0, SCALAR_BYTES),
    point: rest.subarray(SCALAR_BYTES + whole.middle.length),
  };
}

/** The stored form of a whole key. */
export function secp256k1Whole(scalar: Uint8Array, point: Uint8Array): Material {
  return { form: "pkcs8", bytes: secretBytes(Buffer.concat([whole.head, scalar, whole.middle, point])) };
}

/** A key from outside. */
export function importSecp256k1(imported: ImportedKey): Material {
  try {
    switch (imported.format) {
      case "pkcs8": {
        const numbers = secp256k1NumbersOf({ form: "pkcs8", bytes: secretBytes(imported.bytes) });
        const scalar = numbers?.scalar ?? after(scalarHead, imported.bytes, SCALAR_BYTES);
        return checkedWhole(scalar, numbers?.point);
      }
      case "spki":
        return checkedPublic(
          after(spkiHead, imported.bytes, POINT_BYTES) ??
            after(compressedHead, imported.bytes, COMPRESSED_BYTES),
        );
      case "jwk":
        return importJwk(imported.jwk);
      case "raw":
        throw invalid("an asymmetric key comes as PKCS#8, SPKI or JWK");
    }
  } catch (cause) {
    if (cause instanceof KeysteadError) throw cause;
    throw new KeysteadError("invalid_key_material", { cause });
  }
}

/** A key in a format. */
export function exportSecp256k1(material: Material, format: KeyFormat): ExportedMaterial {
  const numbers = numbersOf(material);
  switch (format) {
    case "raw":
      throw noSuchFormat();
    case "spki":
      return { format, bytes: publicMaterial(numbers.point).bytes };
    case "pkcs8":
      if (numbers.scalar === undefined) throw new KeysteadError("key_public_only");
      return { format, bytes: secretBytes(Buffer.from(material.bytes)) };
    case "jwk": {
      const jwk = publicSecp256k1Jwk(numbers.point);
      const { scalar } = numbers;
      return { format, jwk: scalar === undefined ? jwk : { ...jwk, d: scalar.toString("base64url") } };
    }
  }
}

/** The numbers of material that is known to be a key on this curve. */
export function numbersOf(material: Material): Secp256k1Numbers {
  const numbers = secp256k1NumbersOf(material);
  if (numbers === undefined) throw new Error("stored material is no secp256k1 key");
  return numbers;
}

/** SubjectPublicKeyInfo of a point. */
export function secp256k1Spki(point: Buffer): Buffer {
  return publicMaterial(point).bytes;
}

export function publicSecp256k1Jwk(point: Buffer): Jwk {
  const [x, y] = [point.subarray(1, 33), point.subarray(33)];
  return { kty: "EC", crv: "secp256k1", x: x.toString("base64url"), y: y.toString("base64url") };
}

function importJwk(jwk: Readonly<Record<string, unknown>>): Material {
  if (jwk["kty"] !== "EC" || jwk["crv"] !== "secp256k1")
    throw invalid("the JWK is of another kind than its type");
  const [x, y] = [jwkBytes(jwk["x"]), jwkBytes(jwk["y"])];
  if (x?.length !== SCALAR_BYTES || y?.length !== SCALAR_BYTES)
    throw invalid("the JWK lacks a public part of the type's length");
  const point = Buffer.concat([Buffer.of(4), x, y]);
  if (jwk["d"] === undefined) return checkedPublic(point);
  return checkedWhole(jwkBytes(jwk["d"]), point);
}

function checkedWhole(scalar: Buffer | undefined, point: Buffer | undefined): Material {
  if (scalar?.length !== SCALAR_BYTES) throw invalid("the key is not in the DER form of its type");
  // Throws for zero and for numbers beyond the group's order.
  const own = secp256k1.getPublicKey(scalar, false);
  if (point !== undefined && !equalConstantTime(own, point))
    throw invalid("the private and the public part do not belong together");
  return secp256k1Whole(scalar, own);
}

function checkedPublic(bytes: Buffer | undefined): Material {
  if (bytes === undefined) throw invalid("the key is not in the DER form of its type");
  // Throws for what is no point of the curve.
  return publicMaterial(secp256k1.Point.fromBytes(bytes).toBytes(false));
}

function publicMaterial(point: Uint8Array): Material {
  return { form: "spki", bytes: secretBytes(Buffer.concat([spkiHead, point])) };
}

/** What follows the head; undefined for other heads and other lengths. */
function after(head: Buffer, bytes: Uint8Array, length: number): Buffer | undefined {
  if (bytes.length !== head.length + length || !head.equals(bytes.subarray(0, head.length))) return undefined;
  const body = Buffer.from(bytes.subarray(head.length));
  if (head !== whole.head) return body;
  const { middle } = whole;
  return middle.equals(body.subarray(SCALAR_BYTES, SCALAR_BYTES + middle.length)) ? body : undefined;
}
