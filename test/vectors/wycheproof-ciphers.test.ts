/**
 * Project Wycheproof's ciphers through the service: each case's key is imported and used over HTTP.
 * Invariant: no case is left out silently: what ran and what was skipped, and why, is asserted by exact numbers.
 */
import { describe, test } from "node:test";
import { serviceFor, startDev, type TestService } from "../harness.ts";
import { forEachOf, readGroups } from "./vector-file.ts";
import {
  AT_ONCE,
  base64,
  batch,
  codeOf,
  importGoodKey,
  Outcome,
  type Verdict,
  type VectorGroup,
} from "./vector-service.ts";

interface AeadCase extends Verdict {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

interface AeadGroup extends VectorGroup<AeadCase> {
  readonly keySize: number;
  readonly ivSize: number;
  readonly tagSize: number;
}

interface OaepGroup extends VectorGroup<
  Verdict & { readonly msg: string; readonly ct: string; readonly label: string }
> {
  readonly privateKeyPkcs8: string;
}

/** The key's first version, as it stands before every ciphertext. */
const VERSION = "00000001";

describe("Wycheproof ciphers through the service", () => {
  const service = serviceFor(() => startDev());

  test("AES-256-GCM: opens every valid ciphertext, answers decryption_failed to every invalid one", async () => {
    const outcome = await openAead(service(), "aes-gcm", "aes-256");
    outcome.assertIs(
      { valid: 39, invalid: 29 },
      {
        "a key of 128 bits": 108,
        "a key of 192 bits": 103,
        "a nonce of another length than 96 bits": 37,
      },
    );
  });

  test("AES-128-GCM: opens every valid ciphertext, answers decryption_failed to every invalid one", async () => {
    const outcome = await openAead(service(), "aes-gcm", "aes-128-gcm", 128);
    outcome.assertIs(
      { valid: 40, invalid: 29 },
      {
        "a key of 192 bits": 103,
        "a key of 256 bits": 105,
        "a nonce of another length than 96 bits": 39,
      },
    );
  });

  test("XChaCha20-Poly1305: opens every valid ciphertext, answers decryption_failed to every invalid one", async () => {
    const outcome = await openAead(service(), "xchacha20-poly1305", "xchacha20-poly1305", 256, 192);
    outcome.assertIs({ valid: 246, invalid: 69 });
  });

  for (const [type, keyBits, tagBits] of [
    ["aes-128-cbc-hmac-sha-256", 256, 128],
    ["aes-256-cbc-hmac-sha-512", 512, 256],
  ] as const) {
    test(`${type}: opens every valid ciphertext, answers decryption_failed to every invalid one`, async () => {
      const outcome = await openAead(service(), type, type, keyBits, 128, tagBits);
      outcome.assertIs({ valid: 67, invalid: 27 });
    });
  }

  test("ChaCha20-Poly1305: opens every valid ciphertext, answers decryption_failed to every invalid one", async () => {
    const outcome = await openAead(service(), "chacha20-poly1305", "chacha20-poly1305");
    outcome.assertIs({ valid: 256, invalid: 69 });
  });

  for (const bits of [2048, 3072, 4096]) {
    test(`RSA-OAEP ${bits}: opens what is valid under its label, answers decryption_failed to the rest`, async () => {
      const type = `rsa-${bits}`;
      const outcome = new Outcome();
      for (const { privateKeyPkcs8, cases } of readGroups<OaepGroup>(`rsa-oaep-${bits}`)) {
        const name = `rsa-oaep-${bits}`;
        await importGoodKey(service(), name, { type, purpose: "encrypt" }, "pkcs8", privateKeyPkcs8);
        const results = await batch(
          service(),
          `/v1/keys/${name}/decrypt/batch`,
          cases.map(({ ct, label }) => ({ ciphertext: base64(VERSION + ct), aad_b64: base64(label) })),
        );
        for (const [i, one] of cases.entries()) outcome.judge(one, opens(one, results[i]), results[i]);
      }
      outcome.assertIs({ valid: 18, invalid: 19 });
    });
  }
});

/** Every case has a key of its own. A nonce of another length can be sent all the same: it must not open anything. */
async function openAead(
  service: TestService,
  family: string,
  type: string,
  keyBits = 256,
  nonceBits = 96,
  tagBits = 128,
): Promise<Outcome> {
  const outcome = new Outcome();
  const served: AeadCase[] = [];
  for (const { keySize, ivSize, tagSize, cases } of readGroups<AeadGroup>(family)) {
    for (const one of cases) {
      if (keySize !== keyBits) outcome.skipped.add(`a key of ${keySize} bits`);
      else if (tagSize !== tagBits) outcome.skipped.add(`a tag of another length than ${tagBits} bits`);
      else if (ivSize !== nonceBits && one.result === "valid") {
        outcome.skipped.add(`a nonce of another length than ${nonceBits} bits`);
      } else served.push(one);
    }
  }
  await forEachOf(served, AT_ONCE, async (one) => {
    const name = `${type}-${one.tcId}`;
    await importGoodKey(service, name, { type }, "raw", one.key);
    const answer = await service.request("POST", `/v1/decrypt/${name}`, {
      ciphertext: base64(`${VERSION}${one.iv}${one.ct}${one.tag}`),
      aad_b64: base64(one.aad),
    });
    outcome.judge(
      one,
      opens(one, answer.json) && answer.status === (one.result === "valid" ? 200 : 400),
      answer.text,
    );
  });
  return outcome;
}

function opens(
  one: Verdict & { readonly msg: string },
  answer: Record<string, unknown> | undefined,
): boolean {
  return one.result === "valid"
    ? answer?.["plaintext_b64"] === base64(one.msg)
    : codeOf(answer) === "decryption_failed" && answer?.["plaintext_b64"] === undefined;
}
