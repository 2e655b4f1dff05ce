/**
 * The JSON Web Tokens that this service issues: compact JWS (RFC 7515 §7.1) with EdDSA over Ed25519 (RFC 8037).
 * A header is `{"alg":"EdDSA","kid":…,"typ":…}` and nothing else, the type naming what the token is for (RFC 8725 §3.11).
 * Invariant: a header is compared as text with the one that this service writes for that key and type. So another
 * algorithm, `none`, `crit`, `jwk` or a further member is refused before anything is computed.
 */
import { Buffer } from "node:buffer";
import { decodeBase64Url, decodeUtf8 } from "../bytes.ts";
import type { SigningKeys, SigningPurpose, TokenKey } from "./signing-keys.ts";

/** The types, in the header's `typ`. */
export const tokenTypes: Readonly<Record<SigningPurpose, string>> = {
  login: "keystead-login+jwt",
  signup: "keystead-signup+jwt",
};

export type Claims = Readonly<Record<string, unknown>>;

/** Signs claims with a key, for what it is for. */
export async function signToken({ id, purpose, key }: TokenKey, claims: Claims): Promise<string> {
  const signed = `${headerOf(purpose, id)}.${encode(JSON.stringify(claims))}`;
  const signature = await key.sign({ message: Buffer.from(signed, "latin1") });
  return `${signed}.${Buffer.from(signature).toString("base64url")}`;
}

/** The claims of a token that a key of this purpose signed and the key's id; undefined for everything else. */
export async function verifyToken(
  keys: SigningKeys,
  purpose: SigningPurpose,
  token: string,
): Promise<{ readonly claims: Claims; readonly keyId: string } | undefined> {
  const [header = "", payload = "", signature = "", ...rest] = token.split(".");
  if (rest.length > 0) return undefined;
  const keyId = keyIdOf(header);
  if (keyId === undefined || headerOf(purpose, keyId) !== header) return undefined;
  const found = await keys.find(purpose, keyId);
  const signatureBytes = decodeBase64Url(signature);
  const payloadBytes = decodeBase64Url(payload);
  if (found === undefined || signatureBytes === undefined || payloadBytes === undefined) return undefined;
  const message = Buffer.from(`${header}.${payload}`, "latin1");
  if (!(await found.key.verify({ message }, signatureBytes))) return undefined;
  const claims = parseJson(payloadBytes);
  return typeof claims === "object" && claims !== null ? { claims: claims as Claims, keyId } : undefined;
}

function headerOf(purpose: SigningPurpose, kid: string): string {
  return encode(JSON.stringify({ alg: "EdDSA", kid, typ: tokenTypes[purpose] }));
}

function keyIdOf(header: string): string | undefined {
  const bytes = decodeBase64Url(header);
  const parsed = bytes === undefined ? undefined : parseJson(bytes);
  const kid = typeof parsed === "object" && parsed !== null && "kid" in parsed ? parsed.kid : undefined;
  return typeof kid === "string" ? kid : undefined;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeUtf8(bytes) ?? "") as unknown;
  } catch {
    return undefined;
  }
}

function encode(text: string): string {
  return Buffer.from(text, "utf8").toString("base64url");
}
