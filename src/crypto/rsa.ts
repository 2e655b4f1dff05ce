/**
 * RSA signatures, RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
 * A ready digest is wrapped into its DigestInfo here and signed by the raw operation with type 1 padding, since the
 * platform's `sign` would hash it once more.
 */
import { Buffer } from "node:buffer";
import {
  constants,
  generateKeyPair,
  privateEncrypt,
  publicDecrypt,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { promisify } from "node:util";
import { decodeBase64Url, equalConstantTime } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import {
  importAsymmetric,
  invalid,
  keyObjectsOf,
  materialOf,
  type ImportedKey,
  type Material,
} from "./material.ts";
import type { SigningKey } from "./signing-key.ts";

/** The smallest public exponent accepted (FIPS 186-5 §A.1.1). */
const EXPONENT_MIN = 65537n;
/** Larger ones are refused by one of the platforms when they are used, and slow on the other. */
const EXPONENT_MAX = 2n ** 33n;
/** DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017 §9.2, note 1). */
const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex");
const padding = constants.RSA_PKCS1_PADDING;

const generatePair = promisify(generateKeyPair);

/** A fresh key of `modulusBits`; made off the event loop. */
export async function generateRsa(modulusBits: number): Promise<Material> {
  const { privateKey } = await generatePair("rsa", { modulusLength: modulusBits, publicExponent: 65537 });
  return materialOf(privateKey);
}

/** A key from outside: PKCS#8 or JWK with the private part, SPKI or JWK without it. */
export function importRsa(imported: ImportedKey, modulusBits: number): Material {
  return importAsymmetric(imported, (key) => {
    const details = key.asymmetricKeyDetails;
    if (key.asymmetricKeyType !== "rsa") throw invalid("this is no RSA key");
    if (details?.modulusLength !== modulusBits)
      throw invalid("the modulus has the wrong length for its type");
    const exponent = details.publicExponent ?? 0n;
    if (exponent < EXPONENT_MIN) throw invalid("the public exponent is too small");
    if (exponent > EXPONENT_MAX) throw invalid("the public exponent is too large");
    const numbers = rsaNumbers(key);
    if (exponent % 2n === 0n || numbers.n % 2n === 0n) throw invalid("modulus and exponent of RSA are odd");
    if (key.type === "private") {
      assertConsistent(numbers);
      assertPair(openRsa(materialOf(key)));
    }
  });
}

/** Opens stored material for use. */
export function openRsa(material: Material): SigningKey {
  const { privateKey, publicKey } = keyObjectsOf(material);
  const ownPrivateKey = (): KeyObject => {
    if (privateKey === undefined) throw new KeysteadError("key_public_only");
    return privateKey;
  };
  const signatureBytes = Math.ceil((publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  return {
    canSign: privateKey !== undefined,
    signDigest: (digest) =>
      privateEncrypt({ key: ownPrivateKey(), padding }, Buffer.concat([SHA256_DIGEST_INFO, digest])),
    signMessage: (message) => sign("sha256", message, { key: ownPrivateKey(), padding }),
    verifyDigest(digest, signature) {
      // RFC 8017 §8.2.2 step 1: the raw operation would take a signature without its leading zeros.
      if (signature.length !== signatureBytes) return false;
      try {
        const recovered = publicDecrypt({ key: publicKey, padding }, signature);
        return equalConstantTime(recovered, Buffer.concat([SHA256_DIGEST_INFO, digest]));
      } catch {
        return false;
      }
    },
    verifyMessage(message, signature) {
      try {
        return verify("sha256", message, { key: publicKey, padding }, signature);
      } catch {
        return false;
      }
    },
    publicKeyDer: () => publicKey.export({ format: "der", type: "spki" }),
  };
}

type RsaNumbers = Record<"n" | "e" | "d" | "p" | "q" | "dp" | "dq" | "qi", bigint>;

function rsaNumbers(key: KeyObject): RsaNumbers {
  const jwk = key.export({ format: "jwk" });
  const number = (text: string | undefined): bigint =>
    BigInt(`0x0${decodeBase64Url(text ?? "")?.toString("hex") ?? ""}`);
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
    (e * d) % (p - 1n) === 1n &&
    (e * d) % (q - 1n) === 1n &&
    dp === d % (p - 1n) &&
    dq === d % (q - 1n) &&
    (q * qi) % p === 1n;
  if (!fits) throw mismatch();
}

/** Refuses a private key whose halves do not belong together, by one signature made and verified. */
export function assertPair(key: SigningKey): void {
  const probe = Buffer.from("pairwise consistency");
  let fits: boolean;
  try {
    fits = key.verifyMessage(probe, key.signMessage(probe));
  } catch {
    fits = false;
  }
  if (!fits) throw mismatch();
}

function mismatch(): KeysteadError {
  return invalid("the private and the public part do not belong together");
}
