/**
 * Project Wycheproof through the service: each case's key is imported and used over HTTP.
 * Invariant: no case is left out silently: what ran and what was skipped, and why, is asserted by exact numbers.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { serviceFor, startDev, type Answer, type TestService } from "../harness.ts";
import { forEachOf, readVectors, Tally } from "./vector-file.ts";

const AT_ONCE = 16;

interface Verdict {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "invalid" | "acceptable";
}

interface AeadCase extends Verdict {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

interface SignatureCase extends Verdict {
  readonly msg: string;
  readonly sig: string;
}

interface AeadFile {
  readonly groups: readonly {
    readonly keySize: number;
    readonly ivSize: number;
    readonly tagSize: number;
    readonly cases: readonly AeadCase[];
  }[];
}

interface SignatureFile {
  readonly groups: readonly { readonly publicKeyDer: string; readonly cases: readonly SignatureCase[] }[];
}

describe("Wycheproof vectors through the service", () => {
  const service = serviceFor(() => startDev());

  test("AES-256-GCM: opens every valid ciphertext, answers decryption_failed to every invalid one", async () => {
    const ran = new Tally();
    const skipped = new Tally();
    const wrong: string[] = [];
    const served: AeadCase[] = [];
    for (const { keySize, ivSize, tagSize, cases } of readVectors<AeadFile>("aes-gcm").groups) {
      for (const one of cases) {
        if (keySize !== 256) skipped.add(`a key of ${keySize} bits`);
        else if (ivSize !== 96) skipped.add("a nonce of another length than 96 bits");
        else if (tagSize !== 128) skipped.add("a tag of another length than 128 bits");
        else served.push(one);
      }
    }
    await forEachOf(served, AT_ONCE, async (one) => {
      const name = `aes-gcm-${one.tcId}`;
      const imported = await importKey(service(), name, "aes-256", "raw", one.key);
      assert.equal(imported.status, 201, imported.text);
      const answer = await service().request("POST", `/v1/decrypt/${name}`, {
        ciphertext: base64(`00000001${one.iv}${one.ct}${one.tag}`),
        aad_b64: base64(one.aad),
      });
      const right =
        one.result === "valid"
          ? answer.status === 200 && answer.json["plaintext_b64"] === base64(one.msg)
          : answer.status === 400 && answer.json["code"] === "decryption_failed";
      if (!right) wrong.push(`${described(one)}: ${answer.text}`);
      ran.add(one.result);
    });
    assert.deepEqual(wrong, []);
    assert.deepEqual(ran.counts, { valid: 39, invalid: 27 });
    assert.deepEqual(skipped.counts, {
      "a key of 128 bits": 108,
      "a key of 192 bits": 103,
      "a nonce of another length than 96 bits": 39,
    });
  });

  test("ECDSA P-256: agrees on every signature, by message and by digest", async () => {
    const { ran, skipped, wrong } = await verifyAll(service(), "ecdsa-p256", "ecdsa-p256");
    assert.deepEqual(wrong, []);
    assert.deepEqual(ran, { valid: 174, invalid: 310 });
    assert.deepEqual(skipped, {});
  });

  // The one acceptable case leaves the NULL out of the DigestInfo: RFC 8017 lets a verifier take it, and we do not.
  test("RSA-2048: agrees on every signature, by message and by digest, and refuses the acceptable one", async () => {
    const { ran, skipped, wrong } = await verifyAll(service(), "rsa-2048", "rsa-2048");
    assert.deepEqual(wrong, []);
    assert.deepEqual(ran, { valid: 7, invalid: 249, acceptable: 1 });
    assert.deepEqual(skipped, { "the key is refused: the public exponent is too small": 2 });
  });
});

async function verifyAll(
  service: TestService,
  family: string,
  type: string,
): Promise<{ ran: Record<string, number>; skipped: Record<string, number>; wrong: string[] }> {
  const ran = new Tally();
  const skipped = new Tally();
  const wrong: string[] = [];
  const groups = readVectors<SignatureFile>(family).groups.map((group, i) => ({
    ...group,
    name: `${family}-${i}`,
  }));
  const served: (SignatureCase & { readonly name: string })[] = [];
  await forEachOf(groups, AT_ONCE, async ({ publicKeyDer, cases, name }) => {
    const imported = await importKey(service, name, type, "spki", publicKeyDer);
    if (imported.status === 201) {
      served.push(...cases.map((one) => ({ ...one, name })));
      return;
    }
    assert.equal(imported.json["code"], "invalid_key_material", imported.text);
    skipped.add(`the key is refused: ${String(imported.json["detail"])}`, cases.length);
  });
  await forEachOf(served, AT_ONCE, async (one) => {
    const message = Buffer.from(one.msg, "hex");
    const signature = { signature_b64: base64(one.sig) };
    for (const signed of [
      { message_b64: message.toString("base64") },
      { digest_b64: createHash("sha256").update(message).digest("base64") },
    ]) {
      const answer = await service.request("POST", `/v1/keys/${one.name}/verify`, {
        ...signed,
        ...signature,
      });
      if (answer.status !== 200 || answer.json["valid"] !== (one.result === "valid")) {
        wrong.push(`${described(one)} by ${Object.keys(signed).join()}: ${answer.text}`);
      }
    }
    ran.add(one.result);
  });
  return { ran: ran.counts, skipped: skipped.counts, wrong };
}

function importKey(
  service: TestService,
  name: string,
  type: string,
  format: string,
  keyHex: string,
): Promise<Answer> {
  return service.request("POST", `/v1/keys/${name}/import`, { type, format, material_b64: base64(keyHex) });
}

function base64(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}

function described({ tcId, comment, flags, result }: Verdict): string {
  return `case ${tcId} (${result}; ${comment}; ${flags.join(" ")})`;
}
