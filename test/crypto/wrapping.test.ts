import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { algorithmOf, type KeyType } from "../../src/crypto/catalogue.ts";
import { KEY_BYTES_MAX, openAesKwp, unwrapWithRsa, wrapToRsa } from "../../src/crypto/key-wrap.ts";
import { decodeMaterial, encodeMaterial, type Material } from "../../src/crypto/material.ts";
import { OFF_LOOP_WAITING_MAX } from "../../src/crypto/off-loop.ts";
import type { PublicCipherKey } from "../../src/crypto/public-cipher-key.ts";
import { randomSecret } from "../../src/crypto/random.ts";
import type { KeysteadError } from "../../src/errors.ts";
import { opensslDecrypt, opensslEncrypt, opensslIsMissing, opensslMac } from "./openssl.ts";

const text = Buffer.from("a plaintext");
const rsaTypes = ["rsa-2048", "rsa-3072", "rsa-4096"] as const;
const rsa = new Map<KeyType, { material: Material; key: PublicCipherKey }>();
for (const type of rsaTypes) {
  const algorithm = algorithmOf(type, "encrypt");
  assert.ok(algorithm.family === "public-cipher");
  const material = await algorithm.generate();
  rsa.set(type, { material, key: algorithm.open(material) });
}
const { material: rsaMaterial, key: rsaKey } = ofType("rsa-2048");
const kek = openAesKwp({ bytes: randomSecret(32) });

describe("RSA-OAEP", () => {
  for (const type of rsaTypes) {
    test(`opens on ${type} what was encrypted with the same label, and nothing else`, async () => {
      const { key } = ofType(type);
      const label = Buffer.from("a label");
      for (const plaintext of [text, Buffer.alloc(0), Buffer.alloc(key.plaintextBytesMax, 7)]) {
        const ciphertext = key.encrypt(plaintext, label);
        assert.equal(ciphertext.length, key.ciphertextBytes);
        assert.deepEqual(plain(await key.decrypt(ciphertext, label)), plaintext);
        assert.equal(await key.decrypt(ciphertext), undefined);
        assert.equal(await key.decrypt(ciphertext, Buffer.from("other")), undefined);
        const changed = Buffer.from(ciphertext);
        changed[9] = (changed[9] ?? 0) ^ 1;
        assert.equal(await key.decrypt(changed, label), undefined);
        for (const cut of [
          ciphertext.subarray(1),
          Buffer.concat([Buffer.alloc(1), ciphertext]),
          Buffer.alloc(0),
        ]) {
          assert.equal(await key.decrypt(cut, label), undefined);
        }
      }
      assert.throws(() => key.encrypt(Buffer.alloc(key.plaintextBytesMax + 1)), { code: "invalid_body" });
    });

    test(`agrees with OpenSSL on ${type}`, { skip: opensslIsMissing }, async () => {
      const { key, material } = ofType(type);
      for (const label of [Buffer.alloc(0), Buffer.from("label")]) {
        assert.deepEqual(opensslDecrypt(material.bytes, key.encrypt(text, label), label), text);
        const theirs = opensslEncrypt(key.publicKeyDer(), text, label);
        assert.deepEqual(plain(await key.decrypt(theirs, label)), text);
      }
    });
  }

  test("opens as many as are asked for at once, each its own", async () => {
    const plaintexts = Array.from({ length: 20 }, (_, i) => Buffer.from(`plaintext ${i}`));
    const opened = await Promise.all(plaintexts.map((one) => rsaKey.decrypt(rsaKey.encrypt(one))));
    assert.deepEqual(opened.map(plain), plaintexts);
  });

  test("is not opened with a public key", async () => {
    const algorithm = algorithmOf("rsa-2048", "encrypt");
    assert.ok(algorithm.family === "public-cipher");
    const publicOnly = algorithm.open(
      await algorithm.import({ format: "spki", bytes: rsaKey.publicKeyDer() }),
    );
    assert.deepEqual([rsaKey.canDecrypt, publicOnly.canDecrypt], [true, false]);
    const ciphertext = publicOnly.encrypt(text);
    assert.deepEqual(plain(await rsaKey.decrypt(ciphertext)), text);
    await assert.rejects(publicOnly.decrypt(ciphertext), { code: "key_public_only" });
  });
});

describe("AES-KWP", () => {
  test("opens what it wrapped, of every length, and nothing that was changed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(), (bytes, at) => {
        const wrapped = kek.wrap(bytes);
        assert.equal(wrapped.length, 8 * Math.ceil(bytes.length / 8) + 8);
        assert.deepEqual(plain(kek.unwrap(wrapped)), Buffer.from(bytes));
        const bit = at % (wrapped.length * 8);
        wrapped[bit >> 3] = (wrapped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.equal(kek.unwrap(wrapped), undefined);
      }),
      { numRuns: 60 },
    );
  });

  test("refuses an empty key, one that is too long, and lengths that it never makes", () => {
    for (const length of [0, KEY_BYTES_MAX + 1]) {
      assert.throws(() => kek.wrap(Buffer.alloc(length)), { code: "invalid_body" });
    }
    for (const length of [0, 8, 15, 17, 31, KEY_BYTES_MAX + 16]) {
      assert.equal(kek.unwrap(Buffer.alloc(length, 1)), undefined);
    }
    assert.deepEqual(
      plain(kek.unwrap(kek.wrap(Buffer.alloc(KEY_BYTES_MAX, 3)))),
      Buffer.alloc(KEY_BYTES_MAX, 3),
    );
  });

  test("is opened by no other key", () => {
    assert.equal(openAesKwp({ bytes: randomSecret(32) }).unwrap(kek.wrap(text)), undefined);
  });

  const native = "id-aes256-wrap-pad";
  const lacksNative = "bun" in process.versions ? "this runtime has no AES-KWP of its own" : false;
  test("agrees with the platform's own", { skip: lacksNative }, () => {
    const iv = Buffer.from("a65959a6", "hex");
    const bytes = randomSecret(32);
    const ours = openAesKwp({ bytes });
    for (const length of [1, 7, 8, 9, 16, 32, 2375]) {
      const key = randomSecret(length);
      const cipher = createCipheriv(native, bytes, iv);
      const theirs = Buffer.concat([cipher.update(key), cipher.final()]);
      assert.deepEqual(ours.wrap(key), theirs);
      const decipher = createDecipheriv(native, bytes, iv);
      assert.deepEqual(Buffer.concat([decipher.update(ours.wrap(key)), decipher.final()]), Buffer.from(key));
    }
  });
});

describe("RSA-OAEP and AES-KWP together", () => {
  test("carry the material of every type to an RSA key", async () => {
    for (const type of ["aes-256", "hmac-512", "ed25519", "ml-kem-1024", "ecdsa-p521"] as const) {
      const { bytes } = await algorithmOf(type).generate();
      const wrapped = await wrapToRsa(rsaKey, bytes);
      assert.equal(wrapped.length, rsaKey.ciphertextBytes + 8 * Math.ceil(bytes.length / 8) + 8);
      assert.deepEqual(plain(await unwrapWithRsa(rsaKey, wrapped)), Buffer.from(bytes));
    }
    const { material } = ofType("rsa-4096");
    const opened = await unwrapWithRsa(rsaKey, await wrapToRsa(rsaKey, material.bytes));
    assert.deepEqual(plain(opened), Buffer.from(material.bytes));
  });

  test("do not open what was changed in either part, cut short, or wrapped to another key", async () => {
    const wrapped = await wrapToRsa(rsaKey, text);
    for (const at of [0, 255, 256, wrapped.length - 1]) {
      const changed = Buffer.from(wrapped);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.equal(await unwrapWithRsa(rsaKey, changed), undefined);
    }
    for (const cut of [0, 255, 256, wrapped.length - 1, wrapped.length - 8]) {
      assert.equal(await unwrapWithRsa(rsaKey, wrapped.subarray(0, cut)), undefined);
    }
    assert.equal(await unwrapWithRsa(ofType("rsa-3072").key, wrapped), undefined);
  });

  test("do not open a key under a key-encryption key of another length than 256 bits", async () => {
    const short = rsaKey.encrypt(Buffer.alloc(16, 1));
    assert.equal(await unwrapWithRsa(rsaKey, Buffer.concat([short, kek.wrap(text)])), undefined);
  });

  test("refuse an empty key", async () => {
    await assert.rejects(wrapToRsa(rsaKey, Buffer.alloc(0)), { code: "invalid_body" });
  });

  test("are made of parts that OpenSSL opens", { skip: opensslIsMissing }, async () => {
    const wrapped = await wrapToRsa(rsaKey, text);
    const bytes = opensslDecrypt(rsaMaterial.bytes, wrapped.subarray(0, 256), Buffer.alloc(0));
    const inner = openAesKwp({ bytes: Buffer.from(bytes) as Material["bytes"] });
    assert.deepEqual(plain(inner.unwrap(wrapped.subarray(256))), text);
  });
});

describe("message authentication codes", () => {
  for (const [type, hash] of [
    ["hmac-256", "sha256"],
    ["hmac-384", "sha384"],
    ["hmac-512", "sha512"],
  ] as const) {
    test(`of ${type} agree with OpenSSL, and are taken whole only`, { skip: opensslIsMissing }, async () => {
      const algorithm = algorithmOf(type);
      assert.ok(algorithm.family === "mac");
      const material = await algorithm.generate();
      const key = algorithm.open(material);
      const mac = key.mac(text);
      assert.deepEqual(mac, opensslMac(material.bytes, text, hash));
      assert.equal(mac.length, key.macBytes);
      assert.equal(key.verify(text, mac), true);
      assert.equal(key.verify(Buffer.from("other"), mac), false);
      for (const cut of [mac.subarray(1), mac.subarray(0, 16), Buffer.alloc(0), Buffer.concat([mac, mac])]) {
        assert.equal(key.verify(text, cut), false);
      }
    });
  }
});

describe("key encapsulation", () => {
  for (const type of ["ml-kem-768", "ml-kem-1024"] as const) {
    test(`with ${type} gives both sides one secret, and others another`, async () => {
      const algorithm = algorithmOf(type);
      assert.ok(algorithm.family === "kem");
      const material = await algorithm.generate();
      const key = algorithm.open(material);
      const publicOnly = algorithm.open(await algorithm.import({ format: "jwk", jwk: key.publicKeyJwk() }));
      assert.deepEqual([key.canDecapsulate, publicOnly.canDecapsulate], [true, false]);
      const { sharedSecret, ciphertext } = await publicOnly.encapsulate();
      assert.deepEqual([sharedSecret.length, ciphertext.length], [32, key.ciphertextBytes]);
      assert.deepEqual(await key.decapsulate(ciphertext), sharedSecret);
      assert.notDeepEqual((await publicOnly.encapsulate()).sharedSecret, sharedSecret);
      const changed = Buffer.from(ciphertext);
      changed[0] = (changed[0] ?? 0) ^ 1;
      const rejected = await key.decapsulate(changed);
      assert.equal(rejected?.length, 32);
      assert.notDeepEqual(rejected, sharedSecret);
      assert.equal(await key.decapsulate(ciphertext.subarray(1)), undefined);
      assert.equal(await key.decapsulate(Buffer.concat([ciphertext, Buffer.alloc(1)])), undefined);
      await assert.rejects(publicOnly.decapsulate(ciphertext), { code: "key_public_only" });
    });
  }

  test("is refused with busy beyond its queue, and goes on afterwards", async () => {
    const algorithm = algorithmOf("ml-kem-768");
    assert.ok(algorithm.family === "kem");
    const key = algorithm.open(await algorithm.generate());
    const asked = Array.from({ length: OFF_LOOP_WAITING_MAX + 40 }, () => key.encapsulate());
    const refused: unknown[] = [];
    for (const result of await Promise.allSettled(asked))
      if (result.status === "rejected") refused.push((result.reason as KeysteadError).code);
    assert.ok(refused.length > 0);
    assert.deepEqual(new Set(refused), new Set(["busy"]));
    const { sharedSecret, ciphertext } = await key.encapsulate();
    assert.deepEqual(await key.decapsulate(ciphertext), sharedSecret);
  });
});

describe("ChaCha20-Poly1305", () => {
  test("is opened by the example of RFC 8439 §2.8.2", () => {
    const algorithm = algorithmOf("chacha20-poly1305");
    assert.ok(algorithm.family === "cipher");
    const bytes = Buffer.from(Array.from({ length: 32 }, (_, i) => 0x80 + i)) as Material["bytes"];
    const message = Buffer.from(
      "070000004041424344454647d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9" +
        "671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad6759455" +
        "85808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
      "hex",
    );
    const aad = Buffer.from("50515253c0c1c2c3c4c5c6c7", "hex");
    const opened = algorithm.open({ form: "raw", bytes }).decrypt(message, aad);
    assert.match(
      opened?.toString() ?? "",
      /^Ladies and Gentlemen of the class of '99: .* sunscreen would be it\.$/,
    );
  });
});

test("stored material is what it was after its encoding and decoding", async () => {
  for (const type of ["aes-256", "ecdsa-p256", "ml-dsa-44"] as const) {
    const material = await algorithmOf(type).generate();
    assert.deepEqual(decodeMaterial(encodeMaterial(material)), material);
  }
});

function ofType(type: KeyType): { material: Material; key: PublicCipherKey } {
  const found = rsa.get(type);
  assert.ok(found !== undefined);
  return found;
}

function plain(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes);
}
