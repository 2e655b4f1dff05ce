/** The published vectors of C2SP XAES-256-GCM: through the service, through the primitive, and the accumulated test. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { shake128 } from "@noble/hashes/sha3.js";
import { openXaes256Gcm, sealXaes256GcmWithNonce } from "../../src/crypto/xaes-gcm.ts";
import { serviceFor, startDev } from "../harness.ts";
import { readVectors } from "./vector-file.ts";

interface XaesFile {
  readonly vectors: readonly {
    readonly key: string;
    readonly nonceAscii: string;
    readonly plaintextAscii: string;
    readonly aadAscii: string;
    readonly ciphertext: string;
  }[];
  readonly accumulated: Readonly<Record<string, string>>;
}

const ROUNDS = 10_000;

describe("XAES-256-GCM vectors", () => {
  const { vectors, accumulated } = readVectors<XaesFile>("xaes-256-gcm");
  const service = serviceFor(() => startDev());

  test("both published vectors are there", () => {
    assert.equal(vectors.length, 2);
  });

  for (const [i, vector] of vectors.entries()) {
    const { nonceAscii, plaintextAscii, aadAscii, ciphertext } = vector;
    const key = Buffer.from(vector.key, "hex");

    test(`vector ${i + 1} opens through the service`, async () => {
      const imported = await service().request("POST", `/v1/keys/xaes-${i}/import`, {
        type: "xaes-256",
        format: "raw",
        material_b64: key.toString("base64"),
      });
      assert.equal(imported.status, 201, imported.text);
      const whole = Buffer.concat([
        Buffer.from("00000001", "hex"),
        Buffer.from(nonceAscii, "ascii"),
        Buffer.from(ciphertext, "hex"),
      ]);
      const answer = await service().request("POST", `/v1/decrypt/xaes-${i}`, {
        ciphertext: whole.toString("base64"),
        aad: aadAscii,
      });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json["plaintext"], plaintextAscii);
    });

    test(`vector ${i + 1} is what encryption under its nonce gives`, () => {
      const sealed = sealXaes256GcmWithNonce(
        key,
        Buffer.from(nonceAscii, "ascii"),
        Buffer.from(plaintextAscii, "ascii"),
        Buffer.from(aadAscii, "ascii"),
      );
      assert.equal(sealed.toString("hex"), ciphertext);
    });
  }

  test(`the accumulated test over ${ROUNDS} random messages gives the published hash, and each opens again`, () => {
    const random = shake128.create();
    const collected = shake128.create();
    const draw = (bytes: number): Buffer => Buffer.from(random.xof(bytes));
    const drawSome = (): Buffer => {
      const [length = 0] = draw(1);
      return length === 0 ? Buffer.alloc(0) : draw(length);
    };
    for (let round = 0; round < ROUNDS; round++) {
      const key = draw(32);
      const nonce = draw(24);
      const plaintext = drawSome();
      const aad = drawSome();
      const ciphertext = sealXaes256GcmWithNonce(key, nonce, plaintext, aad);
      const opened = openXaes256Gcm(key).decrypt(Buffer.concat([nonce, ciphertext]), aad);
      assert.deepEqual(opened, plaintext);
      collected.update(ciphertext);
    }
    assert.equal(Buffer.from(collected.xof(32)).toString("hex"), accumulated[String(ROUNDS)]);
  });
});
