import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeBase64,
  decodeBase64Url,
  decodeHex,
  decodeUtf8,
  equalConstantTime,
  lengthPrefixed,
  wipe,
} from "../src/bytes.ts";

const bytes = fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array));
/** Text that is likely to be nearly right: the alphabets of all encodings, padding, white space and strangers. */
const nearlyEncoded = fc.string({
  maxLength: 40,
  unit: fc.constantFrom(
    ...Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_==== \n\tſKé\u0000"),
  ),
});

const encodings = [
  {
    name: "base64",
    alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    encode: (value: Buffer) => value.toString("base64"),
    decode: decodeBase64,
  },
  {
    name: "base64url",
    alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    encode: (value: Buffer) => value.toString("base64url"),
    decode: decodeBase64Url,
  },
];

for (const { name, alphabet, encode, decode } of encodings) {
  describe(name, () => {
    test("decodes what encodes, to the same bytes", () => {
      fc.assert(fc.property(bytes, (value) => assert.deepEqual(decode(encode(value)), value)));
    });

    test("accepts one text only for each byte string", () => {
      fc.assert(
        fc.property(fc.oneof(nearlyEncoded, fc.string()), (text) => {
          const decoded = decode(text);
          if (decoded !== undefined) assert.equal(encode(decoded), text);
        }),
        { numRuns: 2000 },
      );
    });

    test("refuses a foreign character at any place", () => {
      const strangers = [" ", "\n", "\r\n", "\t", "=", ".", "\u0000", "é", name === "base64" ? "-" : "+"];
      fc.assert(
        fc.property(bytes, fc.nat(60), fc.constantFrom(...strangers), (value, at, stranger) => {
          const text = encode(value);
          const place = Math.min(at, text.length);
          assert.equal(decode(text.slice(0, place) + stranger + text.slice(place)), undefined);
        }),
      );
    });

    test("refuses the spare bits of the last character", () => {
      fc.assert(
        fc.property(
          bytes.filter((value) => value.length % 3 !== 0),
          (value) => {
            const text = encode(value);
            const last = text.replace(/=+$/, "").length - 1;
            const spare = value.length % 3 === 1 ? 15 : 3;
            for (let bits = 1; bits <= spare; bits++) {
              const changed = alphabet.charAt(alphabet.indexOf(text.charAt(last)) + bits);
              assert.equal(decode(text.slice(0, last) + changed + text.slice(last + 1)), undefined);
            }
          },
        ),
      );
    });

    test("refuses the wrong padding", () => {
      fc.assert(
        fc.property(bytes, (value) => {
          const text = encode(value);
          const bare = text.replace(/=+$/, "");
          for (const padding of ["", "=", "==", "===", "===="]) {
            if (bare + padding !== text) assert.equal(decode(bare + padding), undefined);
          }
        }),
      );
    });
  });
}

test("base64 and base64url refuse each other's alphabet", () => {
  const value = Buffer.from("fbff", "hex");
  assert.equal(decodeBase64("-_8="), undefined);
  assert.equal(decodeBase64Url("+/8"), undefined);
  assert.deepEqual(decodeBase64("+/8="), value);
  assert.deepEqual(decodeBase64Url("-_8"), value);
});

describe("hex", () => {
  test("decodes what encodes, in either letter case", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        assert.deepEqual(decodeHex(value.toString("hex")), value);
        assert.deepEqual(decodeHex(value.toString("hex").toUpperCase()), value);
      }),
    );
  });

  test("accepts one text only for each byte string, but for letter case", () => {
    const nearlyHex = fc.string({
      maxLength: 20,
      unit: fc.constantFrom(...Array.from("0123456789abcdefABCDEFgG x\nſK")),
    });
    fc.assert(
      fc.property(fc.oneof(nearlyHex, fc.string()), (text) => {
        const decoded = decodeHex(text);
        if (decoded !== undefined) assert.equal(decoded.toString("hex"), text.toLowerCase());
      }),
      { numRuns: 2000 },
    );
  });

  test("refuses an odd number of digits, and a foreign character at any place", () => {
    fc.assert(
      fc.property(
        bytes,
        fc.nat(100),
        fc.constantFrom("0", "g", " ", "\n", "0x", "é", ":"),
        (value, at, extra) => {
          const text = value.toString("hex");
          const place = Math.min(at, text.length);
          assert.equal(decodeHex(text.slice(0, place) + extra + text.slice(place)), undefined);
        },
      ),
    );
  });
});

describe("UTF-8", () => {
  test("decodes what encodes, a byte order mark included", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        assert.equal(decodeUtf8(Buffer.from(text, "utf8")), text);
        assert.equal(decodeUtf8(Buffer.from(`\ufeff${text}`, "utf8")), `\ufeff${text}`);
      }),
    );
  });

  test("accepts one byte string only for each text", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        const text = decodeUtf8(value);
        if (text !== undefined) assert.deepEqual(Buffer.from(text, "utf8"), value);
      }),
    );
  });

  for (const [what, hex] of [
    ["an overlong form", "c080"],
    ["a surrogate", "eda080"],
    ["a code point beyond the last", "f4908080"],
    ["a cut sequence", "e282"],
    ["a lone continuation byte", "80"],
    ["a byte that never occurs", "ff"],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.equal(decodeUtf8(Buffer.from(`61${hex}62`, "hex")), undefined);
      assert.equal(decodeUtf8(Buffer.from(hex, "hex")), undefined);
    });
  }
});

describe("lengthPrefixed", () => {
  const fields = fc.array(fc.oneof(bytes, fc.string({ unit: "binary", maxLength: 12 })), { maxLength: 6 });

  test("can be read back field by field, so that no two lists give the same bytes", () => {
    fc.assert(
      fc.property(fields, (list) => {
        const expected = list.map((field) =>
          typeof field === "string" ? Buffer.from(field, "utf8") : field,
        );
        assert.deepEqual(readFields(lengthPrefixed(...list)), expected);
      }),
    );
  });

  test("tells lists apart that join to the same text", () => {
    const lists = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["a", "b", "c"]];
    assert.equal(new Set(lists.map((list) => lengthPrefixed(...list).toString("hex"))).size, lists.length);
  });
});

describe("secret bytes", () => {
  test("are equal exactly where every byte is", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        assert.equal(equalConstantTime(a, b), a.equals(b));
        assert.ok(equalConstantTime(a, Buffer.from(a)));
      }),
    );
  });

  test("are zero after a wipe", () => {
    const [a, b] = [Buffer.from("secret"), Buffer.from("another")];
    wipe(a, b);
    assert.deepEqual([a, b], [Buffer.alloc(6), Buffer.alloc(7)]);
  });
});

function readFields(joined: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  for (let at = 0; at < joined.length;) {
    const length = joined.readUInt32BE(at);
    fields.push(joined.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return fields;
}
