import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nativeRoutes } from "../../../src/http/native/native-api.ts";

test("an answer that a row writes out by itself is what its schema and a serialiser would make of it", () => {
  const encrypt = nativeRoutes.find(({ operation }) => operation.id === "key.encrypt");
  assert.ok(encrypt?.outputText !== undefined);

  const bytes = fc.uint8Array({ minLength: 33, maxLength: 400 }).map((array) => Buffer.from(array));
  const version = fc.integer({ min: 1, max: 0xffff_ffff });
  fc.assert(
    fc.property(bytes, version, fc.constantFrom(12, 24), (ciphertext, number, nonceBytes) => {
      const encrypted = { ciphertext, version: number, nonceBytes };
      const text = encrypt.outputText?.(encrypted, undefined) ?? "";
      assert.equal(text, JSON.stringify(encrypt.output(encrypted, undefined)));
      encrypt.response?.parse(JSON.parse(text));
    }),
  );
  const withText = nativeRoutes.filter((row) => row.outputText !== undefined);
  const others = withText.filter(({ operation }) => !operation.id.endsWith("_batch"));
  assert.deepEqual([...new Set(others.map(({ operation }) => operation.id))], ["key.encrypt"]);
});
