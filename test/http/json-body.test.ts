import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { KeysteadError, type ErrorCode } from "../../src/errors.ts";
import { DEPTH_MAX, isJsonMediaType, isTooDeep, parseJsonBody } from "../../src/http/json-body.ts";

/** Strings that look like nesting, or like the ends of strings. */
const tricky = fc.string({
  unit: fc.constantFrom("[", "]", "{", "}", '"', "\\", "\\\\", '\\"', "a", "ü", "😀"),
});
const leaf = fc.oneof(tricky, fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
const value = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { depthSize: "max", maxDepth: 22 },
    leaf,
    fc.array(tie("node"), { maxLength: 2 }),
    fc.dictionary(tricky, tie("node"), { maxKeys: 2, noNullPrototype: true }),
  ),
})).node;

describe("the depth of JSON", () => {
  test("is what a recursive walk finds, whatever stands in strings and names", () => {
    let [deep, flat] = [0, 0];
    fc.assert(
      fc.property(value, fc.nat(20), (inner, extra) => {
        const nested = Array.from({ length: extra }).reduce<unknown>(
          (inside, _, i) => (i % 2 === 0 ? [inside] : { a: inside }),
          inner,
        );
        const expected = depthOf(nested) > DEPTH_MAX;
        if (expected) deep++;
        else flat++;
        assert.equal(isTooDeep(JSON.stringify(nested)), expected);
        assert.equal(isTooDeep(JSON.stringify(nested, null, 2)), expected);
      }),
      { numRuns: 1000 },
    );
    assert.ok(deep > 50 && flat > 50, `the property saw ${deep} deep values and ${flat} others`);
  });

  test(`may be ${DEPTH_MAX} and not more`, () => {
    assert.equal(isTooDeep("[".repeat(DEPTH_MAX) + "]".repeat(DEPTH_MAX)), false);
    assert.equal(isTooDeep("[".repeat(DEPTH_MAX + 1) + "]".repeat(DEPTH_MAX + 1)), true);
    assert.equal(isTooDeep('{"a":'.repeat(DEPTH_MAX + 1)), true);
    assert.equal(isTooDeep(`[${"[],".repeat(1000)}[]]`), false);
  });

  test("is told without recursion, and in time linear in the text", () => {
    for (const text of [
      "[".repeat(4_000_000),
      `["${"[".repeat(4_000_000)}`,
      `["${"\\".repeat(4_000_000)}`,
      `["${'\\"'.repeat(2_000_000)}`,
      '"",'.repeat(1_300_000),
      "]".repeat(4_000_000),
    ]) {
      const started = performance.now();
      isTooDeep(text);
      assert.ok(performance.now() - started < 2000);
    }
  });
});

describe("a JSON body", () => {
  test("is parsed to what was sent", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (sent) => {
        // -0 has no JSON.
        assert.deepEqual(parseJsonBody(Buffer.from(JSON.stringify(sent))), JSON.parse(JSON.stringify(sent)));
      }),
    );
  });

  test("that is empty holds an empty object", () => {
    assert.deepEqual(parseJsonBody(Buffer.alloc(0)), {});
  });

  test("is refused beyond the depth, short or long, and never by a crash", () => {
    const long = " ".repeat(2000);
    for (const depth of [DEPTH_MAX + 1, 100_000]) {
      refuses("too_deep", long + "[".repeat(depth) + "]".repeat(depth));
      refuses("too_deep", `${long}${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`);
      refuses("too_deep", long + "[".repeat(depth));
    }
    // Too short to hurt: parsed, and left to the schema.
    assert.ok(Array.isArray(parseJsonBody(Buffer.from("[".repeat(500) + "]".repeat(500)))));
  });

  for (const [what, bytes] of [
    ["trailing data", '{"a":1} x'],
    ["two values", "{}{}"],
    ["a trailing comma", '{"a":1,}'],
    ["a comment", "{} // no"],
    ["single quotes", "{'a':1}"],
    ["NaN", "NaN"],
    ["white space only", "  "],
    ["a byte order mark", Buffer.from("efbbbf7b7d", "hex")],
    ["UTF-16", Buffer.from("{}", "utf16le")],
    ["ill-formed UTF-8 in a string", Buffer.from('{"a":"\u00ff"}', "latin1")],
    [
      "an overlong form in a string",
      Buffer.concat([Buffer.from('"'), Buffer.of(0xc0, 0xaf), Buffer.from('"')]),
    ],
    [
      "a surrogate in UTF-8",
      Buffer.concat([Buffer.from('"'), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('"')]),
    ],
    ["a bare control character", '"a\nb"'],
  ] as const) {
    test(`is refused with ${what}`, () => {
      refuses("invalid_json", bytes);
    });
  }

  test("is never echoed in its refusal", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        try {
          parseJsonBody(Buffer.from(`{"canary-7f3a": ${text}`));
        } catch (error) {
          assert.ok(error instanceof KeysteadError);
          assert.equal(error.cause, undefined);
          assert.doesNotMatch(JSON.stringify([error.message, error.detail, error.field]), /canary/);
        }
      }),
    );
  });
});

describe("the media type of JSON", () => {
  for (const type of [
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
  ]) {
    test(`is ${type}`, () => {
      assert.ok(isJsonMediaType(type));
    });
  }

  for (const type of [
    undefined,
    "",
    "text/plain",
    "application/jsonp",
    "application/json; charset=latin1",
    "application/json, text/plain",
    "text/plain; application/json",
    "application/x-www-form-urlencoded",
    "application/json; a=b",
    "xapplication/json",
  ]) {
    test(`is not ${String(type)}`, () => {
      assert.equal(isJsonMediaType(type), false);
    });
  }
});

function depthOf(node: unknown): number {
  if (typeof node !== "object" || node === null) return 0;
  return 1 + Math.max(0, ...Object.values(node).map(depthOf));
}

function refuses(code: ErrorCode, body: string | Uint8Array): void {
  assert.throws(
    () => parseJsonBody(Buffer.from(body)),
    (error) => error instanceof KeysteadError && error.code === code,
  );
}
