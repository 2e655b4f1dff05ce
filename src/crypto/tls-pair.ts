/**
 * Whether a certificate and a private key belong together, before any listener has to find out.
 * Invariant: what is wrong is named by a constant; nothing of the key is in it.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";

/** What can be wrong with a pair. */
export type TlsPairFault = "certificate" | "key" | "encrypted_key" | "mismatch";

/**
 * What is wrong with a certificate (of a chain the first) and a private key, both PEM; undefined where they fit.
 * @param cert the text of the certificate's file
 * @param key the text of the key's file
 */
export function tlsPairFault(cert: string, key: string): TlsPairFault | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    return "certificate";
  }
  if (/^(-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED)/m.test(key)) return "encrypted_key";
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    return "key";
  }
  return certificate.checkPrivateKey(privateKey) ? undefined : "mismatch";
}
