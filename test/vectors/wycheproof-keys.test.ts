/**
 * Project Wycheproof's MACs, key encapsulation and key wrapping through the service.
 * Invariant: no case is left out silently: what ran and what was skipped, and why, is asserted by exact numbers.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { openAesKwp } from "../../src/crypto/key-wrap.ts";
import { serviceFor, startDev } from "../harness.ts";
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

describe("Wycheproof AES-KWP", () => {
  const service = serviceFor(() => startDev());
  const groups = readGroups<VectorGroup<WrapCase> & { readonly keySize: number }>("aes-kwp");
  const skippedKeys = { "a wrapping key of 128 bits": 75, "a wrapping key of 192 bits": 85 };

  // Only an HMAC key is imported in many lengths: from 32 to 256 bytes. What unwraps to another length says so.
  test("through the service: a key wrapped elsewhere is the key that was wrapped; an altered one does not open", async () => {
    const outcome = new Outcome();
    for (const { keySize, cases } of groups) {
      if (keySize !== 256) {
        outcome.skipped.add(`a wrapping key of ${keySize} bits`, cases.length);
        continue;
      }
      await forEachOf(cases, AT_ONCE, async (one) => {
        const kek = `kek-${one.tcId}`;
        const name = `unwrapped-${one.tcId}`;
        await importGoodKey(service(), kek, { type: "aes-256-kwp" }, "raw", one.key);
        const imported = await service().request("POST", `/v1/keys/${name}/import`, {
          type: "hmac-256",
          format: "raw",
          wrapping_key: kek,
          wrapped_material_b64: base64(one.ct),
        });
        if (one.result === "invalid") {
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
          outcome.judge(one, opened && length, imported.text, "valid, of a length that no key has");
        }
      });
    }
    outcome.assertIs({ valid: 3, "valid, of a length that no key has": 22, invalid: 69 }, skippedKeys);
  });

  test("by itself: wraps and unwraps keys of every length as published, opens no altered one", () => {
    const outcome = new Outcome();
    for (const { keySize, cases } of groups) {
      if (keySize !== 256) outcome.skipped.add(`a wrapping key of ${keySize} bits`, cases.length);
      else {
        for (const one of cases) {
          const kek = openAesKwp({ bytes: secretBytes(Buffer.from(one.key, "hex")) });
          const opened = kek.unwrap(Buffer.from(one.ct, "hex"))?.toString("hex");
          const agrees =
            one.result === "valid"
              ? opened === one.msg && kek.wrap(Buffer.from(one.msg, "hex")).toString("hex") === one.ct
              : opened === undefined;
          outcome.judge(one, agrees, opened);
        }
      }
    }
    outcome.assertIs({ valid: 25, invalid: 69 }, skippedKeys);
  });
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
