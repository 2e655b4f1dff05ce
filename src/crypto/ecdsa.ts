/**
 * ECDSA over the NIST curves P-256, P-384 and P-521 with SHA-256, SHA-384 and SHA-512 (FIPS 186-5 §6).
 * Messages go through the platform's native code: at once on P-256, whose code is fast; off the event loop on the others. A
 * ready digest is signed and verified by a task (off-loop-tasks.ts says why).
 */
import { Buffer } from "node:buffer";
import { createECDH, sign, verify, type KeyObject, type SignKeyObjectInput } from "node:crypto";
import { importAsymmetric, keyPairOf, materialOf, ownPrivateKey, publicPartOf } from "./asymmetric-key.ts";
import { invalid, jwkBytes, type ImportedKey, type Material } from "./material.ts";
import type { TaskResult } from "./off-loop-tasks.ts";
import { generateEcPair, OffLoopKey, signNative, verifyNative } from "./off-loop.ts";
import {
  assertDigest,
  assertOptions,
  type SignatureEncoding,
  type SignatureOptions,
  type SigningKey,
} from "./signing-key.ts";

interface Curve {
  /** The name in OpenSSL's list. */
  readonly name: string;
  readonly hash: string;
  readonly digestBytes: number;
  /** True where native code for messages takes well under a millisecond. */
  readonly fast: boolean;
}

export const ecdsaCurves = {
  "P-256": {
    name: "prime256v1",
    hash: "sha256",
    digestBytes: 32,
    fast: true,
  },
  "P-384": {
    name: "secp384r1",
    hash: "sha384",
    digestBytes: 48,
    fast: false,
  },
  "P-521": {
    name: "secp521r1",
    hash: "sha512",
    digestBytes: 64,
    fast: false,
  },
} as const satisfies Record<string, Curve>;

export type CurveName = keyof typeof ecdsaCurves;

export const ecdsaEncodings: readonly SignatureEncoding[] = ["der", "raw"];

/** A fresh key. */
export async function generateEcdsa(curve: CurveName): Promise<Material> {
  return materialOf(await generateEcPair(ecdsaCurves[curve].name));
}

/** A key from outside: PKCS#8 or JWK with the private part, SPKI or JWK without it. */
export function importEcdsa(imported: ImportedKey, curve: CurveName): Material {
  const { name } = ecdsaCurves[curve];
  return importAsymmetric(imported, (key) => {
    if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== name) {
      throw invalid("this is no EC key on the curve of its type");
    }
    if (key.type === "private") assertPair(key, name);
  });
}

/** Opens stored material for use. */
export function openEcdsa(material: Material, curve: CurveName): SigningKey {
  const { hash, digestBytes, fast } = ecdsaCurves[curve];
  const pair = keyPairOf(material);
  const { publicKey } = pair;
  // P-384 takes most of a millisecond, P-521 more than two.
  const native = { brief: curve !== "P-521" };
  const byTask = { brief: curve === "P-256" };
  let offLoop: OffLoopKey | undefined;
  return {
    canSign: pair.privateKey !== undefined,
    sign(signed, options = {}) {
      const encoding = encodingOf(options);
      const privateKey = ownPrivateKey(pair);
      if ("message" in signed) {
        const key = encoded(privateKey, encoding);
        return fast ? sign(hash, signed.message, key) : signNative(hash, signed.message, key, native);
      }
      assertDigest(signed.digest, digestBytes);
      offLoop ??= new OffLoopKey(pair);
      const result = offLoop.run({ run: "ecdsa-sign-digest", digest: signed.digest, encoding }, byTask);
      return result instanceof Promise ? result.then(signatureOf) : signatureOf(result);
    },
    verify(signed, signature, options = {}) {
      const encoding = encodingOf(options);
      if ("message" in signed) {
        const key = encoded(publicKey, encoding);
        return fast
          ? verifyNow(hash, signed.message, key, signature)
          : verifyNative(hash, signed.message, key, signature, native);
      }
      assertDigest(signed.digest, digestBytes);
      offLoop ??= new OffLoopKey(pair);
      const result = offLoop.run(
        { run: "ecdsa-verify-digest", digest: signed.digest, signature, encoding },
        byTask,
      );
      return result instanceof Promise ? result.then((valid) => valid === true) : result === true;
    },
    ...publicPartOf(pair),
  };
}

function encodingOf(options: SignatureOptions): SignatureEncoding {
  assertOptions(options, [], ecdsaEncodings);
  return options.encoding ?? "der";
}

/** DER is what the platform makes unless told otherwise, and then sooner. */
function encoded(key: KeyObject, encoding: SignatureEncoding): KeyObject | SignKeyObjectInput {
  return encoding === "der" ? key : { key, dsaEncoding: "ieee-p1363" };
}

function verifyNow(
  hash: string,
  message: Uint8Array,
  key: KeyObject | SignKeyObjectInput,
  signature: Uint8Array,
): boolean {
  try {
    return verify(hash, message, key, signature);
  } catch {
    return false;
  }
}

function signatureOf(result: TaskResult): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw new Error("a signing task answered no signature");
}

/** Refuses a private key whose public point is not its own (SEC 1 §3.2.1). */
function assertPair(key: KeyObject, curveName: string): void {
  const { d, x, y } = key.export({ format: "jwk" });
  const ecdh = createECDH(curveName);
  ecdh.setPrivateKey(jwkBytes(d) ?? Buffer.alloc(0));
  const point = Buffer.concat([Buffer.of(4), jwkBytes(x) ?? Buffer.alloc(0), jwkBytes(y) ?? Buffer.alloc(0)]);
  if (!ecdh.getPublicKey().equals(point)) {
    throw invalid("the private and the public part do not belong together");
  }
}
