import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { describe, test } from "node:test";
import { algorithmOf, keyTypes, type KeyType, type SignatureAlgorithm } from "../../src/crypto/catalogue.ts";
import type { Material } from "../../src/crypto/material.ts";
import type { SignatureOptions, SigningKey } from "../../src/crypto/signing-key.ts";
import {
  opensslIsMissing,
  opensslLacks,
  opensslPss,
  opensslSign,
  opensslSignRaw,
  opensslVerify,
  opensslVerifyRaw,
} from "./openssl.ts";

const hashes: Record<number, "sha256" | "sha384" | "sha512"> = { 32: "sha256", 48: "sha384", 64: "sha512" };
const message = Buffer.from("a message");
const other = Buffer.from("another message");

interface Case {
  readonly type: KeyType;
  readonly algorithm: SignatureAlgorithm;
  readonly material: Material;
  readonly key: SigningKey;
  readonly hash: "sha256" | "sha384" | "sha512" | undefined;
}

const cases: Case[] = [];
for (const type of keyTypes) {
  const algorithm = algorithmOf(type);
  if (algorithm.family !== "signature") continue;
  const material = await algorithm.generate();
  const { digestBytes = 0 } = algorithm;
  cases.push({ type, algorithm, material, key: algorithm.open(material), hash: hashes[digestBytes] });
}

for (const { type, algorithm, material, key, hash: hashName } of cases) {
  describe(`signatures of ${type}`, () => {
    const schemes = [undefined, ...algorithm.schemes];
    const encodings = [undefined, ...algorithm.encodings];
    const forms: SignatureOptions[] = schemes.flatMap((scheme) =>
      encodings.map((encoding) => ({ scheme, encoding })),
    );
    const digestForms = forms.filter(({ scheme }) => scheme !== "pss");

    for (const form of forms) {
      const named = [form.scheme, form.encoding].filter((name) => name !== undefined).join(", ") || "default";
      test(`(${named}) are good over their message, and for nothing else`, async () => {
        const signature = await key.sign({ message }, form);
        assert.equal(await key.verify({ message }, signature, form), true);
        assert.equal(await key.verify({ message: other }, signature, form), false);
        for (const bit of [0, 77, signature.length * 8 - 1]) {
          const changed = Buffer.from(signature);
          changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          assert.equal(await key.verify({ message }, changed, form), false, `bit ${bit}`);
        }
        for (const malformed of [signature.subarray(1), Buffer.alloc(0), Buffer.alloc(signature.length)]) {
          assert.equal(await key.verify({ message }, malformed, form), false);
        }
      });
    }

    test("are made and checked by someone with the public part, only checked", async () => {
      const publicOnly = algorithm.open(await algorithm.import({ format: "jwk", jwk: key.publicKeyJwk() }));
      assert.deepEqual([key.canSign, publicOnly.canSign], [true, false]);
      assert.equal(await publicOnly.verify({ message }, await key.sign({ message })), true);
      assert.throws(() => publicOnly.sign({ message }), { code: "key_public_only" });
    });

    test("are good however many are asked for at once", async () => {
      const messages = Array.from({ length: 12 }, (_, i) => Buffer.from(`message ${i}`));
      const signatures = await Promise.all(messages.map(async (one) => key.sign({ message: one })));
      for (const [i, one] of messages.entries()) {
        assert.equal(await key.verify({ message: one }, signatures[i] ?? Buffer.alloc(0)), true);
      }
    });

    test("of an option or a digest that the type has not are refused", () => {
      const digest = Buffer.alloc(algorithm.digestBytes ?? 32);
      const refused: { signed: Parameters<SigningKey["sign"]>[0]; options: SignatureOptions }[] = [];
      if (algorithm.schemes.length === 0) refused.push({ signed: { message }, options: { scheme: "pss" } });
      else refused.push({ signed: { digest }, options: { scheme: "pss" } });
      if (algorithm.encodings.length === 0)
        refused.push({ signed: { message }, options: { encoding: "raw" } });
      if (algorithm.digestBytes === undefined) refused.push({ signed: { digest }, options: {} });
      else refused.push({ signed: { digest: Buffer.alloc(algorithm.digestBytes - 1) }, options: {} });
      for (const { signed, options } of refused) {
        assert.throws(() => key.sign(signed, options), { code: "invalid_body" });
        assert.throws(() => key.verify(signed, Buffer.alloc(64), options), { code: "invalid_body" });
      }
    });

    if (hashName !== undefined) {
      test("over a digest are signatures over its message, in every form", async () => {
        const digest = hash(hashName, message, "buffer");
        for (const form of digestForms) {
          const [first, second] = await Promise.all([key.sign({ digest }, form), key.sign({ digest }, form)]);
          for (const signature of [first, second]) {
            assert.equal(await key.verify({ message }, signature, form), true);
            assert.equal(await key.verify({ digest }, signature, form), true);
            assert.equal(await key.verify({ message: other }, signature, form), false);
          }
          assert.equal(await key.verify({ digest }, await key.sign({ message }, form), form), true);
        }
      });
    }

    if (algorithm.encodings.includes("raw")) {
      test("have a fixed length in the raw encoding, and one encoding is no other", async () => {
        const raw = await key.sign({ message }, { encoding: "raw" });
        const fieldBytes = { 32: 32, 48: 48, 64: 66 }[algorithm.digestBytes ?? 0] ?? 0;
        assert.equal(raw.length, 2 * fieldBytes);
        assert.equal(await key.verify({ message }, raw, { encoding: "der" }), false);
        assert.equal(await key.verify({ message }, await key.sign({ message }), { encoding: "raw" }), false);
      });
    }

    if (hashName === undefined) {
      const skip = opensslLacks(algorithm.exportName);
      test("are good for OpenSSL, and its are good here", { skip }, async () => {
        const signature = await key.sign({ message });
        assert.ok(opensslVerifyRaw(key.publicKeyDer(), message, signature));
        assert.ok(!opensslVerifyRaw(key.publicKeyDer(), other, signature));
        assert.equal(await key.verify({ message }, opensslSignRaw(material.bytes, message)), true);
      });
    } else {
      test("are good for OpenSSL, and its are good here", { skip: opensslIsMissing }, async () => {
        const der = key.publicKeyDer();
        assert.ok(opensslVerify(der, message, await key.sign({ message }), { hash: hashName }));
        const theirs = opensslSign(material.bytes, message, { hash: hashName });
        assert.equal(await key.verify({ message }, theirs), true);
        assert.equal(await key.verify({ message: other }, theirs), false);
        if (!algorithm.schemes.includes("pss")) return;
        const pss = await key.sign({ message }, { scheme: "pss" });
        assert.ok(opensslVerify(der, message, pss, opensslPss));
        assert.ok(!opensslVerify(der, message, pss));
        const theirPss = opensslSign(material.bytes, message, opensslPss);
        assert.equal(await key.verify({ message }, theirPss, { scheme: "pss" }), true);
        assert.equal(await key.verify({ message }, theirPss), false);
      });
    }
  });
}
