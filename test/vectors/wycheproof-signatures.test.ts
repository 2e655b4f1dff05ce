/**
 * Project Wycheproof's signatures through the service: each group's public key is imported once and verifies over HTTP.
 * Where a private key is known and the algorithm is deterministic, our signature is the published one.
 * Invariant: no case is left out silently: what ran and what was skipped, and why, is asserted by exact numbers.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { serviceFor, startDev, type TestService } from "../harness.ts";
import { forEachOf, readGroups } from "./vector-file.ts";
import {
  AT_ONCE,
  base64,
  batch,
  importGoodKey,
  importKey,
  Outcome,
  type Verdict,
  type VectorGroup,
} from "./vector-service.ts";

interface SignatureCase extends Verdict {
  readonly msg: string;
  readonly sig: string;
  /** ML-DSA's context; absent or empty where there is none. */
  readonly ctx?: string;
}

interface SignatureGroup extends VectorGroup<SignatureCase> {
  readonly publicKeyDer: string;
}

interface Verified {
  readonly type: string;
  /** The hash of the form that takes a digest; none where there is no such form. */
  readonly hash?: string;
  readonly options?: Readonly<Record<string, string>>;
}

/** RFC 8032 §7.1: TEST 1, 2, 3 and SHA(abc). */
const rfc8032 = [
  {
    seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    message: "",
    signature:
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  },
  {
    seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    message: "72",
    signature:
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  },
  {
    seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    message: "af82",
    signature:
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  },
  {
    seed: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    publicKey: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    message:
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    signature:
      "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
  },
];
/** RFC 8410 §7: what stands before the seed of an Ed25519 key in PKCS#8. */
const ED25519_PKCS8_HEAD = "302e020100300506032b657004220420";

describe("Wycheproof signatures through the service", () => {
  const service = serviceFor(() => startDev());

  test("ECDSA P-256: agrees on every signature, by message and by digest", async () => {
    const outcome = await verifyAll(service(), "ecdsa-p256", { type: "ecdsa-p256", hash: "sha256" });
    outcome.assertIs({ valid: 174, invalid: 310 });
  });

  test("ECDSA P-256, raw: agrees on every signature, by message and by digest", async () => {
    const verified = { type: "ecdsa-p256", hash: "sha256", options: { encoding: "raw" } };
    const outcome = await verifyAll(service(), "ecdsa-p256-raw", verified);
    outcome.assertIs({ valid: 173, invalid: 89 });
  });

  // Of the two signatures that fit, these files call both valid.
  test("ECDSA secp256k1: agrees on every signature, by message and by digest", async () => {
    const outcome = await verifyAll(service(), "secp256k1", { type: "secp256k1", hash: "sha256" });
    outcome.assertIs({ valid: 168, invalid: 308 });
  });

  test("ECDSA secp256k1, raw: agrees on every signature, by message and by digest", async () => {
    const verified = { type: "secp256k1", hash: "sha256", options: { encoding: "raw" } };
    const outcome = await verifyAll(service(), "secp256k1-raw", verified);
    outcome.assertIs({ valid: 167, invalid: 85 });
  });

  test("ECDSA P-384: agrees on every signature, by message and by digest", async () => {
    const outcome = await verifyAll(service(), "ecdsa-p384", { type: "ecdsa-p384", hash: "sha384" });
    outcome.assertIs({ valid: 194, invalid: 310 });
  });

  test("ECDSA P-521: agrees on every signature, by message and by digest", async () => {
    const outcome = await verifyAll(service(), "ecdsa-p521", { type: "ecdsa-p521", hash: "sha512" });
    outcome.assertIs({ valid: 232, invalid: 310 });
  });

  test("Ed25519: agrees on every signature", async () => {
    const outcome = await verifyAll(service(), "ed25519", { type: "ed25519" });
    outcome.assertIs({ valid: 88, invalid: 63 });
  });

  // The acceptable case of each size leaves the NULL out of the DigestInfo: RFC 8017 lets a verifier take it, we do not.
  for (const { bits, ran, skipped } of [
    { bits: 2048, ran: { valid: 7, invalid: 249, acceptable: 1 }, skipped: 2 },
    { bits: 3072, ran: { valid: 7, invalid: 250, acceptable: 1 }, skipped: 1 },
    { bits: 4096, ran: { valid: 7, invalid: 250, acceptable: 1 }, skipped: 0 },
  ]) {
    test(`RSA-${bits} PKCS#1: agrees on every signature, by message and by digest, refuses the acceptable`, async () => {
      const outcome = await verifyAll(service(), `rsa-${bits}`, { type: `rsa-${bits}`, hash: "sha256" });
      const reason = "the key is refused: the public exponent is too small";
      outcome.assertIs(ran, skipped === 0 ? {} : { [reason]: skipped });
    });

    test(`RSA-${bits} PSS: agrees on every signature`, async () => {
      const verified = { type: `rsa-${bits}`, options: { scheme: "pss" } };
      const outcome = await verifyAll(service(), `rsa-pss-${bits}`, verified);
      outcome.assertIs({ valid: 63, invalid: 45 });
    });
  }

  // A signature made with a context is none of ours, whose context is empty: refused, though good elsewhere.
  for (const { size, valid, invalid } of [
    { size: 44, valid: 75, invalid: 94 },
    { size: 65, valid: 77, invalid: 122 },
    { size: 87, valid: 69, invalid: 161 },
  ]) {
    test(`ML-DSA-${size}: agrees on every signature, refuses every public key of another length and context`, async () => {
      const outcome = await verifyAll(service(), `ml-dsa-${size}`, { type: `ml-dsa-${size}` });
      outcome.assertIs({ valid, invalid, "a context": 7, "a key of another length": 4 });
    });
  }
});

describe("deterministic signatures through the service", () => {
  const service = serviceFor(() => startDev());

  test("Ed25519: signs as RFC 8032 §7.1 does", async () => {
    for (const [i, { seed, publicKey, message, signature }] of rfc8032.entries()) {
      const name = `rfc8032-${i}`;
      await importGoodKey(service(), name, { type: "ed25519" }, "pkcs8", ED25519_PKCS8_HEAD + seed);
      const signed = await service().request("POST", `/v1/keys/${name}/sign`, {
        message_b64: base64(message),
      });
      assert.equal(signed.json["signature_b64"], base64(signature), signed.text);
      const shown = await service().request("GET", `/v1/keys/${name}/public-key`);
      const { x } = shown.json["jwk"] as { x: string };
      assert.equal(x, Buffer.from(publicKey, "hex").toString("base64url"));
    }
  });

  // The OAEP files hold the private keys of the signature files' first groups.
  for (const bits of [2048, 3072, 4096]) {
    test(`RSA-${bits} PKCS#1: signs every valid message and digest as published`, async () => {
      const [oaep] = readGroups<{ readonly privateKeyPkcs8: string }>(`rsa-oaep-${bits}`);
      const [group] = readGroups<SignatureGroup>(`rsa-${bits}`);
      const name = `rsa-sign-${bits}`;
      await importGoodKey(service(), name, { type: `rsa-${bits}` }, "pkcs8", oaep?.privateKeyPkcs8 ?? "");
      const valid = (group?.cases ?? []).filter(({ result }) => result === "valid");
      assert.equal(valid.length, 7);
      for (const signed of formsOf(valid, "sha256")) {
        const results = await batch(service(), `/v1/keys/${name}/sign/batch`, signed);
        assert.deepEqual(
          results.map(({ signature_b64: signature }) => signature),
          valid.map(({ sig }) => base64(sig)),
        );
      }
    });
  }
});

async function verifyAll(
  service: TestService,
  family: string,
  { type, hash, options = {} }: Verified,
): Promise<Outcome> {
  const outcome = new Outcome();
  const groups = readGroups<SignatureGroup>(family).map((group, i) => ({ ...group, name: `${family}-${i}` }));
  await forEachOf(groups, AT_ONCE, async ({ publicKeyDer, cases, name }) => {
    const imported = await importKey(service, name, { type }, "spki", publicKeyDer);
    if (imported.status !== 201) {
      assert.equal(imported.json["code"], "invalid_key_material", imported.text);
      for (const one of cases) {
        if (one.flags.includes("IncorrectPublicKeyLength")) {
          outcome.judge(one, one.result === "invalid", imported.text, "a key of another length");
        } else outcome.skipped.add(`the key is refused: ${String(imported.json["detail"])}`);
      }
      return;
    }
    const verdicts: Record<string, unknown>[][] = [];
    for (const form of formsOf(cases, hash)) {
      const items = cases.map(({ sig }, i) => ({ ...form[i], ...options, signature_b64: base64(sig) }));
      verdicts.push(await batch(service, `/v1/keys/${name}/verify/batch`, items));
    }
    for (const [i, one] of cases.entries()) {
      const withContext = (one.ctx ?? "") !== "";
      const expected = one.result === "valid" && !withContext;
      const answers = verdicts.map((results) => results[i]);
      const agrees = answers.every((answer) => answer?.["valid"] === expected);
      outcome.judge(one, agrees, answers, withContext ? "a context" : one.result);
    }
  });
  return outcome;
}

/** The messages of the cases and, where there is a hash, their digests. */
function formsOf(cases: readonly SignatureCase[], hash: string | undefined): Record<string, string>[][] {
  const messages = cases.map(({ msg }) => ({ message_b64: base64(msg) }));
  if (hash === undefined) return [messages];
  const digest = (msg: string): string => createHash(hash).update(Buffer.from(msg, "hex")).digest("base64");
  return [messages, cases.map(({ msg }) => ({ digest_b64: digest(msg) }))];
}
