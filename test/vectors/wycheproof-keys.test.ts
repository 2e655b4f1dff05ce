/**
 * Project Wycheproof's MACs, key encapsulation, agreement and wrapping through the service.
 * Invariant: no case is left out silently: what ran and what was skipped, and why, is asserted by exact numbers.
 */
import assert from "node:assert/strict";
import { createHmac, hkdfSync } from "node:crypto";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { hkdfSha256 } from "../../src/crypto/digest.ts";
import { openAesKw, openAesKwp } from "../../src/crypto/key-wrap.ts";
import { serviceFor, startDev, type Answer } from "../harness.ts";
import { forEachOf, readGroups } from "./vector-file.ts";
import {
  AT_ONCE,
  BAD_LENGTH,
  base64,
  importGoodKey,
  importKey,
  Outcome,
  type Verdict,
  type VectorGroup,
} from "./vector-service.ts";

interface MacGroup extends VectorGroup<
  Verdict & { readonly key: string; readonly msg: string; readonly tag: string }
> {
  readonly keySize: number;
  readonly tagSize: number;
}

interface KemCase extends Verdict {
  readonly seed: string;
  /** Absent where there is no key of that seed. */
  readonly ek?: string;
  readonly c: string;
  readonly K: string;
}

interface WrapCase extends Verdict {
  readonly key: string;
  readonly msg: string;
  readonly ct: string;
}

/** The key's first version, as it stands before every encapsulation. */
const VERSION = "00000001";
const ML_KEM_SEED_BYTES = 64;

describe("Wycheproof MACs through the service", () => {
  const service = serviceFor(() => startDev());

  for (const bits of [256, 384, 512]) {
    // The service takes keys as long as the digest at least, and codes in their full length only.
    test(`HMAC-SHA-${bits}: makes every valid code, refuses every altered and every shortened one`, async () => {
      const outcome = new Outcome();
      for (const { keySize, tagSize, cases } of readGroups<MacGroup>(`hmac-${bits}`)) {
        await forEachOf(cases, AT_ONCE, async (one) => {
          const name = `hmac-${bits}-${one.tcId}`;
          const imported = await importKey(service(), name, { type: `hmac-${bits}` }, "raw", one.key);
          if (keySize < bits) {
            assert.equal(imported.json["code"], "invalid_key_material", imported.text);
            assert.equal(imported.json["detail"], BAD_LENGTH);
            outcome.skipped.add(`a key of ${keySize} bits`);
            return;
          }
          assert.equal(imported.status, 201, imported.text);
          const message = { message_b64: base64(one.msg) };
          const made = await service().request("POST", `/v1/keys/${name}/mac`, message);
          const code = Buffer.from(String(made.json["mac_b64"]), "base64").toString("hex");
          const isOurs = code.startsWith(one.tag);
          const verified = await service().request("POST", `/v1/keys/${name}/verify-mac`, {
            ...message,
            mac_b64: base64(one.tag),
          });
          const isWhole = tagSize === bits;
          const agrees =
            code.length === bits / 4 &&
            isOurs === (one.result === "valid") &&
            verified.status === 200 &&
            verified.json["valid"] === (one.result === "valid" && isWhole);
          outcome.judge(
            one,
            agrees,
            [made.text, verified.text],
            isWhole ? one.result : `${one.result}, shortened`,
          );
        });
      }
      outcome.assertIs(
        { valid: 30, invalid: 54, "valid, shortened": 30, "invalid, shortened": 54 },
        { [`a key of ${bits / 2} bits`]: 6 },
      );
    });
  }
});

describe("Wycheproof ML-KEM through the service", () => {
  const service = serviceFor(() => startDev());

  test("ML-KEM-768: derives every public key and shared secret, refuses seeds and ciphertexts of other lengths", async () => {
    const outcome = new Outcome();
    const cases = readGroups<VectorGroup<KemCase>>("ml-kem-768").flatMap((group) => group.cases);
    await forEachOf(cases, AT_ONCE, async (one) => {
      const name = `ml-kem-${one.tcId}`;
      const type = "ml-kem-768";
      const imported = await importKey(service(), name, { type }, "pkcs8", mlKem768Pkcs8(one.seed));
      if (one.seed.length !== 2 * ML_KEM_SEED_BYTES) {
        const agrees = imported.status === 400 && imported.json["code"] === "invalid_key_material";
        outcome.judge(one, agrees && one.result === "invalid", imported.text, "a seed of another length");
        return;
      }
      const shown = await service().request("GET", `/v1/keys/${name}/public-key`);
      const publicKey = (shown.json["jwk"] as Record<string, string> | undefined)?.["pub"];
      const answer = await service().request("POST", `/v1/keys/${name}/decapsulate`, {
        ciphertext: base64(VERSION + one.c),
      });
      const agrees =
        one.result === "valid"
          ? answer.json["shared_secret_b64"] === base64(one.K)
          : answer.status === 400 && answer.json["code"] === "decryption_failed";
      const isKey = publicKey === Buffer.from(one.ek ?? "", "hex").toString("base64url");
      outcome.judge(one, agrees && isKey, [isKey, answer.text]);
    });
    outcome.assertIs({ valid: 153, invalid: 20, "a seed of another length": 20 });
  });
});

interface WrapRow {
  readonly type: "aes-128-kw" | "aes-256-kw" | "aes-128-kwp" | "aes-256-kwp";
  readonly keyBits: number;
  readonly open: typeof openAesKwp;
  /** Through the service; the acceptable key of AES-KW is one block long, which no implementation has to take. */
  readonly ran: Readonly<Record<string, number>>;
  readonly alone: Readonly<Record<string, number>>;
  readonly skipped: Readonly<Record<string, number>>;
}

const ANOTHER_LENGTH = "valid, of a length that no key has";
const wrapRows: readonly WrapRow[] = [
  {
    type: "aes-128-kw",
    keyBits: 128,
    open: openAesKw,
    ran: { valid: 3, [ANOTHER_LENGTH]: 8, invalid: 30, acceptable: 1 },
    alone: { valid: 11, invalid: 30, acceptable: 1 },
    skipped: { "a wrapping key of 192 bits": 55, "a wrapping key of 256 bits": 68 },
  },
  {
    type: "aes-256-kw",
    keyBits: 256,
    open: openAesKw,
    ran: { valid: 4, [ANOTHER_LENGTH]: 9, invalid: 54, acceptable: 1 },
    alone: { valid: 13, invalid: 54, acceptable: 1 },
    skipped: { "a wrapping key of 128 bits": 42, "a wrapping key of 192 bits": 55 },
  },
  {
    type: "aes-128-kwp",
    keyBits: 128,
    open: openAesKwp,
    ran: { valid: 3, [ANOTHER_LENGTH]: 22, invalid: 50 },
    alone: { valid: 25, invalid: 50 },
    skipped: { "a wrapping key of 192 bits": 85, "a wrapping key of 256 bits": 94 },
  },
  {
    type: "aes-256-kwp",
    keyBits: 256,
    open: openAesKwp,
    ran: { valid: 3, [ANOTHER_LENGTH]: 22, invalid: 69 },
    alone: { valid: 25, invalid: 69 },
    skipped: { "a wrapping key of 128 bits": 75, "a wrapping key of 192 bits": 85 },
  },
];

for (const { type, keyBits, open, ran, alone, skipped } of wrapRows) {
  describe(`Wycheproof ${type}`, () => {
    const service = serviceFor(() => startDev());
    const groups = readGroups<VectorGroup<WrapCase> & { readonly keySize: number }>(
      type.endsWith("kwp") ? "aes-kwp" : "aes-kw",
    );

    // Only an HMAC key is imported in many lengths: from 32 to 256 bytes. What unwraps to another length says so.
    test("through the service: a key wrapped elsewhere is the key that was wrapped; an altered one does not open", async () => {
      const outcome = new Outcome();
      for (const { keySize, cases } of groups) {
        if (keySize !== keyBits) {
          outcome.skipped.add(`a wrapping key of ${keySize} bits`, cases.length);
          continue;
        }
        await forEachOf(cases, AT_ONCE, async (one) => {
          const kek = `kek-${one.tcId}`;
          const name = `unwrapped-${one.tcId}`;
          await importGoodKey(service(), kek, { type }, "raw", one.key);
          const imported = await service().request("POST", `/v1/keys/${name}/import`, {
            type: "hmac-256",
            format: "raw",
            wrapping_key: kek,
            wrapped_material_b64: base64(one.ct),
          });
          if (one.result !== "valid") {
            outcome.judge(
              one,
              imported.status === 400 && imported.json["code"] === "unwrap_failed",
              imported.text,
            );
          } else if (imported.status === 201) {
            const made = await service().request("POST", `/v1/keys/${name}/mac`, { message: "whose key" });
            const expected = createHmac("sha256", Buffer.from(one.msg, "hex"))
              .update("whose key")
              .digest("base64");
            outcome.judge(one, made.json["mac_b64"] === expected, made.text);
          } else {
            const opened =
              imported.json["code"] === "invalid_key_material" && imported.json["detail"] === BAD_LENGTH;
            const length = one.msg.length / 2 < 32 || one.msg.length / 2 > 256;
            outcome.judge(one, opened && length, imported.text, ANOTHER_LENGTH);
          }
        });
      }
      outcome.assertIs(ran, skipped);
    });

    test("by itself: wraps and unwraps keys of every length as published, opens no altered one", () => {
      const outcome = new Outcome();
      for (const { keySize, cases } of groups) {
        if (keySize !== keyBits) outcome.skipped.add(`a wrapping key of ${keySize} bits`, cases.length);
        else {
          for (const one of cases) {
            const kek = open({ bytes: secretBytes(Buffer.from(one.key, "hex")) });
            const opened = kek.unwrap(Buffer.from(one.ct, "hex"))?.toString("hex");
            const agrees =
              one.result === "valid"
                ? opened === one.msg && kek.wrap(Buffer.from(one.msg, "hex")).toString("hex") === one.ct
                : opened === undefined;
            outcome.judge(one, agrees, opened);
          }
        }
      }
      outcome.assertIs(alone, skipped);
    });
  });
}

interface AgreementCase extends Verdict {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

/** RFC 8410 §7: what stands before the private key in PKCS#8. */
const X25519_PKCS8_HEAD = "302e020100300506032b656e04220420";

describe("X25519 through the service", () => {
  const service = serviceFor(() => startDev());
  const agreed = async (privateKey: string, publicKey: string, more: object): Promise<Answer> => {
    const name = `x25519-${++agreements}`;
    await importGoodKey(service(), name, { type: "x25519" }, "pkcs8", X25519_PKCS8_HEAD + privateKey);
    return service().request("POST", `/v1/keys/${name}/agree`, {
      peer_public_key_b64: base64(publicKey),
      ...more,
    });
  };
  let agreements = 0;

  // The acceptable cases are public keys off the curve, not canonical, or of a small order: RFC 7748 takes all but the last.
  test("Wycheproof: gives every published secret, and refuses the keys that make it zero", async () => {
    const outcome = new Outcome();
    const cases = readGroups<VectorGroup<AgreementCase>>("x25519").flatMap((group) => group.cases);
    await forEachOf(cases, AT_ONCE, async (one) => {
      const answer = await agreed(one.private, one.public, { kdf: "none" });
      const isZero = /^0*$/.test(one.shared);
      const agrees = isZero
        ? answer.status === 400 && answer.json["field"] === "peer_public_key_b64"
        : answer.json["shared_secret_b64"] === base64(one.shared);
      outcome.judge(one, agrees, answer.text, isZero ? "zero, refused" : one.result);
    });
    outcome.assertIs({ valid: 264, acceptable: 223, "zero, refused": 31 });
  });

  test("RFC 7748 §6.1: Alice and Bob get one secret, and by HKDF what anybody derives from it", async () => {
    const alice = {
      private: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
      public: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    };
    const bob = {
      private: "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
      public: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    };
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    const spki = `302a300506032b656e032100${bob.public}`;
    for (const [own, peer] of [
      [alice.private, bob.public],
      [bob.private, alice.public],
      [alice.private, spki],
    ] as const) {
      const raw = await agreed(own, peer, { kdf: "none" });
      assert.equal(raw.json["shared_secret_b64"], base64(shared), raw.text);
      const ikm = Buffer.from(shared, "hex");
      for (const [more, salt, info, bytes] of [
        [{}, "", "", 32],
        [{ salt_b64: base64("0102"), info: "orders", bytes: 64 }, "0102", "orders", 64],
      ] as const) {
        const derived = await agreed(own, peer, more);
        const expected = Buffer.from(hkdfSync("sha256", ikm, Buffer.from(salt, "hex"), info, bytes));
        assert.equal(derived.json["shared_secret_b64"], expected.toString("base64"), derived.text);
      }
    }
  });

  test("takes no peer's key of another length, and nothing of a derivation where there is none", async () => {
    const own = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    for (const peer of ["", "09".repeat(31), "09".repeat(33), `302a300506032b6570032100${"09".repeat(32)}`]) {
      const answer = await agreed(own, peer, {});
      assert.deepEqual(
        [answer.status, answer.json["code"], answer.json["field"]],
        [400, "invalid_body", "peer_public_key_b64"],
      );
    }
    for (const more of [{ bytes: 32 }, { info: "x" }, { salt_b64: "" }]) {
      const answer = await agreed(own, "09".repeat(32), { kdf: "none", ...more });
      assert.deepEqual([answer.json["code"], answer.json["field"]], ["invalid_body", "kdf"], answer.text);
    }
  });
});

test("Wycheproof HKDF-SHA-256: derives every published key", () => {
  const outcome = new Outcome();
  interface Case extends Verdict {
    readonly ikm: string;
    readonly salt: string;
    readonly info: string;
    readonly size: number;
    readonly okm: string;
  }
  for (const one of readGroups<VectorGroup<Case>>("hkdf-256").flatMap(({ cases }) => cases)) {
    const [ikm, salt, info] = [one.ikm, one.salt, one.info].map((hex) => Buffer.from(hex, "hex"));
    assert.ok(ikm !== undefined && salt !== undefined && info !== undefined);
    if (one.result === "valid") {
      const okm = hkdfSha256(ikm, salt, info, one.size).toString("hex");
      outcome.judge(one, okm === one.okm, okm);
    } else {
      assert.throws(() => hkdfSha256(ikm, salt, info, one.size));
      outcome.judge(one, true, undefined);
    }
  }
  outcome.assertIs({ valid: 83, invalid: 3 });
});

/** PKCS#8 in the form with the seed alone (draft-ietf-lamps-kyber-certificates §6), for a seed of any length below 128. */
function mlKem768Pkcs8(seed: string): string {
  const tagged = (tag: string, body: string): string => {
    const length = body.length / 2;
    return tag + (length < 0x80 ? "" : "81") + length.toString(16).padStart(2, "0") + body;
  };
  const algorithm = tagged("30", tagged("06", "608648016503040402"));
  return tagged("30", `020100${algorithm}${tagged("04", tagged("80", seed))}`);
}
