import assert from "node:assert/strict";
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { openRsaSigning } from "../../src/crypto/rsa-signature.ts";
import { importRsa } from "../../src/crypto/rsa.ts";
import type { Material } from "../../src/crypto/material.ts";
import { KeysteadError } from "../../src/errors.ts";
import { opensslIsMissing, opensslSign, opensslVerify } from "./openssl.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = privateKey.export({ format: "jwk" });
const otherJwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
const spki = publicKey.export({ format: "der", type: "spki" });
const key = openRsaSigning(await importRsa({ format: "pkcs8", bytes: pkcs8 }, 2048));

describe("RSA signatures", () => {
  test("over a digest and over its message are the same bytes, and each verifies as the other", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (message) => {
        const digest = sha256(message);
        const byDigest = await key.sign({ digest });
        const byMessage = await key.sign({ message });
        assert.deepEqual(Buffer.from(byDigest), Buffer.from(byMessage));
        assert.ok(await key.verify({ message }, byDigest));
        assert.ok(await key.verify({ digest }, byMessage));
      }),
      { numRuns: 25 },
    );
  });

  test("are refused over another message, by message and by digest", async () => {
    const signature = await key.sign({ message: Buffer.from("one") });
    assert.equal(await key.verify({ message: Buffer.from("two") }, signature), false);
    assert.equal(await key.verify({ digest: sha256(Buffer.from("two")) }, signature), false);
  });

  test("are refused with any bit flipped, by message and by digest", async () => {
    const message = Buffer.from("message");
    const signature = Buffer.from(await key.sign({ message }));
    for (let bit = 0; bit < 2048; bit += 31) {
      const changed = Buffer.from(signature);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(await key.verify({ message }, changed), false, `bit ${bit}`);
      assert.equal(await key.verify({ digest: sha256(message) }, changed), false, `bit ${bit}`);
    }
  });

  test("are refused without their leading zero byte or with one more, by message and by digest", async () => {
    const message = await messageWithLeadingZero();
    const signature = Buffer.from(await key.sign({ message }));
    assert.ok(await key.verify({ digest: sha256(message) }, signature));
    for (const changed of [signature.subarray(1), Buffer.concat([Buffer.alloc(1), signature])]) {
      assert.equal(await key.verify({ message }, changed), false);
      assert.equal(await key.verify({ digest: sha256(message) }, changed), false);
    }
  });

  test("of any length but the modulus's are refused without an exception", async () => {
    for (const length of [0, 1, 255, 257, 4096]) {
      assert.equal(await key.verify({ message: Buffer.from("m") }, Buffer.alloc(length, 1)), false);
      assert.equal(await key.verify({ digest: sha256(Buffer.from("m")) }, Buffer.alloc(length, 1)), false);
    }
  });

  test("are not made with a public key", async () => {
    const publicOnly = openRsaSigning(await importRsa({ format: "spki", bytes: spki }, 2048));
    assert.equal(publicOnly.canSign, false);
    for (const sign of [
      (): unknown => publicOnly.sign({ message: Buffer.from("m") }),
      (): unknown => publicOnly.sign({ digest: sha256(Buffer.from("m")) }),
    ]) {
      assert.throws(sign, { code: "key_public_only" });
    }
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

describe("importing an RSA key", () => {
  test("gives the same material from PKCS#8 and from JWK, private and public", async () => {
    const fromJwk = await importRsa({ format: "jwk", jwk: { ...jwk } }, 2048);
    assert.deepEqual(fromJwk, await importRsa({ format: "pkcs8", bytes: pkcs8 }, 2048));
    const { kty, n, e } = jwk;
    const publicFromJwk = await importRsa({ format: "jwk", jwk: { kty, n, e } }, 2048);
    assert.equal(publicFromJwk.form, "spki");
    assert.deepEqual(publicFromJwk, await importRsa({ format: "spki", bytes: spki }, 2048));
  });

  for (const bits of [1024, 2040, 3072]) {
    test(`refuses a modulus of ${bits} bits`, async () => {
      const bytes = generateKeyPairSync("rsa", { modulusLength: bits }).privateKey.export({
        format: "der",
        type: "pkcs8",
      });
      await refuses(() => importRsa({ format: "pkcs8", bytes }, 2048));
    });
  }

  test("refuses the public exponent 3, private and public", async () => {
    const small = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 });
    await refuses(() =>
      importRsa({ format: "pkcs8", bytes: small.privateKey.export({ format: "der", type: "pkcs8" }) }, 2048),
    );
    await refuses(() =>
      importRsa({ format: "spki", bytes: small.publicKey.export({ format: "der", type: "spki" }) }, 2048),
    );
  });

  for (const [what, exponent] of [
    ["1", "01"],
    ["even", "010002"],
    ["longer than 33 bits", "02000000000001"],
  ] as const) {
    test(`refuses a public exponent that is ${what}`, async () => {
      const e = Buffer.from(exponent, "hex").toString("base64url");
      await refuses(() => importRsa({ format: "jwk", jwk: { kty: "RSA", n: jwk.n, e } }, 2048));
    });
  }

  test("refuses an even modulus", async () => {
    const n = Buffer.from(jwk.n ?? "", "base64url");
    n[255] = (n[255] ?? 0) & 0xfe;
    await refuses(() =>
      importRsa({ format: "jwk", jwk: { kty: "RSA", n: n.toString("base64url"), e: jwk.e } }, 2048),
    );
  });

  for (const member of ["n", "d", "p", "q", "dp", "dq", "qi"] as const) {
    test(`refuses a private key whose ${member} is another key's`, async () => {
      await refuses(() => importRsa({ format: "jwk", jwk: { ...jwk, [member]: otherJwk[member] } }, 2048));
    });
  }

  test("refuses the private numbers of one key with the modulus of another", async () => {
    await refuses(() => importRsa({ format: "jwk", jwk: { ...otherJwk, n: jwk.n, e: jwk.e } }, 2048));
  });

  test("refuses a private key without its primes", async () => {
    const { kty, n, e, d } = jwk;
    await refuses(() => importRsa({ format: "jwk", jwk: { kty, n, e, d } }, 2048));
  });

  for (const member of ["n", "e", "d", "p", "q", "dp", "dq", "qi"] as const) {
    test(`refuses a JWK whose ${member} is not canonical base64url`, async () => {
      for (const changed of nonCanonical(jwk, member)) await refuses(() => importRsa(changed, 2048));
    });
  }

  test("refuses bytes after the key, an EC key, raw bytes, and rubbish", async () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    for (const bytes of [
      Buffer.concat([pkcs8, Buffer.alloc(1)]),
      Buffer.concat([pkcs8, pkcs8]),
      pkcs8.subarray(0, -1),
      ec.export({ format: "der", type: "pkcs8" }),
      Buffer.alloc(0),
      Buffer.from("rubbish"),
    ]) {
      await refuses(() => importRsa({ format: "pkcs8", bytes }, 2048));
    }
    await refuses(() => importRsa({ format: "spki", bytes: Buffer.concat([spki, Buffer.alloc(1)]) }, 2048));
    await refuses(() => importRsa({ format: "raw", bytes: Buffer.alloc(256, 1) }, 2048));
    await refuses(() => importRsa({ format: "pkcs8", bytes: spki }, 2048));
    await refuses(() => importRsa({ format: "spki", bytes: pkcs8 }, 2048));
  });

  test("writes material that opens as the same key", async () => {
    const material = await importRsa({ format: "jwk", jwk: { ...jwk } }, 2048);
    assert.ok(createPrivateKey({ key: material.bytes, format: "der", type: "pkcs8" }).equals(privateKey));
  });
});

function sha256(message: Uint8Array): Buffer {
  return createHash("sha256").update(message).digest();
}

/** One message in 256 has a signature that begins with a zero byte. */
async function messageWithLeadingZero(): Promise<Buffer> {
  for (let i = 0; ; i++) {
    const message = Buffer.from(`message ${i}`);
    if ((await key.sign({ message }))[0] === 0) return message;
  }
}

async function refuses(run: () => Promise<Material>): Promise<void> {
  await assert.rejects(
    run,
    (error) => error instanceof KeysteadError && error.code === "invalid_key_material",
  );
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
