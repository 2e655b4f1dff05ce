/**
 * The certificate and its key: read from their files, held against each other, and the suites that they are used with.
 * Invariant: a pair that a listener gets is one that fits; what does not fit is named by its setting in one line.
 */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { tlsPairFault, type TlsPairFault } from "../crypto/tls-pair.ts";
import { StartRefused } from "../start-refused.ts";

/** PEM texts: the certificate with what it chains to, and its private key. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Where a pair lies. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** All that TLS 1.2 may use: a fresh key exchange for each connection, and AEAD. The server's order is the preference. */
export const TLS_1_2_SUITES: readonly string[] = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];

/** TLS 1.3 has no others that are in use. */
export const TLS_1_3_SUITES: readonly string[] = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
];

const faults: Readonly<Record<TlsPairFault, string>> = {
  certificate: "KEYSTEAD_TLS_CERT names a file that holds no certificate in PEM form",
  key: "KEYSTEAD_TLS_KEY names a file that holds no private key in PEM form",
  encrypted_key: "KEYSTEAD_TLS_KEY names a key that is encrypted; it has to be one without a passphrase",
  mismatch: "KEYSTEAD_TLS_KEY is not the key of the certificate in KEYSTEAD_TLS_CERT",
};

/** Reads a pair. Throws StartRefused with one line that names the setting. */
export function readTlsPair({ certFile, keyFile }: TlsFiles): TlsPair {
  const cert = readText("KEYSTEAD_TLS_CERT", certFile);
  const key = readText("KEYSTEAD_TLS_KEY", keyFile);
  const fault = tlsPairFault(cert, key);
  if (fault !== undefined) throw new StartRefused(faults[fault]);
  try {
    // The rest of the chain, and sizes that the library refuses.
    createSecureContext({ cert, key });
  } catch {
    throw new StartRefused("KEYSTEAD_TLS_CERT and KEYSTEAD_TLS_KEY cannot be used by the TLS library");
  }
  return { cert, key };
}

function readText(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new StartRefused(`${name} names a file that cannot be read`);
  }
}
