/**
 * Mini KMS's key over the service's own: its algorithms, and how a key is shown.
 * Layout of `b58`: base58 (Bitcoin's alphabet) of the public bytes: the 32 of RFC 8032 and RFC 7748, the compressed point of
 * SEC 1 §2.3.3, or the compressed points of BLS12-381, G1 before G2.
 */
import { base58 } from "@scure/base";
import { z } from "zod";
import { decodeBase64Url } from "../../bytes.ts";
import type { PublicView } from "../../service/public-key-operations.ts";

type KeyType = PublicView["type"];

/** `jose` is what the `alg` of a symmetric key's JWK says. */
const algorithms = {
  ed25519: { type: "ed25519" },
  x25519: { type: "x25519" },
  p256: { type: "ecdsa-p256" },
  p384: { type: "ecdsa-p384" },
  k256: { type: "secp256k1" },
  bls12381g1: { type: "bls12-381-g1" },
  bls12381g2: { type: "bls12-381-g2" },
  bls12381g1g2: { type: "bls12-381-g1g2" },
  a128gcm: { type: "aes-128-gcm", jose: "A128GCM" },
  a256gcm: { type: "aes-256", jose: "A256GCM" },
  a128cbchs256: { type: "aes-128-cbc-hmac-sha-256", jose: "A128CBC-HS256" },
  a256cbchs512: { type: "aes-256-cbc-hmac-sha-512", jose: "A256CBC-HS512" },
  a128kw: { type: "aes-128-kw", jose: "A128KW" },
  a256kw: { type: "aes-256-kw", jose: "A256KW" },
  c20p: { type: "chacha20-poly1305", jose: "C20P" },
  xc20p: { type: "xchacha20-poly1305", jose: "XC20P" },
} as const satisfies Record<string, { readonly type: KeyType; readonly jose?: string }>;

type AlgorithmName = keyof typeof algorithms;
const algorithmNames = Object.keys(algorithms) as [AlgorithmName, ...AlgorithmName[]];

/** The service's types that Mini KMS knows. */
export const knownTypes: readonly KeyType[] = Object.values(algorithms).map(({ type }) => type);

/** An algorithm's name in any letter case. */
export const algorithm = z
  .string()
  .max(32)
  .regex(anyCaseOf(algorithmNames), `Input should be one of ${algorithmNames.join(", ")}, in any letter case`)
  .transform((text) => algorithms[text.toLowerCase() as AlgorithmName].type)
  .meta({ examples: ["Ed25519"] });

const member = z.string();
export const keyAnswer = z.strictObject({
  kid: z.string(),
  jwk: z.union([
    z.strictObject({ kty: z.literal("OKP"), crv: member, x: member }),
    z.strictObject({ kty: z.literal("EC"), crv: member, x: member, y: member }),
    z.strictObject({ kty: z.literal("oct"), alg: member, kid: member }),
  ]),
  b58: z.string().optional(),
});
export type ShownKey = z.output<typeof keyAnswer>;

/** A key as Mini KMS shows it. */
export function shownKey({ kid, type, jwk }: PublicView): ShownKey {
  if (jwk === undefined) return { kid, jwk: { kty: "oct", alg: joseNameOf(type), kid } };
  const { kty, crv = "", x = "", y = "" } = jwk;
  if (kty !== "EC") return { kid, jwk: { kty: "OKP", crv, x }, b58: base58.encode(bytesOf(x)) };
  const isOdd = ((bytesOf(y).at(-1) ?? 0) & 1) === 1;
  const point = Uint8Array.of(isOdd ? 3 : 2, ...bytesOf(x));
  return { kid, jwk: { kty, crv, x, y }, b58: base58.encode(point) };
}

function joseNameOf(type: KeyType): string {
  const found = Object.values(algorithms).find((row) => row.type === type);
  return found !== undefined && "jose" in found ? found.jose : "";
}

function bytesOf(text: string): Uint8Array {
  const bytes = decodeBase64Url(text);
  if (bytes === undefined) throw new Error("a public JWK of the service's own is not in base64url");
  return new Uint8Array(bytes);
}

/** Letter by letter, since a schema's description has no flags for a pattern. */
function anyCaseOf(names: readonly string[]): RegExp {
  const letter = (character: string): string => `[${character}${character.toUpperCase()}]`;
  return new RegExp(`^(${names.map((name) => name.replaceAll(/[a-z]/g, letter)).join("|")})$`);
}
