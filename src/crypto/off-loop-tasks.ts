/**
 * The slow operations that run in workers, as tasks: making RSA keys, RSA signatures, OAEP decryption, ECDSA over a ready
 * digest and on secp256k1, public points of secp256k1 and BLS12-381, and Argon2id (RFC 9106), for passwords.
 * - An RSA digest is wrapped into its DigestInfo (RFC 8017 §9.2) and signed by the raw operation with type 1 padding,
 *   since the platform's `sign` would hash it once more.
 * - An ECDSA digest goes through @noble/curves for the same reason: slower, and not constant-time (docs/security.md).
 * Invariant: pure functions of key and task; they never throw for a malformed signature or ciphertext.
 */
import { Buffer } from "node:buffer";
import {
  argon2Sync,
  constants,
  generateKeyPairSync,
  privateDecrypt,
  privateEncrypt,
  sign,
  type KeyObject,
  type SignKeyObjectInput,
} from "node:crypto";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import type { SecretBytes } from "../bytes.ts";
import { keyPairOf, materialOf, ownPrivateKey, type KeyPair } from "./asymmetric-key.ts";
import { jwkBytes, type Material } from "./material.ts";
import { secp256k1NumbersOf } from "./secp256k1-encoding.ts";
import type { SignatureEncoding, SignatureScheme } from "./signing-key.ts";

export type Task =
  /** Takes no key, and answers a fresh one as PKCS#8. */
  | { readonly run: "rsa-generate"; readonly modulusBits: number }
  /** Takes no key, and answers the hash. */
  | {
      readonly run: "argon2id";
      readonly message: Uint8Array;
      readonly salt: Uint8Array;
      readonly cost: Argon2Cost;
    }
  /** Takes no key, and answers the product of a secret scalar and the curve's generator. */
  | { readonly run: "public-point"; readonly curve: PointCurve; readonly scalar: Uint8Array }
  | { readonly run: "rsa-sign"; readonly message: Uint8Array; readonly scheme: SignatureScheme }
  | { readonly run: "rsa-sign-digest"; readonly digest: Uint8Array }
  | {
      readonly run: "rsa-decrypt";
      readonly ciphertext: Uint8Array;
      readonly label: Uint8Array | undefined;
    }
  | {
      readonly run: "ecdsa-sign-digest";
      readonly digest: Uint8Array;
      readonly encoding: SignatureEncoding;
    }
  | {
      readonly run: "ecdsa-verify-digest";
      readonly digest: Uint8Array;
      readonly signature: Uint8Array;
      readonly encoding: SignatureEncoding;
    };

/** The parameters m, t and p of Argon2 (RFC 9106 §3.1) and the length of what it gives. */
export interface Argon2Cost {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
  readonly bytes: number;
}

export type TaskResult = Uint8Array | boolean | undefined;

export type PointCurve = "secp256k1" | "bls12-381-g1" | "bls12-381-g2" | "bls12-381-g1g2";

/** A key opened for tasks. */
export interface TaskKey {
  /** Undefined for a key on secp256k1, which not every platform knows. */
  readonly pair: KeyPair | undefined;
  /** The numbers of an EC key, taken out when they are first needed. */
  readonly numbers: { scalar?: Buffer; point?: Buffer };
}

const PSS_SALT_BYTES = 32;
const curves = { prime256v1: p256, secp384r1: p384, secp521r1: p521 } as const;
/** DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017 §9.2, note 1). */
export const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex");

/** Opens material for tasks. */
export function openTaskKey(material: Material): TaskKey {
  const numbers = secp256k1NumbersOf(material);
  if (numbers === undefined) return taskKeyOf(keyPairOf(material));
  const { scalar, point } = numbers;
  return { pair: undefined, numbers: scalar === undefined ? { point } : { scalar, point } };
}

/** An open key for tasks. */
export function taskKeyOf(pair: KeyPair): TaskKey {
  return { pair, numbers: {} };
}

/** Runs a task. Throws where the key is of the wrong kind for it. */
export function runTask(key: TaskKey, task: Task): TaskResult {
  switch (task.run) {
    case "rsa-generate":
    case "argon2id":
    case "public-point":
      return runKeyless(task);
    case "rsa-sign":
      return sign("sha256", task.message, rsaPadding(privateKeyOf(key), task.scheme));
    case "rsa-sign-digest":
      return privateEncrypt(
        { key: privateKeyOf(key), padding: constants.RSA_PKCS1_PADDING },
        Buffer.concat([SHA256_DIGEST_INFO, task.digest]),
      );
    case "rsa-decrypt":
      return decryptOaep(privateKeyOf(key), task.ciphertext, task.label);
    case "ecdsa-sign-digest":
      return curveOf(key).sign(task.digest, scalarOf(key), {
        ...ecdsaOptions(task.encoding),
        lowS: key.pair === undefined,
      });
    case "ecdsa-verify-digest":
      try {
        return curveOf(key).verify(task.signature, task.digest, pointOf(key), ecdsaOptions(task.encoding));
      } catch {
        return false;
      }
  }
}

/** The tasks that take no key; what they answer, or were given, is a secret. */
export type KeylessTask = Extract<Task, { run: "rsa-generate" | "public-point" | "argon2id" }>;

/** Whether a task takes no key. */
export function isKeyless(task: Task): task is KeylessTask {
  return task.run === "rsa-generate" || task.run === "public-point" || task.run === "argon2id";
}

/** Runs a task that takes no key. */
export function runKeyless(task: KeylessTask): Uint8Array {
  switch (task.run) {
    case "rsa-generate":
      return generateRsaKey(task.modulusBits);
    case "public-point":
      return publicPoint(task.curve, task.scalar);
    case "argon2id":
      return hashArgon2id(task);
  }
}

function hashArgon2id({ message, salt: nonce, cost }: Extract<Task, { run: "argon2id" }>): Uint8Array {
  return argon2Sync("argon2id", {
    message,
    nonce,
    memory: cost.memoryKib,
    passes: cost.passes,
    parallelism: cost.lanes,
    tagLength: cost.bytes,
  });
}

/** On secp256k1 uncompressed (SEC 1 §2.3.3), on BLS12-381 compressed. */
function publicPoint(curve: PointCurve, scalar: Uint8Array): Uint8Array {
  if (curve === "secp256k1") return secp256k1.getPublicKey(scalar, false);
  const { G1, G2 } = bls12_381;
  const number = G1.Point.Fn.fromBytes(scalar);
  const inG1 = (): Uint8Array => G1.Point.BASE.multiply(number).toBytes();
  const inG2 = (): Uint8Array => G2.Point.BASE.multiply(number).toBytes();
  if (curve === "bls12-381-g1") return inG1();
  return curve === "bls12-381-g2" ? inG2() : Buffer.concat([inG1(), inG2()]);
}

/** A fresh RSA key as PKCS#8; it takes up to seconds. */
export function generateRsaKey(modulusBits: number): SecretBytes {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: modulusBits, publicExponent: 65537 });
  return materialOf(privateKey).bytes;
}

/** The padding of a scheme: PKCS#1 v1.5, or PSS with a salt as long as the digest (RFC 8017 §8). */
export function rsaPadding(key: KeyObject, scheme: SignatureScheme | undefined): SignKeyObjectInput {
  return scheme === "pss"
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PSS_SALT_BYTES }
    : { key, padding: constants.RSA_PKCS1_PADDING };
}

/** The parameters of OAEP with SHA-256 and MGF1 with SHA-256 (RFC 8017 §7.1). */
export function oaepOptions(
  key: KeyObject,
  label: Uint8Array | undefined,
): { key: KeyObject; padding: number; oaepHash: string; oaepLabel?: Uint8Array } {
  const options = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  return label === undefined ? options : { ...options, oaepLabel: label };
}

function decryptOaep(
  key: KeyObject,
  ciphertext: Uint8Array,
  label: Uint8Array | undefined,
): Uint8Array | undefined {
  try {
    return privateDecrypt(oaepOptions(key, label), ciphertext);
  } catch {
    return undefined;
  }
}

function ecdsaOptions(encoding: SignatureEncoding): {
  prehash: false;
  lowS: false;
  format: "der" | "compact";
} {
  return { prehash: false, lowS: false, format: encoding === "der" ? "der" : "compact" };
}

function curveOf({ pair }: TaskKey): (typeof curves)[keyof typeof curves] {
  if (pair === undefined) return secp256k1;
  const name = pair.publicKey.asymmetricKeyDetails?.namedCurve;
  if (name === "prime256v1" || name === "secp384r1" || name === "secp521r1") return curves[name];
  throw new Error("a task for an EC key was given another one");
}

function privateKeyOf({ pair }: TaskKey): KeyObject {
  if (pair === undefined) throw new Error("a task for another kind of key was given an EC key");
  return ownPrivateKey(pair);
}

function scalarOf(key: TaskKey): Buffer {
  return (key.numbers.scalar ??= jwkNumber(privateKeyOf(key), "d"));
}

function pointOf({ pair, numbers }: TaskKey): Buffer {
  if (pair === undefined && numbers.point === undefined) throw new Error("an EC key came without its point");
  if (pair !== undefined) {
    numbers.point ??= Buffer.concat([
      Buffer.of(4),
      jwkNumber(pair.publicKey, "x"),
      jwkNumber(pair.publicKey, "y"),
    ]);
  }
  return numbers.point ?? Buffer.alloc(0);
}

function jwkNumber(key: KeyObject, member: "d" | "x" | "y"): Buffer {
  const bytes = jwkBytes(key.export({ format: "jwk" })[member]);
  if (bytes === undefined) throw new Error("an EC key exported a malformed JWK");
  return bytes;
}
