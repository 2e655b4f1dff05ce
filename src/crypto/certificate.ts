/** X.509 certificates in PEM (RFC 7468 §5). */
import { X509Certificate } from "node:crypto";

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Whether a text is certificates, one or more, and nothing else. */
export function areCertificates(pem: string): boolean {
  const blocks = pem.match(block) ?? [];
  if (blocks.length === 0 || pem.replaceAll(block, "").trim() !== "") return false;
  try {
    for (const certificate of blocks) new X509Certificate(certificate);
    return true;
  } catch {
    return false;
  }
}
