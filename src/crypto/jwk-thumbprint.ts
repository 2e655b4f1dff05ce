/**
 * The thumbprint of a public key: RFC 7638 with SHA-256, base64url without padding. It is taken over the members that make
 * the key, in the order of their names: RFC 7638 §3.2 says which for EC and RSA, RFC 8037 §2 for OKP, and
 * draft-ietf-cose-dilithium §6 for AKP.
 * Invariant: a private member, or one that only describes the key, changes nothing.
 */
import { sha256 } from "./digest.ts";
import type { Jwk } from "./material.ts";

const members: Readonly<Record<string, readonly string[]>> = {
  AKP: ["alg", "kty", "pub"],
  EC: ["crv", "kty", "x", "y"],
  OKP: ["crv", "kty", "x"],
  RSA: ["e", "kty", "n"],
};

/** The thumbprint of a public JWK. Throws for a kind of key that has no public part. */
export function jwkThumbprint(jwk: Readonly<Jwk>): string {
  const names = members[jwk["kty"] ?? ""];
  if (names === undefined) throw new Error("a key of this kind has no thumbprint here");
  // JSON.stringify keeps the order in which members were written, and no member needs escaping.
  return sha256(JSON.stringify(Object.fromEntries(names.map((name) => [name, jwk[name]])))).toString(
    "base64url",
  );
}
