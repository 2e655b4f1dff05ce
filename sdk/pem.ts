/**
 * Key material from PEM files, in every form that openssl writes: PKCS#8, PKCS#1 (RSA), SEC 1 (EC), SPKI, certificates.
 * Invariant: what comes out is DER in one of the two forms that the service imports; nothing of a file is in an error.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { KeysteadInputError } from "./input-error.ts";
import type { ImportMaterial } from "./key-api.ts";

const LABEL = /-----BEGIN ([A-Z0-9 ]+)-----/;

/** True for what looks like a PEM file. */
export function looksLikePem(text: string): boolean {
  return LABEL.test(text);
}

/**
 * The private key of a PEM file as PKCS#8, or its public key as SPKI.
 * @throws KeysteadInputError for an encrypted key and for what is no key
 */
export function importMaterialFromPem(pem: string): ImportMaterial {
  const labels = [...pem.matchAll(new RegExp(LABEL, "g"))].map(([, label = ""]) => label);
  if (labels.some((label) => label.startsWith("ENCRYPTED")) || /^Proc-Type:.*ENCRYPTED/m.test(pem)) {
    throw refused("The PEM file is encrypted; decrypt it first, for example with: openssl pkey -in FILE");
  }
  const isPrivate = labels.some((label) => label.endsWith("PRIVATE KEY"));
  // `openssl ecparam -genkey` writes the curve's parameters before the key; they are in the key as well.
  const text = pem.replaceAll(/-----BEGIN EC PARAMETERS-----[^-]*-----END EC PARAMETERS-----\s*/g, "");
  try {
    return isPrivate
      ? { format: "pkcs8", bytes: createPrivateKey(text).export({ format: "der", type: "pkcs8" }) }
      : { format: "spki", bytes: createPublicKey(text).export({ format: "der", type: "spki" }) };
  } catch {
    throw refused("The PEM file holds no key that can be read");
  }
}

function refused(message: string): KeysteadInputError {
  return new KeysteadInputError("invalid_key_material", message);
}
