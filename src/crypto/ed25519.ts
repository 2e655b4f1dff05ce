/**
 * Ed25519 (RFC 8032 §5.1): signs messages, of which there is no digest form here (Ed25519ph is another algorithm).
 * Invariant: a public key is a point of the curve, written canonically, and of no small order.
 */
import type { Buffer } from "node:buffer";
import { sign, verify } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { ownPrivateKey } from "./asymmetric-key.ts";
import { invalid, type Material } from "./material.ts";
import { seedKeys } from "./seed-key.ts";
import { assertOptions, messageOf, type SigningKey } from "./signing-key.ts";

export const ed25519Keys = seedKeys(
  { oid: "2b6570", seedBytes: 32, publicBytes: 32, jwk: { kty: "OKP", crv: "Ed25519" } },
  assertPoint,
);

/** Opens stored material for use. */
export function openEd25519(material: Material): SigningKey {
  const { pair, publicPart } = ed25519Keys.open(material);
  const { publicKey } = pair;
  return {
    canSign: pair.privateKey !== undefined,
    sign(signed, options = {}) {
      assertOptions(options, [], []);
      return sign(null, messageOf(signed), ownPrivateKey(pair));
    },
    verify(signed, signature, options = {}) {
      assertOptions(options, [], []);
      const message = messageOf(signed);
      try {
        return verify(null, message, publicKey, signature);
      } catch {
        return false;
      }
    },
    ...publicPart,
  };
}

/** A platform takes any 32 bytes. */
function assertPoint(bytes: Buffer): void {
  if (ed25519.Point.fromBytes(bytes).isSmallOrder()) throw invalid("the public key is of a small order");
}
