/**
 * The slow operations that run in workers, as tasks: making RSA keys, RSA signatures, OAEP decryption, ECDSA over a ready
 * digest, and Argon2id (RFC 9106), for passwords.
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
import { p256, p384, p521 } from "@noble/curves/nist.js";
import type { SecretBytes } from "../bytes.ts";
import { keyPairOf, materialOf, ownPrivateKey, type KeyPair } from "./asymmetric-key.ts";
import { jwkBytes, type Material } from "./material.ts";
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

/** A key opened for tasks. */
export interface TaskKey extends KeyPair {
  /** The numbers of an EC key, taken out when they are first needed. */
  readonly numbers: { scalar?: Buffer; point?: Buffer };
}

const PSS_SALT_BYTES = 32;
const curves = { prime256v1: p256, secp384r1: p384, secp521r1: p521 } as const;
/** DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017 §9.2, note 1). */
export const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex");

/** Opens material for tasks. */
export function openTaskKey(material: Material): TaskKey {
  return taskKeyOf(keyPairOf(material));
}

/** An open key for tasks. */
export function taskKeyOf({ publicKey, privateKey }: KeyPair): TaskKey {
  return { publicKey, privateKey, numbers: {} };
}

/** Runs a task that takes no key; undefined for one that does. */
export function runKeyless(task: Task): Uint8Array | undefined {
  if (task.run === "rsa-generate") return generateRsaKey(task.modulusBits);
  if (task.run !== "argon2id") return undefined;
  const { message, salt: nonce, cost } = task;
  return argon2Sync("argon2id", {
    message,
    nonce,
    memory: cost.memoryKib,
    passes: cost.passes,
    parallelism: cost.lanes,
    tagLength: cost.bytes,
  });
}

/** Runs a task. Throws where the key is of the wrong kind for it. */
export function runTask(key: TaskKey, task: Task): TaskResult {
  switch (task.run) {
    case "rsa-generate":
    case "argon2id":
      return runKeyless(task);
    case "rsa-sign":
      return sign("sha256", task.message, rsaPadding(ownPrivateKey(key), task.scheme));
    case "rsa-sign-digest":
      return privateEncrypt(
        { key: ownPrivateKey(key), padding: constants.RSA_PKCS1_PADDING },
        Buffer.concat([SHA256_DIGEST_INFO, task.digest]),
      );
    case "rsa-decrypt":
      return decryptOaep(ownPrivateKey(key), task.ciphertext, task.label);
    case "ecdsa-sign-digest":
      return curveOf(key).sign(task.digest, scalarOf(key), ecdsaOptions(task.encoding));
    case "ecdsa-verify-digest":
      try {
        return curveOf(key).verify(task.signature, task.digest, pointOf(key), ecdsaOptions(task.encoding));
      } catch {
        return false;
      }
  }
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

function curveOf({ publicKey }: TaskKey): (typeof curves)[keyof typeof curves] {
  const name = publicKey.asymmetricKeyDetails?.namedCurve;
  if (name === "prime256v1" || name === "secp384r1" || name === "secp521r1") return curves[name];
  throw new Error("a task for an EC key was given another one");
}

function scalarOf(key: TaskKey): Buffer {
  return (key.numbers.scalar ??= jwkNumber(ownPrivateKey(key), "d"));
}

function pointOf({ publicKey, numbers }: TaskKey): Buffer {
  return (numbers.point ??= Buffer.concat([
    Buffer.of(4),
    jwkNumber(publicKey, "x"),
    jwkNumber(publicKey, "y"),
  ]));
}

function jwkNumber(key: KeyObject, member: "d" | "x" | "y"): Buffer {
  const bytes = jwkBytes(key.export({ format: "jwk" })[member]);
  if (bytes === undefined) throw new Error("an EC key exported a malformed JWK");
  return bytes;
}
