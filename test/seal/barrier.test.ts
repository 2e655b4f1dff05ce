import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { secretBytes } from "../../src/bytes.ts";
import { KeysteadError } from "../../src/errors.ts";
import { Barrier, type BarrierKey, type RecordPlace } from "../../src/seal/barrier.ts";

const keyOf = (version: number, fill = version): BarrierKey => ({
  version,
  key: secretBytes(Buffer.alloc(32, fill)),
});
const barrier = new Barrier([keyOf(1)]);
const place: RecordPlace = { project: "p", kind: "key", id: "id", revision: 3, field: "record" };
const secret = Buffer.from("what is sealed");

describe("the barrier", () => {
  test("opens what it sealed, in its place, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.string({ unit: "binary" }), (bytes, id) => {
        const there = { ...place, id };
        assert.deepEqual(barrier.open(there, barrier.seal(there, bytes)), Buffer.from(bytes));
      }),
    );
  });

  test("opens JSON as it was", () => {
    const value = { a: [1, "ä", null], b: { c: true } };
    assert.deepEqual(barrier.openJson(place, barrier.sealJson(place, value)), value);
  });

  test("refuses a value with any one bit flipped, header included", () => {
    const sealed = Buffer.from(barrier.seal(place, secret));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      refuses(() => barrier.open(place, changed));
    }
  });

  test("refuses every truncation, and an extension", () => {
    const sealed = Buffer.from(barrier.seal(place, secret));
    for (let length = 0; length < sealed.length; length++) {
      refuses(() => barrier.open(place, sealed.subarray(0, length)));
    }
    refuses(() => barrier.open(place, Buffer.concat([sealed, Buffer.alloc(1)])));
  });

  for (const [field, other] of [
    ["project", "q"],
    ["kind", "secret"],
    ["id", "id2"],
    ["revision", 4],
    ["field", "material"],
  ] as const) {
    test(`refuses a value from a place with another ${field}`, () => {
      const sealed = barrier.seal({ ...place, [field]: other }, secret);
      refuses(() => barrier.open(place, sealed));
    });
  }

  test("tells any two places apart, also where their fields join to the same text", () => {
    const texts = fc.constantFrom("", "a", "b", "ab", "ba", "aab", "1", "11", "key", "secret");
    const anyPlace: fc.Arbitrary<RecordPlace> = fc.record({
      project: texts,
      kind: fc.constantFrom("key", "key-version", "secret"),
      id: texts,
      revision: fc.constantFrom(0, 1, 11, 111),
      field: texts,
    });
    fc.assert(
      fc.property(anyPlace, anyPlace, (made, asked) => {
        const sealed = barrier.seal(made, secret);
        if (JSON.stringify(made) === JSON.stringify(asked))
          assert.deepEqual(barrier.open(asked, sealed), secret);
        else refuses(() => barrier.open(asked, sealed));
      }),
      { numRuns: 1000 },
    );
  });

  test("refuses what a barrier with another key sealed", () => {
    const sealed = new Barrier([keyOf(1, 99)]).seal(place, secret);
    refuses(() => barrier.open(place, sealed));
  });

  test("seals with its latest key and opens with every key it has", () => {
    const rotated = new Barrier([keyOf(2), keyOf(10), keyOf(1)]);
    const sealed = Buffer.from(rotated.seal(place, secret));
    assert.equal(sealed.readUInt32BE(1), 10);
    assert.deepEqual(rotated.open(place, sealed), secret);
    assert.deepEqual(rotated.open(place, barrier.seal(place, secret)), secret);
    refuses(() => barrier.open(place, sealed));
  });

  test("never gives the same sealed bytes twice", () => {
    const seen = new Set(
      Array.from({ length: 1000 }, () => Buffer.from(barrier.seal(place, secret)).toString("hex")),
    );
    assert.equal(seen.size, 1000);
  });

  test("says nothing of the value or its place in its refusal, but for the kind", () => {
    const there = { ...place, project: "tenant-x", id: "object-y", field: "field-z" };
    assert.throws(
      () => barrier.open(there, barrier.seal(place, secret)),
      (error) => {
        assert.ok(error instanceof KeysteadError && error.cause instanceof Error);
        assert.match(error.cause.message, /kind key /);
        assert.doesNotMatch(`${error.message} ${error.cause.message}`, /tenant-x|object-y|field-z|sealed/);
        return true;
      },
    );
  });
});

function refuses(run: () => unknown): void {
  assert.throws(run, (error) => error instanceof KeysteadError && error.code === "internal_error");
}
