import assert from "node:assert/strict";
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { importRsa, openRsa } from "../../src/crypto/rsa.ts";
import type { Material } from "../../src/crypto/material.ts";
import { KeysteadError } from "../../src/errors.ts";
import { opensslIsMissing, opensslSign, opensslVerify } from "./openssl.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = privateKey.export({ format: "jwk" });
const otherJwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
const spki = publicKey.export({ format: "der", type: "spki" });
const key = openRsa(importRsa({ format: "pkcs8", bytes: pkcs8 }, 2048));

describe("RSA signatures", () => {
  test("over a digest and over its message are the same bytes, and each verifies as the other", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (message) => {
        const digest = sha256(message);
        const byDigest = key.signDigest(digest);
        const byMessage = key.signMessage(message);
        assert.deepEqual(Buffer.from(byDigest), Buffer.from(byMessage));
        assert.ok(key.verifyMessage(message, byDigest));
        assert.ok(key.verifyDigest(digest, byMessage));
      }),
      { numRuns: 25 },
    );
  });

  test("are refused over another message, by message and by digest", () => {
    const signature = key.signMessage(Buffer.from("one"));
    assert.equal(key.verifyMessage(Buffer.from("two"), signature), false);
    assert.equal(key.verifyDigest(sha256(Buffer.from("two")), signature), false);
  });

  test("are refused with any bit flipped, by message and by digest", () => {
    const message = Buffer.from("message");
    const signature = Buffer.from(key.signMessage(message));
    for (let bit = 0; bit < 2048; bit += 31) {
      const changed = Buffer.from(signature);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(key.verifyMessage(message, changed), false, `bit ${bit}`);
      assert.equal(key.verifyDigest(sha256(message), changed), false, `bit ${bit}`);
    }
  });

  test("are refused without their leading zero byte or with one more, by message and by digest", () => {
    const message = messageWithLeadingZero();
    const signature = Buffer.from(key.signMessage(message));
    assert.ok(key.verifyDigest(sha256(message), signature));
    for (const changed of [signature.subarray(1), Buffer.concat([Buffer.alloc(1), signature])]) {
      assert.equal(key.verifyMessage(message, changed), false);
      assert.equal(key.verifyDigest(sha256(message), changed), false);
    }
  });

  test("of any length but the modulus's are refused without an exception", () => {
    for (const length of [0, 1, 255, 257, 4096]) {
      assert.equal(key.verifyMessage(Buffer.from("m"), Buffer.alloc(length, 1)), false);
      assert.equal(key.verifyDigest(sha256(Buffer.from("m")), Buffer.alloc(length, 1)), false);
    }
  });

  test("are not made with a public key", () => {
    const publicOnly = openRsa(importRsa({ format: "spki", bytes: spki }, 2048));
    assert.equal(publicOnly.canSign, false);
    for (const sign of [
      (): unknown => publicOnly.signMessage(Buffer.from("m")),
      (): unknown => publicOnly.signDigest(sha256(Buffer.from("m"))),
    ]) {
      assert.throws(sign, { code: "key_public_only" });
    }
  });

  test("of ours are good for OpenSSL", { skip: opensslIsMissing }, () => {
    const message = Buffer.from("from here");
    assert.ok(opensslVerify(key.publicKeyDer(), message, key.signMessage(message)));
    assert.ok(opensslVerify(key.publicKeyDer(), message, key.signDigest(sha256(message))));
    assert.equal(opensslVerify(key.publicKeyDer(), Buffer.from("x"), key.signMessage(message)), false);
  });

  test("of OpenSSL are good for us", { skip: opensslIsMissing }, () => {
    const message = Buffer.from("from there");
    const signature = opensslSign(pkcs8, message);
    assert.ok(key.verifyMessage(message, signature));
    assert.ok(key.verifyDigest(sha256(message), signature));
  });
});

describe("importing an RSA key", () => {
  test("gives the same material from PKCS#8 and from JWK, private and public", () => {
    const fromJwk = importRsa({ format: "jwk", jwk: { ...jwk } }, 2048);
    assert.deepEqual(fromJwk, importRsa({ format: "pkcs8", bytes: pkcs8 }, 2048));
    const { kty, n, e } = jwk;
    const publicFromJwk = importRsa({ format: "jwk", jwk: { kty, n, e } }, 2048);
    assert.equal(publicFromJwk.form, "spki");
    assert.deepEqual(publicFromJwk, importRsa({ format: "spki", bytes: spki }, 2048));
  });

  for (const bits of [1024, 2040, 3072]) {
    test(`refuses a modulus of ${bits} bits`, () => {
      const bytes = generateKeyPairSync("rsa", { modulusLength: bits }).privateKey.export({
        format: "der",
        type: "pkcs8",
      });
      refuses(() => importRsa({ format: "pkcs8", bytes }, 2048));
    });
  }

  test("refuses the public exponent 3, private and public", () => {
    const small = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 });
    refuses(() =>
      importRsa({ format: "pkcs8", bytes: small.privateKey.export({ format: "der", type: "pkcs8" }) }, 2048),
    );
    refuses(() =>
      importRsa({ format: "spki", bytes: small.publicKey.export({ format: "der", type: "spki" }) }, 2048),
    );
  });

  for (const [what, exponent] of [
    ["1", "01"],
    ["even", "010002"],
    ["longer than 33 bits", "02000000000001"],
  ] as const) {
    test(`refuses a public exponent that is ${what}`, () => {
      const e = Buffer.from(exponent, "hex").toString("base64url");
      refuses(() => importRsa({ format: "jwk", jwk: { kty: "RSA", n: jwk.n, e } }, 2048));
    });
  }

  test("refuses an even modulus", () => {
    const n = Buffer.from(jwk.n ?? "", "base64url");
    n[255] = (n[255] ?? 0) & 0xfe;
    refuses(() =>
      importRsa({ format: "jwk", jwk: { kty: "RSA", n: n.toString("base64url"), e: jwk.e } }, 2048),
    );
  });

  for (const member of ["n", "d", "p", "q", "dp", "dq", "qi"] as const) {
    test(`refuses a private key whose ${member} is another key's`, () => {
      refuses(() => importRsa({ format: "jwk", jwk: { ...jwk, [member]: otherJwk[member] } }, 2048));
    });
  }

  test("refuses the private numbers of one key with the modulus of another", () => {
    refuses(() => importRsa({ format: "jwk", jwk: { ...otherJwk, n: jwk.n, e: jwk.e } }, 2048));
  });

  test("refuses a private key without its primes", () => {
    const { kty, n, e, d } = jwk;
    refuses(() => importRsa({ format: "jwk", jwk: { kty, n, e, d } }, 2048));
  });

  for (const member of ["n", "e", "d", "p", "q", "dp", "dq", "qi"] as const) {
    test(`refuses a JWK whose ${member} is not canonical base64url`, () => {
      for (const changed of nonCanonical(jwk, member)) refuses(() => importRsa(changed, 2048));
    });
  }

  test("refuses bytes after the key, an EC key, raw bytes, and rubbish", () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    for (const bytes of [
      Buffer.concat([pkcs8, Buffer.alloc(1)]),
      Buffer.concat([pkcs8, pkcs8]),
      pkcs8.subarray(0, -1),
      ec.export({ format: "der", type: "pkcs8" }),
      Buffer.alloc(0),
      Buffer.from("rubbish"),
    ]) {
      refuses(() => importRsa({ format: "pkcs8", bytes }, 2048));
    }
    refuses(() => importRsa({ format: "spki", bytes: Buffer.concat([spki, Buffer.alloc(1)]) }, 2048));
    refuses(() => importRsa({ format: "raw", bytes: Buffer.alloc(256, 1) }, 2048));
    refuses(() => importRsa({ format: "pkcs8", bytes: spki }, 2048));
    refuses(() => importRsa({ format: "spki", bytes: pkcs8 }, 2048));
  });

  test("writes material that opens as the same key", () => {
    const material = importRsa({ format: "jwk", jwk: { ...jwk } }, 2048);
    assert.ok(createPrivateKey({ key: material.bytes, format: "der", type: "pkcs8" }).equals(privateKey));
  });
});

function sha256(message: Uint8Array): Buffer {
  return createHash("sha256").update(message).digest();
}

/** One message in 256 has a signature that begins with a zero byte. */
function messageWithLeadingZero(): Buffer {
  for (let i = 0; ; i++) {
    const message = Buffer.from(`message ${i}`);
    if (key.signMessage(message)[0] === 0) return message;
  }
}

function refuses(run: () => Material): void {
  assert.throws(run, (error) => error instanceof KeysteadError && error.code === "invalid_key_material");
}

/** The same number spelt with padding, in the other alphabet's characters, with white space, and one character short. */
function nonCanonical(
  whole: JsonWebKey,
  member: "n" | "e" | "d" | "p" | "q" | "dp" | "dq" | "qi",
): { format: "jwk"; jwk: Record<string, unknown> }[] {
  const text = whole[member] ?? "";
  return [`${text}=`, `${text}==`, `${text}\n`, ` ${text}`, `${text}+`, `${text}A===`, 65537].map(
    (value) => ({
      format: "jwk",
      jwk: { ...whole, [member]: value },
    }),
  );
}
