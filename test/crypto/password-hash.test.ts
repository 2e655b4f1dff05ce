/** Password hashes: their text, what it costs, and that it is the algorithm that others know. */
import assert from "node:assert/strict";
import { argon2Sync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  hashPassword,
  isOutdated,
  passwordHashRuns,
  verifyPassword,
} from "../../src/crypto/password-hash.ts";

const cheap = { memoryKib: 32, passes: 1, lanes: 1, bytes: 32 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const unpadded = (given: Uint8Array): string => Buffer.from(given).toString("base64").replace(/=+$/, "");

describe("a password's hash", () => {
  test("is verified by its password and by no other, whatever its cost, salt and length", async () => {
    const cost = fc.record({
      memoryKib: fc.integer({ min: 16, max: 64 }),
      passes: fc.integer({ min: 1, max: 3 }),
      lanes: fc.integer({ min: 1, max: 2 }),
      bytes: fc.integer({ min: 17, max: 64 }),
    });
    await fc.assert(
      fc.asyncProperty(cost, fc.string({ minLength: 1 }), async (given, password) => {
        const text = await hashPassword(bytes(password), given);
        assert.match(text, /^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]+$/);
        assert.equal(await verifyPassword(bytes(password), text), true);
        assert.equal(await verifyPassword(bytes(`${password}x`), text), false);
        assert.equal(isOutdated(text, given), false);
        for (const grown of ["memoryKib", "passes", "bytes"] as const)
          assert.equal(isOutdated(text, { ...given, [grown]: given[grown] + 1 }), true, grown);
        assert.equal(isOutdated(text, { ...given, passes: given.passes - 1 }), false);
      }),
      { numRuns: 30 },
    );
  });

  test("made by another implementation in the same format is verified", async () => {
    const nonce = Buffer.from("0123456789abcdef");
    const parameters = {
      message: bytes("a password"),
      nonce,
      parallelism: 2,
      tagLength: 24,
      memory: 64,
      passes: 3,
    };
    const hash = argon2Sync("argon2id", parameters);
    const text = `$argon2id$v=19$m=64,t=3,p=2$${unpadded(nonce)}$${unpadded(hash)}`;
    assert.equal(await verifyPassword(bytes("a password"), text), true);
    assert.equal(await verifyPassword(bytes("a Password"), text), false);
  });

  test("that is altered or asks for too much is no hash, costs one all the same, and is outdated", async () => {
    const good = await hashPassword(bytes("a password"), cheap);
    const [, , , , salt = "", hash = ""] = good.split("$");
    const of = (cost: string, version = "v=19", name = "argon2id"): string =>
      `$${name}$${version}$${cost}$${salt}$${hash}`;
    assert.equal(of("m=32,t=1,p=1"), good);
    for (const text of [
      "",
      ` ${good}`,
      `${good}=`,
      good.slice(0, -30),
      of("m=32,t=1,p=1", "v=16"),
      of("m=32,t=1,p=1", "v=19", "argon2i"),
      of("m=7,t=1,p=1"),
      of("m=32,t=0,p=1"),
      of("m=32,t=1,p=0"),
      of("m=1048577,t=1,p=1"),
      of("m=9999999,t=1,p=1"),
      of("m=32,t=65,p=1"),
      of("t=1,m=32,p=1"),
    ]) {
      const runs = passwordHashRuns();
      assert.equal(await verifyPassword(bytes("a password"), text), false, text);
      assert.equal(passwordHashRuns() - runs, 1, text);
      assert.equal(isOutdated(text, cheap), true, text);
    }
    const runs = passwordHashRuns();
    assert.equal(await verifyPassword(bytes("a password"), undefined), false);
    assert.equal(passwordHashRuns() - runs, 1);
  });

  test("is never the same twice, and its password is wiped", async () => {
    const [one, two] = [bytes("a password"), bytes("a password")];
    assert.notEqual(await hashPassword(one, cheap), await hashPassword(two, cheap));
    const checked = bytes("a password");
    await verifyPassword(checked, undefined);
    for (const used of [one, two, checked]) assert.ok(used.every((byte) => byte === 0));
  });
});
