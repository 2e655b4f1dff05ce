/**
 * The runtimes' known traps, each with the guard that this program has against it. The test prints which of them still stand
 * on the runtime it runs on, so that an upgrade shows its drift; it fails where a guard no longer holds.
 */
import assert from "node:assert/strict";
import {
  createCipheriv,
  createDecipheriv,
  randomBytes,
  sign,
  verify,
  generateKeyPairSync,
} from "node:crypto";
import { describe, test } from "node:test";
import { decodeBase64, decodeHex } from "../src/bytes.ts";
import { openAesGcm, openGcm } from "../src/crypto/aes-gcm.ts";
import { generateEcdsa, openEcdsa } from "../src/crypto/ecdsa.ts";
import { sha256 } from "../src/crypto/digest.ts";

const key = randomBytes(32);

const traps: { name: string; stands: () => boolean; guard: () => boolean | Promise<boolean> }[] = [
  {
    name: "createDecipheriv accepts GCM tags of 4 bytes unless told the length",
    stands: () => succeeds(() => openWithTag(4)),
    guard: () => {
      const message = openAesGcm(key).encrypt(Buffer.from("x"), undefined, 0);
      return [4, 8, 12].every(
        (bytes) =>
          openGcm(key, message.subarray(0, 12), message.subarray(12, 13 + bytes), undefined) === undefined,
      );
    },
  },
  {
    name: "decipher.update releases plaintext before the tag is checked",
    stands: () => {
      const decipher = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12), { authTagLength: 16 });
      decipher.setAuthTag(Buffer.alloc(16));
      return decipher.update(Buffer.from("forged")).length > 0;
    },
    guard: () => openGcm(key, Buffer.alloc(12), Buffer.alloc(40), undefined) === undefined,
  },
  {
    name: 'Buffer.from(x, "base64") accepts rubbish',
    stands: () => Buffer.from("Y!Q=", "base64").length > 0,
    guard: () => decodeBase64("Y!Q=") === undefined && decodeBase64("YR==") === undefined,
  },
  {
    name: 'Buffer.from(x, "hex") accepts rubbish',
    stands: () => Buffer.from("ab!", "hex").length > 0,
    guard: () => decodeHex("ab!") === undefined && decodeHex("abc") === undefined,
  },
  {
    name: "sign(null, digest, ecKey) hashes the digest again",
    stands: () => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      return !verify("sha256", Buffer.from("x"), publicKey, sign(null, sha256("x"), privateKey));
    },
    guard: async () => {
      const opened = openEcdsa(await generateEcdsa("P-256"), "P-256");
      const signature = await opened.sign({ digest: sha256("x") });
      return opened.verify({ message: Buffer.from("x") }, signature);
    },
  },
];

describe("known traps of the runtimes", () => {
  for (const { name, stands, guard } of traps) {
    test(`is guarded against: ${name}`, async (t) => {
      t.diagnostic(
        `${"bun" in process.versions ? "Bun" : "Node"}: ${stands() ? "still stands" : "gone"}: ${name}`,
      );
      assert.equal(await guard(), true);
    });
  }
});

function openWithTag(bytes: number): void {
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.alloc(12));
  const ciphertext = Buffer.concat([cipher.update("x"), cipher.final()]);
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12));
  decipher.setAuthTag(cipher.getAuthTag().subarray(0, bytes));
  decipher.update(ciphertext);
  decipher.final();
}

function succeeds(probe: () => void): boolean {
  try {
    probe();
    return true;
  } catch {
    return false;
  }
}
