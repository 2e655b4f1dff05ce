/**
 * ML-DSA (FIPS 204): signs messages with an empty context, hedged; no digest form (HashML-DSA is another algorithm).
 * The private key is its seed (RFC 9881 §6). A signature is made by trial and takes a millisecond on the slower platform,
 * so it goes off the event loop; a verification is a fraction of that.
 */
import { verify } from "node:crypto";
import { ownPrivateKey } from "./asymmetric-key.ts";
import type { Material } from "./material.ts";
import { signNative } from "./off-loop.ts";
import { seedKeys, type SeedKeys } from "./seed-key.ts";
import { assertOptions, messageOf, type SigningKey } from "./signing-key.ts";

const arc = "6086480165030403";

export const mlDsaKeys = {
  "ML-DSA-44": mlDsa("ML-DSA-44", `${arc}11`, 1312),
  "ML-DSA-65": mlDsa("ML-DSA-65", `${arc}12`, 1952),
  "ML-DSA-87": mlDsa("ML-DSA-87", `${arc}13`, 2592),
} as const;

/** Opens stored material for use. */
export function openMlDsa(material: Material, keys: SeedKeys): SigningKey {
  const { pair, publicPart } = keys.open(material);
  const { publicKey } = pair;
  return {
    canSign: pair.privateKey !== undefined,
    sign(signed, options = {}) {
      assertOptions(options, [], []);
      return signNative(null, messageOf(signed), ownPrivateKey(pair), { brief: true });
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

function mlDsa(alg: string, oid: string, publicBytes: number): SeedKeys {
  return seedKeys({ oid, seedBytes: 32, publicBytes, jwk: { kty: "AKP", alg } });
}
