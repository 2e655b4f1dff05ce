import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { canonicalInput } from "../../src/service/canonical-input.ts";

const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const same = (a: unknown, b: unknown): boolean => canonicalInput(a).equals(canonicalInput(b));

describe("the canonical bytes of an input", () => {
  test("are equal exactly for inputs that say the same", () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        assert.equal(same(a, b), isDeepStrictEqual(a, b));
        assert.ok(same(a, structuredClone(a)));
      }),
    );
  });

  test("do not depend on the order of members, nor on members that are undefined", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), (members) => {
        const turned = Object.fromEntries(Object.entries(members).reverse());
        assert.ok(same(members, turned));
        assert.ok(same({ ...members, "not there": undefined }, members));
      }),
    );
  });

  test("tell bytes from text, and one cut of a text in two from another", () => {
    const bytes = Buffer.from("ab");
    assert.ok(!same({ value: bytes }, { value: "ab" }));
    assert.ok(!same({ value: Buffer.from("ac") }, { value: bytes }));
    assert.ok(same({ value: new Uint8Array(bytes) }, { value: bytes }));
    assert.ok(!same({ a: "xy", b: "z" }, { a: "x", b: "yz" }));
    assert.ok(!same(["a", ["b"]], [["a"], "b"]));
    assert.ok(!same(1, "1"));
    assert.ok(!same(undefined, null));
  });

  test("are not made of what has no fixed content", () => {
    for (const value of [new Map(), () => 0, Symbol("x"), new Date()]) {
      assert.throws(() => canonicalInput({ value }));
    }
  });
});
