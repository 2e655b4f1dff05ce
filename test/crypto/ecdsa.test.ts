import assert from "node:assert/strict";
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { importEcdsa, openEcdsa } from "../../src/crypto/ecdsa.ts";
import type { ImportedKey, Material } from "../../src/crypto/material.ts";
import { KeysteadError } from "../../src/errors.ts";
import { opensslIsMissing, opensslSign, opensslVerify } from "./openssl.ts";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = privateKey.export({ format: "jwk" });
const otherJwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
const spki = publicKey.export({ format: "der", type: "spki" });
const key = openEcdsa(importEcdsa({ format: "pkcs8", bytes: pkcs8 }, "P-256"), "P-256");

/** SubjectPublicKeyInfo up to the point: id-ecPublicKey, prime256v1 (RFC 5480 §2.1.1). */
const spkiHead = (pointBytes: number): Buffer =>
  Buffer.from(
    `30${hexByte(pointBytes + 24)}301306072a8648ce3d020106082a8648ce3d030107` +
      `03${hexByte(pointBytes + 1)}00`,
    "hex",
  );

describe("ECDSA signatures", () => {
  test("over a digest verify as over its message, and the other way round", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (message) => {
        const digest = sha256(message);
        const byDigest = await key.sign({ digest });
        const byMessage = await key.sign({ message });
        assert.ok(await key.verify({ message }, byDigest));
        assert.ok(await key.verify({ digest }, byMessage));
        assert.ok(await key.verify({ message }, byMessage));
        assert.ok(await key.verify({ digest }, byDigest));
      }),
      { numRuns: 25 },
    );
  });

  test("are refused over another message, by message and by digest", async () => {
    for (const signature of [
      await key.sign({ message: Buffer.from("one") }),
      await key.sign({ digest: sha256(Buffer.from("one")) }),
    ]) {
      assert.equal(await key.verify({ message: Buffer.from("two") }, signature), false);
      assert.equal(await key.verify({ digest: sha256(Buffer.from("two")) }, signature), false);
    }
  });

  test("are refused with any bit flipped, by message and by digest", async () => {
    const message = Buffer.from("message");
    const digest = sha256(message);
    const signature = Buffer.from(await key.sign({ message }));
    for (let bit = 0; bit < signature.length * 8; bit += 3) {
      const changed = Buffer.from(signature);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(await key.verify({ message }, changed), false, `bit ${bit}`);
      assert.equal(await key.verify({ digest }, changed), false, `bit ${bit}`);
    }
  });

  test("of no DER form are refused without an exception", async () => {
    const message = Buffer.from("message");
    for (const signature of [
      Buffer.alloc(0),
      Buffer.alloc(64, 1),
      Buffer.from("3006020101020101", "hex"),
      Buffer.from("3006020100020100", "hex"),
      Buffer.concat([Buffer.from(await key.sign({ message })), Buffer.alloc(1)]),
    ]) {
      assert.equal(await key.verify({ message }, signature), false);
      assert.equal(await key.verify({ digest: sha256(message) }, signature), false);
    }
  });

  test("are not made with a public key", async () => {
    const publicOnly = openEcdsa(importEcdsa({ format: "spki", bytes: spki }, "P-256"), "P-256");
    assert.equal(publicOnly.canSign, false);
    assert.throws(() => publicOnly.sign({ message: Buffer.from("m") }), { code: "key_public_only" });
    assert.throws(() => publicOnly.sign({ digest: sha256(Buffer.from("m")) }), {
      code: "key_public_only",
    });
  });

  test("of ours are good for OpenSSL", { skip: opensslIsMissing }, async () => {
    const message = Buffer.from("from here");
    assert.ok(opensslVerify(key.publicKeyDer(), message, await key.sign({ message })));
    assert.ok(opensslVerify(key.publicKeyDer(), message, await key.sign({ digest: sha256(message) })));
    assert.equal(opensslVerify(key.publicKeyDer(), Buffer.from("x"), await key.sign({ message })), false);
  });

  test("of OpenSSL are good for us", { skip: opensslIsMissing }, async () => {
    const message = Buffer.from("from there");
    const signature = opensslSign(pkcs8, message);
    assert.ok(await key.verify({ message }, signature));
    assert.ok(await key.verify({ digest: sha256(message) }, signature));
  });
});

describe("importing a P-256 key", () => {
  test("gives the same material from PKCS#8 and from JWK, private and public", () => {
    assert.deepEqual(
      importEcdsa({ format: "jwk", jwk: { ...jwk } }, "P-256"),
      importEcdsa({ format: "pkcs8", bytes: pkcs8 }, "P-256"),
    );
    const { kty, crv, x, y } = jwk;
    const publicFromJwk = importEcdsa({ format: "jwk", jwk: { kty, crv, x, y } }, "P-256");
    assert.equal(publicFromJwk.form, "spki");
    assert.deepEqual(publicFromJwk, importEcdsa({ format: "spki", bytes: spki }, "P-256"));
  });

  test("gives the same material from a compressed point", () => {
    const x = Buffer.from(jwk.x ?? "", "base64url");
    const isOdd = ((Buffer.from(jwk.y ?? "", "base64url")[31] ?? 0) & 1) === 1;
    const compressed = Buffer.concat([spkiHead(33), Buffer.of(isOdd ? 3 : 2), x]);
    assert.deepEqual(
      importEcdsa({ format: "spki", bytes: compressed }, "P-256"),
      importEcdsa({ format: "spki", bytes: spki }, "P-256"),
    );
  });

  for (const member of ["d", "x", "y"] as const) {
    test(`refuses a key whose ${member} is another key's`, () => {
      refuses({ format: "jwk", jwk: { ...jwk, [member]: otherJwk[member] } });
    });

    test(`refuses a JWK whose ${member} is not canonical base64url`, () => {
      const text = jwk[member] ?? "";
      for (const value of [`${text}=`, `${text}\n`, ` ${text}`, text.slice(0, -1), withSpareBits(text), 1]) {
        refuses({ format: "jwk", jwk: { ...jwk, [member]: value } });
      }
    });
  }

  test("refuses PKCS#8 with the public part of another key", () => {
    const other = createPrivateKey({ key: otherJwk, format: "jwk" }).export({ format: "der", type: "pkcs8" });
    refuses({ format: "pkcs8", bytes: Buffer.concat([pkcs8.subarray(0, -64), other.subarray(-64)]) });
  });

  test("refuses points that are not on the curve, and the point at infinity", () => {
    const zero = Buffer.alloc(32).toString("base64url");
    refuses({ format: "jwk", jwk: { kty: "EC", crv: "P-256", x: zero, y: zero } });
    refuses({ format: "jwk", jwk: { kty: "EC", crv: "P-256", x: jwk.x, y: otherJwk.y } });
    refuses({ format: "spki", bytes: Buffer.concat([spkiHead(1), Buffer.of(0)]) });
  });

  test("refuses the private number zero", () => {
    refuses({ format: "jwk", jwk: { ...jwk, d: Buffer.alloc(32).toString("base64url") } });
  });

  for (const namedCurve of ["P-384", "P-521"]) {
    test(`refuses a key on ${namedCurve}`, () => {
      const other = generateKeyPairSync("ec", { namedCurve });
      refuses({ format: "pkcs8", bytes: other.privateKey.export({ format: "der", type: "pkcs8" }) });
      refuses({ format: "spki", bytes: other.publicKey.export({ format: "der", type: "spki" }) });
      refuses({ format: "jwk", jwk: { ...other.privateKey.export({ format: "jwk" }) } });
    });
  }

  test("refuses bytes after the key, an Ed25519 key, raw bytes, and rubbish", () => {
    const ed25519 = generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" });
    for (const bytes of [
      Buffer.concat([pkcs8, Buffer.alloc(1)]),
      Buffer.concat([pkcs8, pkcs8]),
      pkcs8.subarray(0, -1),
      ed25519,
      Buffer.alloc(0),
      Buffer.from("rubbish"),
    ]) {
      refuses({ format: "pkcs8", bytes });
    }
    refuses({ format: "spki", bytes: Buffer.concat([spki, Buffer.alloc(1)]) });
    refuses({ format: "raw", bytes: Buffer.alloc(32, 1) });
  });
});

function sha256(message: Uint8Array): Buffer {
  return createHash("sha256").update(message).digest();
}

function refuses(imported: ImportedKey): void {
  const run = (): Material => importEcdsa(imported, "P-256");
  assert.throws(run, (error) => error instanceof KeysteadError && error.code === "invalid_key_material");
}

/** The same 32 bytes with one of the last character's two unused bits set (RFC 4648 §3.5). */
function withSpareBits(text: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return text.slice(0, -1) + alphabet.charAt(alphabet.indexOf(text.slice(-1)) + 1);
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
