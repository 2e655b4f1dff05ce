/**
 * Key material from PEM files, in every form that openssl writes: PKCS#8, PKCS#1 (RSA), SEC 1 (EC), SPKI, certificates.
 * Invariant: what comes out is DER in one of the two forms that the service imports; nothing of a file is in an error.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { KeysteadInputError } from "./input-error.ts";
import { toBase64 } from "./wire-bytes.ts";

const DER_SEQUENCE = 0x30;
const LABEL = /-----BEGIN ([A-Z0-9 ]+)-----/;

/** A key in one of the two forms of DER. */
export interface DerKey {
  readonly format: "pkcs8" | "spki";
  readonly bytes: Uint8Array;
}

/** True for what looks like a PEM file. */
export function looksLikePem(text: string): boolean {
  return LABEL.test(text);
}

/**
 * The private key of a PEM file as PKCS#8, or its public key as SPKI.
 * @throws KeysteadInputError for an encrypted key and for what is no key
 */
export function importMaterialFromPem(pem: string): DerKey {
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
    // Not every platform reads every kind of key; what says that it is in one of the two forms is sent as it is.
    const der = derOf(text);
    if (der === undefined) throw refused("The PEM file holds no key that can be read");
    return der;
  }
}

/** The only block of a file, where its label names one of the two forms; undefined for anything but canonical base64. */
function derOf(pem: string): DerKey | undefined {
  const block = /^-----BEGIN (PRIVATE|PUBLIC) KEY-----\s+([A-Za-z0-9+/=\s]+)-----END \1 KEY-----\s*$/m.exec(
    pem,
  );
  const text = block?.[2]?.replaceAll(/\s/g, "") ?? "";
  const bytes = Buffer.from(text, "base64");
  if (bytes[0] !== DER_SEQUENCE || bytes.toString("base64") !== text) return undefined;
  return { format: block?.[1] === "PRIVATE" ? "pkcs8" : "spki", bytes };
}

/** A key as PEM (RFC 7468), without a line end after it. */
export function pemOf({ format, bytes }: DerKey): string {
  const label = format === "pkcs8" ? "PRIVATE KEY" : "PUBLIC KEY";
  const lines = toBase64(bytes).match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join("\n");
}

function refused(message: string): KeysteadInputError {
  return new KeysteadInputError("invalid_key_material", message);
}
