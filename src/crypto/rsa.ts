/**
 * RSA keys of 2048, 3072 and 4096 bits (RFC 8017 §3): made, imported, checked.
 * Invariant: a key that was imported has an odd exponent between 65537 and 2³³ and numbers that agree with each other, and
 * has made a good signature.
 */
import { Buffer } from "node:buffer";
import { constants, verify, type KeyObject } from "node:crypto";
import { importAsymmetric, keyPairOf } from "./asymmetric-key.ts";
import { invalid, jwkBytes, type ImportedKey, type Material } from "./material.ts";
import { generateRsaMaterial, signNative } from "./off-loop.ts";

export type RsaBits = 2048 | 3072 | 4096;

/** The smallest public exponent accepted (FIPS 186-5 §A.1.1). */
const EXPONENT_MIN = 65537n;
/** Larger ones are refused by one of the platforms when they are used, and slow on the other. */
const EXPONENT_MAX = 2n ** 33n;

/** A fresh key of `modulusBits`; made off the event loop. */
export async function generateRsa(modulusBits: RsaBits): Promise<Material> {
  return generateRsaMaterial(modulusBits);
}

/** A key from outside: PKCS#8 or JWK with the private part, SPKI or JWK without it. */
export async function importRsa(imported: ImportedKey, modulusBits: RsaBits): Promise<Material> {
  const material = importAsymmetric(imported, (key) => {
    const details = key.asymmetricKeyDetails;
    if (key.asymmetricKeyType !== "rsa") throw invalid("this is no RSA key");
    if (details?.modulusLength !== modulusBits)
      throw invalid("the modulus has the wrong length for its type");
    const exponent = details.publicExponent ?? 0n;
    if (exponent < EXPONENT_MIN) throw invalid("the public exponent is too small");
    if (exponent > EXPONENT_MAX) throw invalid("the public exponent is too large");
    const numbers = rsaNumbers(key);
    if (exponent % 2n === 0n || numbers.n % 2n === 0n) throw invalid("modulus and exponent of RSA are odd");
    if (key.type === "private") assertConsistent(numbers);
  });
  await assertSigns(material);
  return material;
}

/** Whether private operations of a key of this size are brief (about a millisecond). */
export function rsaIsBrief(key: KeyObject): boolean {
  return modulusBytesOf(key) <= 256;
}

/** The length of the key's modulus, and of all that it signs and encrypts. */
export function modulusBytesOf(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

type RsaNumbers = Record<"n" | "e" | "d" | "p" | "q" | "dp" | "dq" | "qi", bigint>;

function rsaNumbers(key: KeyObject): RsaNumbers {
  const jwk = key.export({ format: "jwk" });
  const number = (text: string | undefined): bigint =>
    BigInt(`0x0${jwkBytes(text ?? "")?.toString("hex") ?? ""}`);
  const { n, e, d, p, q, dp, dq, qi } = jwk;
  return {
    n: number(n),
    e: number(e),
    d: number(d),
    p: number(p),
    q: number(q),
    dp: number(dp),
    dq: number(dq),
    qi: number(qi),
  };
}

/**
 * Refuses a private key whose numbers contradict each other (RFC 8017 §3.2). One platform works around a wrong one,
 * another refuses the whole key: what is stored must open on both.
 */
function assertConsistent({ n, e, d, p, q, dp, dq, qi }: RsaNumbers): void {
  const fits =
    p > 1n &&
    q > 1n &&
    p * q === n &&
    d < n &&
    (e * d) % (p - 1n) === 1n &&
    (e * d) % (q - 1n) === 1n &&
    dp === d % (p - 1n) &&
    dq === d % (q - 1n) &&
    (q * qi) % p === 1n;
  if (!fits) throw mismatch();
}

/** Refuses a private key that makes no good signature, by one that is made and verified. */
async function assertSigns(material: Material): Promise<void> {
  if (material.form !== "pkcs8") return;
  const { privateKey, publicKey } = keyPairOf(material);
  if (privateKey === undefined) return;
  const probe = Buffer.from("pairwise consistency");
  const padding = constants.RSA_PKCS1_PADDING;
  const signature = await signNative(
    "sha256",
    probe,
    { key: privateKey, padding },
    { brief: rsaIsBrief(publicKey) },
  );
  if (!verify("sha256", probe, { key: publicKey, padding }, signature)) throw mismatch();
}

function mismatch(): ReturnType<typeof invalid> {
  return invalid("the private and the public part do not belong together");
}
