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
import { equalConstantTime } from "../bytes.ts";
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
    if ((details.publicExponent ?? 0n) < EXPONENT_MIN) throw invalid("the public exponent is too small");
    if (key.type === "private") assertPair(openRsa(materialOf(key)));
  });
}

/** Opens stored material for use. */
export function openRsa(material: Material): SigningKey {
  const { privateKey, publicKey } = keyObjectsOf(material);
  const ownPrivateKey = (): KeyObject => {
    if (privateKey === undefined) throw new KeysteadError("key_public_only");
    return privateKey;
  };
  return {
    canSign: privateKey !== undefined,
    signDigest: (digest) =>
      privateEncrypt({ key: ownPrivateKey(), padding }, Buffer.concat([SHA256_DIGEST_INFO, digest])),
    signMessage: (message) => sign("sha256", message, { key: ownPrivateKey(), padding }),
    verifyDigest(digest, signature) {
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

/** Refuses a private key whose halves do not belong together, by one signature made and verified. */
export function assertPair(key: SigningKey): void {
  const probe = Buffer.from("pairwise consistency");
  let fits: boolean;
  try {
    fits = key.verifyMessage(probe, key.signMessage(probe));
  } catch {
    fits = false;
  }
  if (!fits) throw invalid("the private and the public part do not belong together");
}
