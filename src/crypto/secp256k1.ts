/**
 * ECDSA over secp256k1 (SEC 2 §2.4.1) with SHA-256 (FIPS 186-5 §6, RFC 8812 §3.2), through @noble/curves, since not every
 * platform knows the curve: deterministic (RFC 6979), and not constant-time (docs/security.md).
 * Invariant: of the two signatures that fit, the one with the low s is made, as the chains that use this curve want it
 * (BIP 146); both verify, as FIPS 186-5 and RFC 8812 have it.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { KeysteadError } from "../errors.ts";
import { sha256 } from "./digest.ts";
import { ecdsaEncodings } from "./ecdsa.ts";
import type { Material } from "./material.ts";
import type { TaskResult } from "./off-loop-tasks.ts";
import { OffLoopKey, publicPointOf } from "./off-loop.ts";
import { numbersOf, publicSecp256k1Jwk, secp256k1Spki, secp256k1Whole } from "./secp256k1-encoding.ts";
import {
  assertDigest,
  assertOptions,
  type Signed,
  type SignatureEncoding,
  type SignatureOptions,
  type SigningKey,
} from "./signing-key.ts";

export const SECP256K1_DIGEST_BYTES = 32;
const duration = { brief: true };

/** A fresh key. */
export async function generateSecp256k1(): Promise<Material> {
  const scalar = secp256k1.utils.randomSecretKey();
  return secp256k1Whole(scalar, await publicPointOf("secp256k1", scalar));
}

/** Opens stored material for use. */
export function openSecp256k1(material: Material): SigningKey {
  const { scalar, point } = numbersOf(material);
  let offLoop: OffLoopKey | undefined;
  return {
    canSign: scalar !== undefined,
    sign(signed, options = {}) {
      const encoding = encodingOf(options);
      if (scalar === undefined) throw new KeysteadError("key_public_only");
      const digest = digestOf(signed);
      offLoop ??= new OffLoopKey(material);
      const result = offLoop.run({ run: "ecdsa-sign-digest", digest, encoding }, duration);
      return result instanceof Promise ? result.then(signatureOf) : signatureOf(result);
    },
    verify(signed, signature, options = {}) {
      const encoding = encodingOf(options);
      const digest = digestOf(signed);
      offLoop ??= new OffLoopKey(material);
      const result = offLoop.run({ run: "ecdsa-verify-digest", digest, signature, encoding }, duration);
      return result instanceof Promise ? result.then((valid) => valid === true) : result === true;
    },
    publicKeyDer: () => secp256k1Spki(point),
    publicKeyJwk: () => publicSecp256k1Jwk(point),
  };
}

function digestOf(signed: Signed): Uint8Array {
  if ("message" in signed) return sha256(signed.message);
  assertDigest(signed.digest, SECP256K1_DIGEST_BYTES);
  return signed.digest;
}

function encodingOf(options: SignatureOptions): SignatureEncoding {
  assertOptions(options, [], ecdsaEncodings);
  return options.encoding ?? "der";
}

function signatureOf(result: TaskResult): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw new Error("a signing task answered no signature");
}
