/**
 * XAES-256-GCM (C2SP XAES-256-GCM): AES-256-GCM under a key derived for each message, with a 192-bit random nonce.
 * Layout: nonce (24) ‖ ciphertext ‖ tag (16). So many random nonces are safe that nobody has to count them.
 * Derivation (NIST SP 800-108r1 §4.1 with CMAC, as the specification fixes it): K1 is the doubled encryption of the
 * zero block; the message key is AES(M1 ⊕ K1) ‖ AES(M2 ⊕ K1), where Mi = 00 ‖ i ‖ "X" ‖ 00 ‖ first 12 nonce bytes;
 * the last 12 nonce bytes are the GCM nonce.
 */
import { Buffer } from "node:buffer";
import { createCipheriv } from "node:crypto";
import { wipe } from "../bytes.ts";
import { GCM_NONCE_BYTES, GCM_TAG_BYTES, openGcm, sealGcm } from "./aes-gcm.ts";
import type { CipherKey } from "./cipher-key.ts";
import { randomNonce } from "./random.ts";

export const XAES_NONCE_BYTES = 24;
const BLOCK_BYTES = 16;
const DERIVATION_NONCE_BYTES = 12;

/** Opens a 32-byte key for use. */
export function openXaes256Gcm(key: Buffer): CipherKey {
  const subkey = cmacSubkey(key);
  return {
    nonceBytes: XAES_NONCE_BYTES,
    encrypt: (plaintext, aad, headroomBytes) =>
      sealXaes(key, subkey, randomNonce(XAES_NONCE_BYTES), plaintext, aad, headroomBytes),
    decrypt(message, aad) {
      if (message.length < XAES_NONCE_BYTES + GCM_TAG_BYTES) return undefined;
      const nonce = message.subarray(0, XAES_NONCE_BYTES);
      const messageKey = deriveMessageKey(key, subkey, nonce);
      const data = message.subarray(XAES_NONCE_BYTES);
      const plaintext = openGcm(messageKey, nonce.subarray(DERIVATION_NONCE_BYTES), data, aad);
      wipe(messageKey);
      return plaintext;
    },
  };
}

/** Encrypts under a given 24-byte nonce: for published vectors; everything else draws a fresh one. */
export function sealXaes256GcmWithNonce(
  key: Buffer,
  nonce: Buffer,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Buffer {
  return sealXaes(key, cmacSubkey(key), nonce, plaintext, aad, 0).subarray(XAES_NONCE_BYTES);
}

function sealXaes(
  key: Buffer,
  subkey: Buffer,
  nonce: Buffer,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
  headroomBytes: number,
): Buffer {
  const messageKey = deriveMessageKey(key, subkey, nonce);
  const gcmNonce = nonce.subarray(XAES_NONCE_BYTES - GCM_NONCE_BYTES);
  const out = sealGcm(messageKey, gcmNonce, plaintext, aad, headroomBytes, XAES_NONCE_BYTES, nonce);
  wipe(messageKey);
  return out;
}

function deriveMessageKey(key: Buffer, subkey: Buffer, nonce: Uint8Array): Buffer {
  const blocks = Buffer.alloc(2 * BLOCK_BYTES);
  for (let i = 0; i < 2; i++) {
    blocks.set([0, i + 1, 0x58, 0], i * BLOCK_BYTES);
    blocks.set(nonce.subarray(0, DERIVATION_NONCE_BYTES), i * BLOCK_BYTES + 4);
  }
  for (let i = 0; i < blocks.length; i++) {
    blocks[i] = (blocks[i] ?? 0) ^ (subkey[i % BLOCK_BYTES] ?? 0);
  }
  return encryptBlocks(key, blocks);
}

/** K1 of CMAC (NIST SP 800-38B §6.1): AES(0) doubled in GF(2¹²⁸). */
function cmacSubkey(key: Buffer): Buffer {
  const block = encryptBlocks(key, Buffer.alloc(BLOCK_BYTES));
  let carry = 0;
  for (let i = BLOCK_BYTES - 1; i >= 0; i--) {
    const shifted = ((block[i] ?? 0) << 1) | carry;
    carry = shifted >> 8;
    block[i] = shifted & 0xff;
  }
  // The reduction is a multiplication, not a branch: the carry depends on the key.
  block[BLOCK_BYTES - 1] = (block[BLOCK_BYTES - 1] ?? 0) ^ (0x87 * carry);
  return block;
}

function encryptBlocks(key: Buffer, blocks: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
  return cipher.update(blocks);
}
