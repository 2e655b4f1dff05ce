/**
 * The form of refresh tokens: `ksr_` ‖ 32 characters that stay the same as long as the session ‖ 32 that change with each
 * use, all random base62 (190 bits each).
 * The first part finds the session; so whoever shows an old second part beside it had the token once, and nobody can end
 * the session of another by guessing.
 * Invariant: shown once; only the SHA-256 of each part is kept.
 */
import { sha256 } from "../crypto/digest.ts";
import { randomBase62 } from "./api-token.ts";

export const REFRESH_PREFIX = "ksr_";
const PART_CHARACTERS = 32;
const form = /^ksr_[0-9A-Za-z]{64}$/;

export interface RefreshParts {
  readonly family: string;
  /** SHA-256 of the family, what sessions are found by. */
  readonly familyHash: Buffer;
  /** SHA-256 of the second part, hexadecimal. */
  readonly useHash: string;
}

/** A fresh token: of a fresh session, or the next one of a family. */
export function makeRefreshToken(
  family: string = randomBase62(PART_CHARACTERS),
): RefreshParts & { readonly token: string } {
  const use = randomBase62(PART_CHARACTERS);
  return { token: REFRESH_PREFIX + family + use, ...partsOf(family, use) };
}

/** The parts of a token; undefined for what has not its form. */
export function parseRefreshToken(token: string): RefreshParts | undefined {
  if (!form.test(token)) return undefined;
  const at = REFRESH_PREFIX.length + PART_CHARACTERS;
  return partsOf(token.slice(REFRESH_PREFIX.length, at), token.slice(at));
}

function partsOf(family: string, use: string): RefreshParts {
  return { family, familyHash: sha256(family), useHash: sha256(use).toString("hex") };
}
