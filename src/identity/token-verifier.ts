/**
 * What the authenticator asks of everyone who can judge a JSON Web Token.
 * Invariant: a token is judged by exactly one verifier, chosen by the issuer and type that it states; a verifier trusts
 * nothing of that statement, and accepts one list of algorithms of its own.
 */
import type { Caller } from "./caller.ts";

/**
 * What a token says of itself, read without any check of its signature: fit to choose a verifier and nothing else. It is
 * remembered, so the token itself is not in it.
 */
export interface StatedToken {
  /** SHA-256 of the whole compact serialisation (RFC 7515 §3.1), base64. */
  readonly hash: string;
  readonly algorithm: string;
  /** The header's `typ`, undefined where it has none. */
  readonly type: string | undefined;
  /** The claim `iss`, undefined where it has none. */
  readonly issuer: string | undefined;
}

export interface TokenVerifier {
  /** True where tokens that state this issuer and type are this verifier's to judge. */
  owns(stated: StatedToken): boolean | Promise<boolean>;
  /** The caller that the token names. Throws `unauthenticated` for everything that is not a valid token now. */
  authenticate(stated: StatedToken, token: string): Caller | Promise<Caller>;
}
