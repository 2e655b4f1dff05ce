import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { secretBytes } from "../../src/bytes.ts";
import { openXaes256Gcm } from "../../src/crypto/xaes-gcm.ts";
import { createStaticSeal, parseRootKey } from "../../src/seal/root-key.ts";

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Buffer.from(array));

describe("the root key's text", () => {
  test("is base64: and 32 bytes, or 64 hex digits of either case", () => {
    fc.assert(
      fc.property(bytes32, (key) => {
        const hex = key.toString("hex");
        for (const text of [`base64:${key.toString("base64")}`, hex, hex.toUpperCase()]) {
          assert.deepEqual(parseRootKey(text), { key, weakForm: false });
        }
      }),
    );
  });

  test("is 32 typed characters, which are called weak", () => {
    const text = "correct horse battery staple 42!";
    assert.deepEqual(parseRootKey(text), { key: Buffer.from(text), weakForm: true });
  });

  for (const [what, text] of [
    ["nothing", ""],
    ["31 characters", "x".repeat(31)],
    ["33 characters", "x".repeat(33)],
    ["base64 of 31 bytes", `base64:${Buffer.alloc(31).toString("base64")}`],
    ["base64 of 33 bytes", `base64:${Buffer.alloc(33).toString("base64")}`],
    ["base64 without its padding", `base64:${Buffer.alloc(32).toString("base64url")}`],
    ["base64 with a line end", `base64:${Buffer.alloc(32).toString("base64")}\n`],
    ["base64 with spare bits", `base64:${"A".repeat(42)}B=`],
    ["base64: and 25 characters, though they are 32", `base64:${"x".repeat(25)}`],
    ["63 hex digits", "a".repeat(63)],
    ["65 hex digits", "a".repeat(65)],
    ["64 characters that are no hex digits", `${"a".repeat(63)}g`],
    ["32 characters of more bytes", "é".repeat(32)],
  ] as const) {
    test(`is not ${what}`, () => {
      assert.equal(parseRootKey(text), undefined);
    });
  }
});

describe("the static seal", () => {
  const root = secretBytes(Buffer.alloc(32, 1));
  const seal = createStaticSeal(root);
  const barrierKey = secretBytes(Buffer.alloc(32, 7));

  test("unwraps what it wrapped, also after a restart with the same root", () => {
    const wrapped = seal.wrapBarrierKey(1, barrierKey);
    assert.deepEqual(seal.unwrapBarrierKey(1, wrapped), barrierKey);
    assert.deepEqual(
      createStaticSeal(secretBytes(Buffer.from(root))).unwrapBarrierKey(1, wrapped),
      barrierKey,
    );
  });

  test("keeps working when the root's bytes are wiped", () => {
    const passing = secretBytes(Buffer.alloc(32, 1));
    const other = createStaticSeal(passing);
    passing.fill(0);
    assert.deepEqual(other.unwrapBarrierKey(1, seal.wrapBarrierKey(1, barrierKey)), barrierKey);
  });

  test("refuses a root with any one bit changed", () => {
    const wrapped = seal.wrapBarrierKey(1, barrierKey);
    for (let bit = 0; bit < 256; bit++) {
      const changed = Buffer.from(root);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(createStaticSeal(secretBytes(changed)).unwrapBarrierKey(1, wrapped), undefined);
    }
  });

  test("refuses another version, any flipped bit and every truncation", () => {
    const wrapped = Buffer.from(seal.wrapBarrierKey(1, barrierKey));
    assert.equal(seal.unwrapBarrierKey(2, wrapped), undefined);
    assert.equal(seal.unwrapBarrierKey(11, wrapped), undefined);
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      const changed = Buffer.from(wrapped);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(seal.unwrapBarrierKey(1, changed), undefined, `bit ${bit}`);
    }
    for (let length = 0; length < wrapped.length; length++) {
      assert.equal(seal.unwrapBarrierKey(1, wrapped.subarray(0, length)), undefined);
    }
  });

  test("refuses a wrapped key of another length", () => {
    const short = seal.wrapBarrierKey(1, secretBytes(Buffer.alloc(16)));
    assert.equal(seal.unwrapBarrierKey(1, short), undefined);
  });

  test("never uses the root itself as an encryption key", () => {
    const wrapped = Buffer.from(seal.wrapBarrierKey(1, barrierKey));
    for (const aad of [undefined, Buffer.alloc(0), wrapContext(1)]) {
      assert.equal(openXaes256Gcm(root).decrypt(wrapped, aad), undefined);
    }
  });
});

function wrapContext(version: number): Buffer {
  const fields = ["keystead/seal/v1", "barrier-key", String(version)].map((text) => {
    const field = Buffer.alloc(4 + text.length);
    field.writeUInt32BE(text.length);
    field.write(text, 4);
    return field;
  });
  return Buffer.concat(fields);
}
