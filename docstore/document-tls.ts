/**
 * What TLS the document server speaks: that of the service itself (src/http/tls-files.ts), which no module of the client's side
 * may import. Invariant: a fresh key exchange for each connection, and AEAD; the server's order is the preference.
 */
import type { TlsOptions } from "node:tls";

const suites = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];

export const DOCUMENT_TLS: TlsOptions = {
  ciphers: suites.join(":"),
  honorCipherOrder: true,
  minVersion: "TLSv1.2",
};
