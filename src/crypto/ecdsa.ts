/**
 * ECDSA over NIST P-256 with SHA-256 (FIPS 186-5 §6); signatures in ASN.1 DER (RFC 3279 §2.2.3).
 * Messages go through the platform's native code. A ready digest goes through @noble/curves, since the platform would
 * hash it once more: slower, and not constant-time (docs/security.md says so).
 */
import { Buffer } from "node:buffer";
import { generateKeyPair, sign, verify, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { p256 } from "@noble/curves/nist.js";
import { decodeBase64Url } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import {
  importAsymmetric,
  invalid,
  keyObjectsOf,
  materialOf,
  type ImportedKey,
  type Material,
} from "./material.ts";
import { assertPair } from "./rsa.ts";
import type { SigningKey } from "./signing-key.ts";

const generatePair = promisify(generateKeyPair);
const dsaEncoding = "der";

/** A fresh P-256 key. */
export async function generateP256(): Promise<Material> {
  const { privateKey } = await generatePair("ec", { namedCurve: "P-256" });
  return materialOf(privateKey);
}

/** A key from outside: PKCS#8 or JWK with the private part, SPKI or JWK without it. */
export function importP256(imported: ImportedKey): Material {
  return importAsymmetric(imported, (key) => {
    if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
      throw invalid("this is no key on the curve P-256");
    }
    if (key.type === "private") assertPair(openP256(materialOf(key)));
  });
}

/** Opens stored material for use. */
export function openP256(material: Material): SigningKey {
  const { privateKey, publicKey } = keyObjectsOf(material);
  const ownPrivateKey = (): KeyObject => {
    if (privateKey === undefined) throw new KeysteadError("key_public_only");
    return privateKey;
  };
  let scalar: Buffer | undefined;
  let point: Buffer | undefined;
  return {
    canSign: privateKey !== undefined,
    signDigest(digest) {
      scalar ??= jwkNumber(ownPrivateKey(), "d");
      return p256.sign(digest, scalar, { prehash: false, lowS: false, format: "der" });
    },
    signMessage: (message) => sign("sha256", message, { key: ownPrivateKey(), dsaEncoding }),
    verifyDigest(digest, signature) {
      point ??= Buffer.concat([Buffer.of(4), jwkNumber(publicKey, "x"), jwkNumber(publicKey, "y")]);
      try {
        return p256.verify(signature, digest, point, { prehash: false, lowS: false, format: "der" });
      } catch {
        return false;
      }
    },
    verifyMessage(message, signature) {
      try {
        return verify("sha256", message, { key: publicKey, dsaEncoding }, signature);
      } catch {
        return false;
      }
    },
    publicKeyDer: () => publicKey.export({ format: "der", type: "spki" }),
  };
}

function jwkNumber(key: KeyObject, member: "d" | "x" | "y"): Buffer {
  const bytes = decodeBase64Url(key.export({ format: "jwk" })[member] ?? "");
  if (bytes?.length !== 32) throw new Error("a P-256 key exported a malformed JWK");
  return bytes;
}
