import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { importMaterialFromPem, looksLikePem } from "../../sdk/pem.ts";

describe("PEM files", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });

  test("every private form becomes PKCS#8 of the same key", () => {
    for (const [key, type] of [
      [rsa.privateKey, "pkcs1"],
      [rsa.privateKey, "pkcs8"],
      [ec.privateKey, "sec1"],
      [ec.privateKey, "pkcs8"],
    ] as const) {
      const pem = key.export({ format: "pem", type: type as "pkcs8" });
      for (const text of [pem, pem.replaceAll("\n", "\r\n"), `bag attributes\n${pem}`]) {
        const material = importMaterialFromPem(text);
        assert.ok(material.format === "pkcs8", type);
        const back = createPrivateKey({ key: Buffer.from(material.bytes), format: "der", type: "pkcs8" });
        assert.deepEqual(back.export({ format: "jwk" }), key.export({ format: "jwk" }));
      }
    }
  });

  test("openssl's parameters before an EC key do no harm", () => {
    const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    const pem = parameters + ec.privateKey.export({ format: "pem", type: "sec1" });
    assert.equal(importMaterialFromPem(pem).format, "pkcs8");
  });

  test("a public key becomes SPKI", () => {
    const material = importMaterialFromPem(rsa.publicKey.export({ format: "pem", type: "spki" }));
    assert.ok(material.format === "spki");
    const back = createPublicKey({ key: Buffer.from(material.bytes), format: "der", type: "spki" });
    assert.deepEqual(back.export({ format: "jwk" }), rsa.publicKey.export({ format: "jwk" }));
  });

  test("an encrypted key and damage are refused, without a word of the file", () => {
    const encrypted = ec.privateKey.export({
      format: "pem",
      type: "pkcs8",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    assert.throws(() => importMaterialFromPem(encrypted), /is encrypted/);
    const damaged = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n";
    assert.throws(
      () => importMaterialFromPem(damaged),
      (error: Error) => !error.message.includes("canary"),
    );
    assert.equal(looksLikePem("no key"), false);
  });
});
