/**
 * Public keys of an issuer, from a JSON Web Key Set (RFC 7517 §5), and which of them may verify what.
 * Invariant: only the public members of a key are kept, and a key verifies only algorithms that fit its type and curve, its
 * `use`, `key_ops` and `alg`. A key of another sort is passed over; a set that is too large or no set is refused as a whole.
 */
import type { JWK } from "jose";
import { sha256Base64 } from "../crypto/digest.ts";
import type { IssuerAlgorithm } from "./issuer.ts";

const KEYS_MAX = 100;
const KID_CHARACTERS_MAX = 256;
/** 8192 bits: larger keys cost too much to verify with. */
const MODULUS_CHARACTERS_MAX = 1366;
/** 2048 bits, less a leading zero bit or two. */
const MODULUS_CHARACTERS_MIN = 342;
/** 32 bits: a larger exponent makes each verification slow. */
const EXPONENT_CHARACTERS_MAX = 6;

export interface IssuerKey {
  /** The key itself, by its public members: the same under whatever `kid`. */
  readonly id: string;
  readonly kid: string | undefined;
  /** What its `alg` limits it to. */
  readonly algorithm: string | undefined;
  readonly jwk: JWK;
}

const curves: Readonly<Record<string, readonly string[]>> = {
  EC: ["P-256", "P-384", "P-521"],
  OKP: ["Ed25519"],
};

/** By algorithm: the type of its keys, and their curve. */
const fitting: Readonly<Record<IssuerAlgorithm, { readonly kty: string; readonly crv?: string }>> = {
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  PS256: { kty: "RSA" },
  PS384: { kty: "RSA" },
  PS512: { kty: "RSA" },
  RS256: { kty: "RSA" },
  RS384: { kty: "RSA" },
  RS512: { kty: "RSA" },
};

/** The keys of a set that signatures can be verified with; undefined for what is no set, or one of too many. */
export function parseKeySet(value: unknown): readonly IssuerKey[] | undefined {
  if (!isObject(value) || !Array.isArray(value["keys"]) || value["keys"].length > KEYS_MAX) return undefined;
  return (value["keys"] as unknown[]).map(parseKey).filter((key) => key !== undefined);
}

/** Whether a key holds more than its public part. */
export function isPrivate(jwk: unknown): boolean {
  return isObject(jwk) && ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].some((name) => name in jwk);
}

/** The keys that may have signed a token of this algorithm and `kid`. */
export function candidates(
  keys: readonly IssuerKey[],
  algorithm: IssuerAlgorithm,
  kid: string | undefined,
): readonly IssuerKey[] {
  const { kty, crv } = fitting[algorithm];
  return keys.filter(
    (key) =>
      key.jwk.kty === kty &&
      key.jwk.crv === crv &&
      (key.algorithm === undefined || key.algorithm === algorithm) &&
      (kid === undefined || key.kid === kid),
  );
}

function parseKey(value: unknown): IssuerKey | undefined {
  if (!isObject(value) || isPrivate(value)) return undefined;
  const { kid, alg, use, key_ops: operations } = value;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
    return undefined;
  if (kid !== undefined && !isText(kid, 1, KID_CHARACTERS_MAX)) return undefined;
  if (alg !== undefined && !isText(alg, 1, KID_CHARACTERS_MAX)) return undefined;
  const jwk = publicMembers(value);
  if (jwk === undefined) return undefined;
  // Frozen: the library keeps what it made of it.
  return { id: sha256Base64(JSON.stringify(jwk)), kid, algorithm: alg, jwk: Object.freeze(jwk) };
}

function publicMembers(value: Readonly<Record<string, unknown>>): JWK | undefined {
  const { kty, crv, n, e, x, y } = value;
  if (kty === "RSA") {
    return isText(n, MODULUS_CHARACTERS_MIN, MODULUS_CHARACTERS_MAX) && isText(e, 1, EXPONENT_CHARACTERS_MAX)
      ? { kty, n, e }
      : undefined;
  }
  if (typeof kty !== "string" || typeof crv !== "string") return undefined;
  if (!Object.hasOwn(curves, kty) || curves[kty]?.includes(crv) !== true || !isText(x, 1, 88))
    return undefined;
  if (kty === "OKP") return { kty, crv, x };
  return isText(y, 1, 88) ? { kty, crv, x, y } : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown, charactersMin: number, charactersMax: number): value is string {
  return typeof value === "string" && value.length >= charactersMin && value.length <= charactersMax;
}
