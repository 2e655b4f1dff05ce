import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  algorithmOf,
  keyTypes,
  purposesOf,
  type Algorithm,
  type KeyType,
} from "../../src/crypto/catalogue.ts";
import type { ExportedMaterial, ImportedKey, Jwk, Material } from "../../src/crypto/material.ts";

const rows = keyTypes.flatMap((type) => purposesOf(type).map((purpose) => ({ type, purpose })));
const symmetric: readonly KeyType[] = keyTypes.filter((type) =>
  ["cipher", "mac", "wrap"].includes(algorithmOf(type).family),
);
const seedTypes = [
  "ed25519",
  "x25519",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
  "ml-kem-768",
  "ml-kem-1024",
] as const;

describe("the catalogue", () => {
  test("gives an RSA key one purpose of two, to sign where nothing is said, and all others one", () => {
    for (const type of keyTypes) {
      const wanted = type.startsWith("rsa-") ? ["sign", "encrypt"] : [algorithmOf(type).purpose];
      assert.deepEqual(purposesOf(type), wanted);
      for (const purpose of purposesOf(type)) assert.equal(algorithmOf(type, purpose).purpose, purpose);
    }
    assert.equal(algorithmOf("rsa-2048").purpose, "sign");
    assert.throws(() => algorithmOf("aes-256", "sign"), { code: "invalid_body", field: "purpose" });
  });

  test("gives every algorithm its own name", () => {
    const names = keyTypes.map((type) => algorithmOf(type).exportName);
    assert.equal(new Set(names).size, keyTypes.length);
  });

  test("counts the nonces of every cipher whose nonce has 96 bits", () => {
    for (const type of keyTypes) {
      const algorithm = algorithmOf(type);
      if (algorithm.family !== "cipher") continue;
      const { nonceBytes } = algorithm.open(fresh(algorithm));
      assert.equal(algorithm.noncesMax, nonceBytes === 12 ? 2 ** 32 : undefined, type);
    }
  });
});

describe("a key of each type and purpose", () => {
  for (const { type, purpose } of rows) {
    test(`${type} to ${purpose}: is the same after its way out and in, in every format`, async () => {
      const algorithm = algorithmOf(type, purpose);
      const material = await algorithm.generate();
      for (const format of algorithm.exportFormats) {
        const exported = algorithm.exportKey(material, format);
        assert.equal(exported.format, format);
        assert.deepEqual(await algorithm.import(imported(exported)), material, format);
      }
      if (material.form === "raw") {
        for (const format of ["pkcs8", "spki"] as const) {
          assert.throws(() => algorithm.exportKey(material, format), {
            code: "invalid_body",
            field: "format",
          });
        }
        return;
      }
      const spki = algorithm.exportKey(material, "spki");
      const publicOnly = await algorithm.import(imported(spki));
      assert.equal(publicOnly.form, "spki");
      assert.deepEqual(await algorithm.import(imported(algorithm.exportKey(publicOnly, "jwk"))), publicOnly);
      assert.deepEqual(algorithm.exportKey(publicOnly, "spki"), spki);
      assert.throws(() => algorithm.exportKey(publicOnly, "pkcs8"), { code: "key_public_only" });
      assert.throws(() => algorithm.exportKey(material, "raw"), { code: "invalid_body", field: "format" });
    });
  }

  for (const { type, purpose } of rows) {
    const algorithm = algorithmOf(type, purpose);
    if (algorithm.family === "cipher" || algorithm.family === "mac" || algorithm.family === "wrap") continue;
    if (algorithm.family === "shown") continue;
    test(`${type} to ${purpose}: shows the public part alone, the same from either part`, async () => {
      const material = await algorithm.generate();
      const whole = algorithm.open(material);
      const der = whole.publicKeyDer();
      const publicOnly = algorithm.open(await algorithm.import({ format: "spki", bytes: der }));
      assert.deepEqual(publicOnly.publicKeyDer(), der);
      const jwk = whole.publicKeyJwk();
      assert.deepEqual(publicOnly.publicKeyJwk(), jwk);
      for (const member of ["d", "p", "q", "dp", "dq", "qi", "priv"]) assert.equal(jwk[member], undefined);
    });
  }

  test("is not shared with what was imported or exported", () => {
    for (const type of symmetric) {
      const algorithm = algorithmOf(type);
      const material = fresh(algorithm);
      const before = Buffer.from(material.bytes);
      const exported = algorithm.exportKey(material, "raw");
      assert.ok("bytes" in exported);
      exported.bytes.fill(0);
      assert.deepEqual(Buffer.from(material.bytes), before);
    }
  });
});

describe("importing a symmetric key", () => {
  for (const type of symmetric) {
    test(`refuses for ${type} other lengths, other formats and other spellings`, async () => {
      const algorithm = algorithmOf(type);
      const { length } = fresh(algorithm).bytes;
      const k = Buffer.alloc(length, 0xff).toString("base64url");
      await algorithm.import({ format: "jwk", jwk: { kty: "oct", k } });
      for (const refused of [
        { format: "raw", bytes: Buffer.alloc(0) },
        { format: "raw", bytes: Buffer.alloc(length - 1) },
        { format: "raw", bytes: Buffer.alloc(257) },
        { format: "pkcs8", bytes: Buffer.alloc(length) },
        { format: "spki", bytes: Buffer.alloc(length) },
        { format: "jwk", jwk: { kty: "oct", k: `${k}=` } },
        { format: "jwk", jwk: { kty: "oct", k: `${k} ` } },
        { format: "jwk", jwk: { kty: "oct", k: k.slice(0, -2) } },
        { format: "jwk", jwk: { kty: "oct" } },
        { format: "jwk", jwk: { kty: "RSA", k } },
      ] as const) {
        await refuses(algorithm, refused);
      }
    });
  }

  test("takes for a MAC every length from its digest's on, and for others one length", async () => {
    const algorithm = algorithmOf("hmac-384");
    for (const length of [48, 49, 256]) {
      await algorithm.import({ format: "raw", bytes: Buffer.alloc(length, 1) });
    }
    await refuses(algorithm, { format: "raw", bytes: Buffer.alloc(47, 1) });
    await refuses(algorithmOf("aes-256"), { format: "raw", bytes: Buffer.alloc(33, 1) });
  });
});

describe("importing a key whose private part is a seed", () => {
  for (const type of seedTypes) {
    test(`refuses for ${type} whatever is not exactly one key of the type`, async () => {
      const algorithm = algorithmOf(type);
      const material = fresh(algorithm);
      const other = jwkOf(algorithm, fresh(algorithm));
      const spki = bytesOf(algorithm.exportKey(material, "spki"));
      const jwk = jwkOf(algorithm, material);
      const [publicName, privateName] = jwk["kty"] === "OKP" ? ["x", "d"] : ["pub", "priv"];
      const foreign = bytesOf(algorithmOf("ecdsa-p256").exportKey(await generated("ecdsa-p256"), "pkcs8"));
      const refused: ImportedKey[] = [
        ...[
          Buffer.concat([material.bytes, Buffer.alloc(1)]),
          material.bytes.subarray(0, -1),
          Buffer.alloc(0),
          spki,
          foreign,
        ].map((bytes) => ({ format: "pkcs8", bytes }) as const),
        ...[Buffer.concat([spki, Buffer.alloc(1)]), spki.subarray(0, -1), material.bytes].map(
          (bytes) => ({ format: "spki", bytes }) as const,
        ),
        { format: "raw", bytes: Buffer.alloc(32, 1) },
        ...[
          { ...jwk, [publicName]: other[publicName] },
          { ...jwk, [privateName]: other[privateName] },
          { ...jwk, [publicName]: undefined },
          { ...jwk, [publicName]: `${jwk[publicName] ?? ""}=` },
          { ...jwk, [privateName]: `${jwk[privateName] ?? ""}\n` },
          { ...jwk, [privateName]: jwk[privateName]?.slice(0, -4) },
          { ...jwk, kty: "EC" },
          { ...jwk, crv: "Ed448", alg: "ML-DSA-43" },
        ].map((changed) => ({ format: "jwk", jwk: changed }) as const),
      ];
      for (const one of refused) await refuses(algorithm, one);
    });
  }

  test("refuses for ed25519 what is no point, or one of a small order", async () => {
    const algorithm = algorithmOf("ed25519");
    const head = bytesOf(algorithm.exportKey(fresh(algorithm), "spki")).subarray(0, -32);
    for (const point of [
      Buffer.alloc(32, 2),
      Buffer.alloc(32, 0xff),
      Buffer.from("01".padEnd(64, "0"), "hex"),
      Buffer.alloc(32),
      Buffer.from("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "hex"),
    ]) {
      await refuses(algorithm, { format: "spki", bytes: Buffer.concat([head, point]) });
    }
  });

  test("refuses for ML-KEM a public part with numbers beyond the modulus", async () => {
    for (const type of ["ml-kem-768", "ml-kem-1024"] as const) {
      const algorithm = algorithmOf(type);
      const bytes = Buffer.from(bytesOf(algorithm.exportKey(fresh(algorithm), "spki")));
      bytes.fill(0xff, 40, 60);
      await refuses(algorithm, { format: "spki", bytes });
    }
  });
});

describe("importing an RSA or EC key", () => {
  test("refuses a key of another size or curve than its type's", async () => {
    const types = ["rsa-2048", "rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519"] as const;
    for (const from of types) {
      const material = await generated(from);
      for (const to of types.filter((type) => type !== from)) {
        for (const format of ["pkcs8", "spki", "jwk"] as const) {
          await refuses(algorithmOf(to), imported(algorithmOf(from).exportKey(material, format)));
        }
      }
    }
  });

  test("refuses on P-384 and P-521 halves of two keys and points beside the curve", async () => {
    for (const type of ["ecdsa-p384", "ecdsa-p521"] as const) {
      const algorithm = algorithmOf(type);
      const jwk = jwkOf(algorithm, await generated(type));
      const other = jwkOf(algorithm, await generated(type));
      for (const member of ["d", "x", "y"]) {
        await refuses(algorithm, { format: "jwk", jwk: { ...jwk, [member]: other[member] } });
      }
    }
  });
});

/** Fresh material of a type that makes it at once. */
function fresh(algorithm: Algorithm): Material {
  const material = algorithm.generate();
  assert.ok(!(material instanceof Promise));
  return material;
}

async function generated(type: KeyType): Promise<Material> {
  return algorithmOf(type).generate();
}

function imported(exported: ExportedMaterial): ImportedKey {
  return exported;
}

function bytesOf(exported: ExportedMaterial): Buffer {
  assert.ok("bytes" in exported);
  return exported.bytes;
}

function jwkOf(algorithm: Algorithm, material: Material): Jwk {
  const exported = algorithm.exportKey(material, "jwk");
  assert.ok("jwk" in exported);
  return exported.jwk;
}

async function refuses(algorithm: Algorithm, key: ImportedKey): Promise<void> {
  await assert.rejects(async () => algorithm.import(key), { code: "invalid_key_material" });
}
