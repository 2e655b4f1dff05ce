/**
 * What the platform it runs on makes of post-quantum keys, without any code of the service: run by other-runtime.ts.
 * One JSON question on standard input, one JSON answer on standard output; bytes are in base64.
 */
import { createPrivateKey, createPublicKey, sign, verify, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";

export interface KemQuestion {
  readonly ask: "kem";
  readonly algorithm: string;
  readonly pkcs8: string;
  /** An encapsulation of the service's, without its version. */
  readonly ciphertext: string;
}

export interface KemAnswer {
  readonly spki: string;
  /** Of the question's ciphertext. */
  readonly sharedSecret: string;
  /** Made here, for the service to open. */
  readonly made: { readonly ciphertext: string; readonly sharedSecret: string };
}

export interface SignatureQuestion {
  readonly ask: "signature";
  readonly pkcs8: string;
  readonly message: string;
  readonly signature: string;
}

export interface SignatureAnswer {
  readonly spki: string;
  readonly valid: boolean;
  readonly signature: string;
}

const { subtle } = webcrypto;
const question = JSON.parse(readFileSync(0, "utf8")) as KemQuestion | SignatureQuestion;
const answer = question.ask === "kem" ? await kem(question) : signature(question);
process.stdout.write(JSON.stringify(answer));

async function kem({ algorithm, pkcs8, ciphertext }: KemQuestion): Promise<KemAnswer> {
  const der = bytes(pkcs8);
  const spki = spkiOf(der);
  const privateKey = await subtle.importKey("pkcs8", der, algorithm, false, ["decapsulateBits"]);
  const publicKey = await subtle.importKey("spki", spki, algorithm, false, ["encapsulateBits"]);
  const made = await subtle.encapsulateBits(algorithm, publicKey);
  return {
    spki: base64(spki),
    sharedSecret: base64(await subtle.decapsulateBits(algorithm, privateKey, bytes(ciphertext))),
    made: { ciphertext: base64(made.ciphertext), sharedSecret: base64(made.sharedKey) },
  };
}

function signature({ pkcs8, message, signature: given }: SignatureQuestion): SignatureAnswer {
  const der = bytes(pkcs8);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  return {
    spki: base64(spkiOf(der)),
    valid: verify(null, bytes(message), createPublicKey(privateKey), bytes(given)),
    signature: base64(sign(null, bytes(message), privateKey)),
  };
}

function spkiOf(pkcs8: Buffer): Buffer<ArrayBuffer> {
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return Buffer.from(createPublicKey(privateKey).export({ format: "der", type: "spki" }));
}

function bytes(text: string): Buffer<ArrayBuffer> {
  return Buffer.from(text, "base64");
}

function base64(given: ArrayBuffer | Buffer): string {
  return (given instanceof ArrayBuffer ? Buffer.from(given) : given).toString("base64");
}
