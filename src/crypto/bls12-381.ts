/**
 * Keys on the curve BLS12-381, with the public key in G1, in G2, or in both: made, kept and shown. Nothing is signed with
 * them here.
 * Stored layout (form raw): secret scalar (32 bytes big-endian, from 1 to the group's order less 1) ‖ public key, which is
 * its product with the generator, compressed: 48 bytes in G1, 96 in G2, 144 in both, G1 first
 * (draft-irtf-cfrg-pairing-friendly-curves appendix C).
 * JWK: kty "OKP", crv "BLS12381_G1", "BLS12381_G2" or "BLS12381_G1G2", x, d (mattrglobal/bls12381-jwk-draft, which Askar
 * follows, and its form for both groups).
 * Invariant: the public key was computed from the scalar by this service, off the event loop; one that comes with a scalar
 * is refused unless it is the same.
 */
import { Buffer } from "node:buffer";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { asBuffer, equalConstantTime, secretBytes } from "../bytes.ts";
import {
  invalid,
  jwkBytes,
  noSuchFormat,
  type ExportedMaterial,
  type ImportedKey,
  type KeyFormat,
  type Material,
} from "./material.ts";
import { publicPointOf } from "./off-loop.ts";
import type { ShownKey } from "./shown-key.ts";

const SCALAR_BYTES = 32;

export const blsGroups = {
  G1: { curve: "bls12-381-g1", crv: "BLS12381_G1" },
  G2: { curve: "bls12-381-g2", crv: "BLS12381_G2" },
  G1G2: { curve: "bls12-381-g1g2", crv: "BLS12381_G1G2" },
} as const;

export type BlsGroup = keyof typeof blsGroups;

/** A fresh key. */
export function generateBls(group: BlsGroup): Promise<Material> {
  return materialOf(bls12_381.utils.randomSecretKey(), group);
}

/** A secret scalar from outside, as its 32 bytes or as a JWK. */
export async function importBls(imported: ImportedKey, group: BlsGroup): Promise<Material> {
  if (imported.format === "raw") return materialOf(imported.bytes, group);
  if (imported.format !== "jwk") throw invalid("a BLS key comes as its 32 secret bytes or as a JWK");
  const { jwk } = imported;
  if (jwk["kty"] !== "OKP" || jwk["crv"] !== blsGroups[group].crv)
    throw invalid("the JWK is of another kind than its type");
  const [scalar, publicKey] = [jwkBytes(jwk["d"]), jwkBytes(jwk["x"])];
  if (scalar === undefined || publicKey === undefined) throw invalid("the JWK has not both x and d");
  const material = await materialOf(scalar, group);
  if (!equalConstantTime(publicKey, publicBytesOf(material)))
    throw invalid("the private and the public part do not belong together");
  return material;
}

/** The secret scalar, or the whole key as a JWK. */
export function exportBls(material: Material, format: KeyFormat, group: BlsGroup): ExportedMaterial {
  const scalar = material.bytes.subarray(0, SCALAR_BYTES);
  if (format === "raw") return { format, bytes: secretBytes(Buffer.from(scalar)) };
  if (format !== "jwk") throw noSuchFormat();
  return { format, jwk: { ...openBls(material, group).publicKeyJwk(), d: scalar.toString("base64url") } };
}

/** Opens stored material for use. */
export function openBls(material: Material, group: BlsGroup): ShownKey {
  const x = publicBytesOf(material).toString("base64url");
  return { publicKeyJwk: () => ({ kty: "OKP", crv: blsGroups[group].crv, x }) };
}

async function materialOf(scalar: Uint8Array, group: BlsGroup): Promise<Material> {
  // Its own parser takes a number beyond the order for what is left of it.
  const number = scalar.length === SCALAR_BYTES ? BigInt(`0x${asBuffer(scalar).toString("hex")}`) : 0n;
  if (number === 0n || number >= bls12_381.G1.Point.Fn.ORDER)
    throw invalid("the secret bytes are no number from 1 to the group's order less 1");
  const publicKey = await publicPointOf(blsGroups[group].curve, scalar);
  return { form: "raw", bytes: secretBytes(Buffer.concat([scalar, publicKey])) };
}

function publicBytesOf({ bytes }: Material): Buffer {
  return bytes.subarray(SCALAR_BYTES);
}
