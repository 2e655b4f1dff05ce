/**
 * RSAES-OAEP with SHA-256, MGF1 of SHA-256 and an optional label (RFC 8017 §7.1).
 * Invariant: every reason why something does not decrypt looks the same.
 */
import { publicEncrypt } from "node:crypto";
import { secretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import { keyPairOf, ownPrivateKey, publicPartOf } from "./asymmetric-key.ts";
import type { Material } from "./material.ts";
import { oaepOptions } from "./off-loop-tasks.ts";
import { OffLoopKey } from "./off-loop.ts";
import type { PublicCipherKey } from "./public-cipher-key.ts";
import { modulusBytesOf, rsaIsBrief } from "./rsa.ts";

/** Two digests and two bytes stand beside the plaintext. */
const OVERHEAD_BYTES = 2 * 32 + 2;

/** Opens stored material for use. */
export function openRsaOaep(material: Material): PublicCipherKey {
  const pair = keyPairOf(material);
  const { publicKey } = pair;
  const ciphertextBytes = modulusBytesOf(publicKey);
  const plaintextBytesMax = ciphertextBytes - OVERHEAD_BYTES;
  const duration = { brief: rsaIsBrief(publicKey) };
  let offLoop: OffLoopKey | undefined;
  return {
    canDecrypt: pair.privateKey !== undefined,
    plaintextBytesMax,
    ciphertextBytes,
    encrypt(plaintext, label) {
      if (plaintext.length > plaintextBytesMax) {
        throw new KeysteadError("invalid_body", {
          detail: "the plaintext is longer than a key of this size encrypts",
        });
      }
      return publicEncrypt(oaepOptions(publicKey, label), plaintext);
    },
    async decrypt(ciphertext, label) {
      ownPrivateKey(pair);
      if (ciphertext.length !== ciphertextBytes) return undefined;
      offLoop ??= new OffLoopKey(pair);
      const plaintext = await offLoop.run({ run: "rsa-decrypt", ciphertext, label }, duration);
      return plaintext instanceof Uint8Array ? secretBytes(plaintext) : undefined;
    },
    ...publicPartOf(pair),
  };
}
