/**
 * The form of Keystead's API tokens: `kst_` ‖ 32 random characters ‖ 6 characters of checksum, all base62.
 * The prefix lets secret scanners find a leaked token; the checksum (CRC-32, RFC 1952 §8, big-endian in base62 over what
 * stands before it) lets them and us tell a real one without a database. 32 base62 characters hold 190 bits.
 * Invariant: a token is shown once, when it is made; only its SHA-256 is kept.
 */
import { crc32 } from "node:zlib";
import { randomSecret } from "../crypto/random.ts";

export const TOKEN_PREFIX = "kst_";
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARACTERS = 32;
const CHECKSUM_CHARACTERS = 6;
export const TOKEN_CHARACTERS = TOKEN_PREFIX.length + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS;
/** The largest multiple of 62 that a byte holds: bytes from it on are drawn again, so that no character is likelier. */
const UNBIASED_LIMIT = 248;

/** A fresh token. */
export function makeApiToken(): string {
  const body = TOKEN_PREFIX + randomBase62(RANDOM_CHARACTERS);
  return body + checksum(body);
}

/** So many random characters, each as likely as the others. */
export function randomBase62(characters: number): string {
  let random = "";
  while (random.length < characters) {
    for (const byte of randomSecret(64)) {
      if (byte < UNBIASED_LIMIT && random.length < characters) random += ALPHABET.charAt(byte % 62);
    }
  }
  return random;
}

/** Whether a text has the form of a token, checksum included. Says nothing of whether it is a valid one. */
export function looksLikeApiToken(text: string): boolean {
  if (text.length !== TOKEN_CHARACTERS || !text.startsWith(TOKEN_PREFIX)) return false;
  const body = text.slice(0, -CHECKSUM_CHARACTERS);
  return (
    /^[0-9A-Za-z]+$/.test(body.slice(TOKEN_PREFIX.length)) &&
    checksum(body) === text.slice(-CHECKSUM_CHARACTERS)
  );
}

function checksum(body: string): string {
  let value = crc32(body);
  let text = "";
  for (let i = 0; i < CHECKSUM_CHARACTERS; i++) {
    text = ALPHABET.charAt(value % 62) + text;
    value = Math.floor(value / 62);
  }
  return text;
}
