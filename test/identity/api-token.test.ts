import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { looksLikeApiToken, makeApiToken, TOKEN_CHARACTERS } from "../../src/identity/api-token.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

describe("API tokens", () => {
  test("are kst_, 32 base62 characters, and a checksum of 6", () => {
    for (let i = 0; i < 200; i++) {
      const token = makeApiToken();
      assert.match(token, /^kst_[0-9A-Za-z]{38}$/);
      assert.equal(token.length, TOKEN_CHARACTERS);
      assert.ok(looksLikeApiToken(token));
    }
  });

  test("end in the CRC-32 of the rest, base62, most significant character first", () => {
    for (let i = 0; i < 200; i++) {
      const token = makeApiToken();
      const value = Array.from(token.slice(-6)).reduce(
        (sum, character) => sum * 62 + ALPHABET.indexOf(character),
        0,
      );
      assert.equal(value, crc32(token.slice(0, -6)));
    }
  });

  test("are never the same twice in 20,000", () => {
    assert.equal(new Set(Array.from({ length: 20_000 }, makeApiToken)).size, 20_000);
  });

  test("use every character of the alphabet alike, at every place", () => {
    // 62 characters, 3,200 draws at each of 32 places: a character that is never or twice as often drawn would show.
    const tokens = Array.from({ length: 3200 }, makeApiToken);
    const counts = new Map<string, number>();
    for (const token of tokens) {
      for (const character of token.slice(4, 36)) counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    assert.equal(counts.size, 62);
    const expected = (3200 * 32) / 62;
    // Eight standard deviations: a fair generator fails this once in 10^13 runs.
    const tolerance = 8 * Math.sqrt(expected);
    for (const [character, count] of counts) {
      assert.ok(Math.abs(count - expected) < tolerance, `${character}: ${count} of about ${expected}`);
    }
    for (let place = 4; place < 36; place++) {
      assert.equal(new Set(tokens.map((token) => token.charAt(place))).size, 62, `place ${place}`);
    }
  });

  test("with any one character changed do not look like tokens", () => {
    const token = makeApiToken();
    fc.assert(
      fc.property(
        fc.nat(TOKEN_CHARACTERS - 1),
        fc.constantFrom(...Array.from(ALPHABET), "_", "-", "é", " "),
        (at, character) => {
          fc.pre(token.charAt(at) !== character);
          assert.equal(looksLikeApiToken(token.slice(0, at) + character + token.slice(at + 1)), false);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("cut, extended or in other characters do not look like tokens", () => {
    const token = makeApiToken();
    const strange = `kst_${"é".repeat(32)}`;
    for (const text of ["", "kst_", token.slice(0, -1), `${token}0`, ` ${token}`, `${token}\n`, strange]) {
      assert.equal(looksLikeApiToken(text), false);
    }
    fc.assert(fc.property(fc.string(), (text) => assert.equal(looksLikeApiToken(text), false)));
  });
});
