/** BLS12-381 keys through the service, held to published pairs of a secret number and its public key. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFor, startDev, type Answer } from "../harness.ts";
import { importGoodKey, importKey } from "./vector-service.ts";

/** In G1: the signing keys of the consensus tests of Ethereum (ethereum/bls12-381-tests). */
const inG1 = [
  [
    "263dbd792f5b1be47ed85f8938c0f29586af0d3ac7b977f21c278fe1462040e3",
    "a491d1b0ecd9bb917989f0e74f0dea0422eac4a873e5e2644f368dffb9a6e20fd6e10c1b77654d067c0618f6e5a7f79a",
  ],
  [
    "47b8192d77bf871b62e87859d653922725724a5c031afeabc60bcef5ff665138",
    "b301803f8b5ac4a1133581fc676dfedc60d891dd5fa99028805e5ea5b08d3491af75d0707adab3b70c6a6a580217bf81",
  ],
  [
    "328388aff0d4a5b7dc9205abd374e7e98f3cd9f3418edb4eafda5fb16473d216",
    "b53d21a4cfd562c469cc81514d4ce5a6b577d8403d32a394dc265dd190b47fa9f829fdd7963afdf972e5e77854051f6f",
  ],
] as const;
/** In G2: the key pair of the suite BLS12-381-SHA-256 (draft-irtf-cfrg-bbs-signatures §8.4.1). */
const inG2 = [
  "60e55110f76883a13d030b2f6bd11883422d5abde717569fc0731f51237169fc",
  "a820f230f6ae38503b86c70dc50b61c58a77e45c39ab25c0652bbaa8fa136f2851bd4781c9dcde39fc9d1d52c9e60268" +
    "061e7d7632171d91aa8d460acee0e96f1e7c4cfb12d3ff9ab5d5dc91c277db75c845d649ef3c4f63aebc364cd55ded0c",
] as const;
/** The generators (draft-irtf-cfrg-pairing-friendly-curves §4.2.1), which are the public keys of 1. */
const g1 = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
const g2 =
  "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e" +
  "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";
const ORDER = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

describe("BLS12-381 through the service", () => {
  const service = serviceFor(() => startDev());
  const one = "1".padStart(64, "0");
  const shown = (name: string): Promise<Answer> => service().request("GET", `/v1/keys/${name}/public-key`);

  for (const [type, crv, pairs] of [
    ["bls12-381-g1", "BLS12381_G1", [...inG1, [one, g1]]],
    ["bls12-381-g2", "BLS12381_G2", [inG2, [one, g2]]],
    ["bls12-381-g1g2", "BLS12381_G1G2", [[one, g1 + g2]]],
  ] as const) {
    test(`${type}: an imported secret number has the published public key`, async () => {
      for (const [i, [secret, publicKey]] of pairs.entries()) {
        const name = `${type}-${i}`;
        await importGoodKey(service(), name, { type }, "raw", secret);
        const x = Buffer.from(publicKey, "hex").toString("base64url");
        assert.deepEqual((await shown(name)).json, { version: 1, jwk: { kty: "OKP", crv, x } });
        const jwk = { kty: "OKP", crv, x, d: Buffer.from(secret, "hex").toString("base64url") };
        const again = await service().request("POST", `/v1/keys/${name}-jwk/import`, {
          type,
          format: "jwk",
          jwk,
        });
        assert.equal(again.status, 201, again.text);
        assert.deepEqual((await shown(`${name}-jwk`)).json["jwk"], { kty: "OKP", crv, x });
      }
    });

    test(`${type}: refuses a number out of range, halves of two keys, and a public part alone`, async () => {
      const [secret, publicKey] = pairs[0];
      const [d, x] = [secret, publicKey].map((hex) => Buffer.from(hex, "hex").toString("base64url"));
      const foreign = Buffer.from(publicKey, "hex").fill(1, 1, 4).toString("base64url");
      const bad = [
        ...["00".repeat(32), ORDER, "ff".repeat(32), secret.slice(2), `${secret}00`].map((hex) =>
          importKey(service(), "bad", { type }, "raw", hex),
        ),
        ...[
          { kty: "OKP", crv, x: foreign, d },
          { kty: "OKP", crv, x },
          { kty: "OKP", crv, d },
          { kty: "EC", crv, x, d },
          { kty: "OKP", crv: "BLS12381_G3", x, d },
        ].map((jwk) => service().request("POST", "/v1/keys/bad/import", { type, format: "jwk", jwk })),
        importKey(service(), "bad", { type }, "spki", secret),
      ];
      for (const answer of await Promise.all(bad))
        assert.deepEqual([answer.status, answer.json["code"]], [400, "invalid_key_material"], answer.text);
    });

    test(`${type}: a fresh key is shown, another each time and with each version, and nothing else is done with it`, async () => {
      const make = async (name: string): Promise<unknown> => {
        const made = await service().request("POST", "/v1/keys", { name, type });
        assert.deepEqual([made.status, made.json["purpose"]], [201, "show"], made.text);
        return ((await shown(name)).json["jwk"] as { x: string }).x;
      };
      const first = await make(`${type}-a`);
      assert.equal(Buffer.from(String(first), "base64url").length, pairs[0][1].length / 2);
      assert.notEqual(await make(`${type}-b`), first);
      await service().request("POST", `/v1/keys/${type}-a/rotate`, {});
      assert.notEqual(((await shown(`${type}-a`)).json["jwk"] as { x: string }).x, first);
      const signed = await service().request("POST", `/v1/keys/${type}-a/sign`, { message: "x" });
      assert.equal(signed.json["code"], "key_usage");
      assert.equal((await shown(`${type}-a`)).json["public_key_pem"], undefined);
    });
  }
});
