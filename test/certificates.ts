/** Certificates for tests, made by openssl: for localhost and the loopback addresses, signed by themselves. */
import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./harness.ts";

export type CertificateKind = "ecdsa" | "rsa";

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

const algorithm: Readonly<Record<CertificateKind, readonly string[]>> = {
  ecdsa: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  rsa: ["rsa:2048"],
};

/** Makes a certificate with a serial number by which a handshake tells it. */
export function makeCertificate(kind: CertificateKind, serial: number): CertificateFiles {
  const folder = temporaryFolder();
  const [certFile, keyFile] = [join(folder, "tls.pem"), join(folder, "tls.key")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-nodes", "-days", "2", "-set_serial", String(serial), ...subject].concat(
      "-newkey",
      algorithm[kind],
      "-keyout",
      keyFile,
      "-out",
      certFile,
    ),
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  return { certFile, keyFile };
}

export interface Authority {
  readonly caFile: string;
  /** Makes a certificate for these names, as in `DNS:localhost,IP:127.0.0.1`. */
  issue(names: string, options?: { readonly expired?: boolean }): CertificateFiles;
}

/** Makes an authority that signs the certificates of others. */
export function makeAuthority(): Authority {
  const folder = temporaryFolder();
  const [caFile, caKeyFile] = [join(folder, "ca.pem"), join(folder, "ca.key")];
  const run = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  };
  const request = ["req", "-nodes", "-newkey", ...algorithm.ecdsa];
  const subject = ["-subj", "/CN=Authority of a test"];
  run(...request, "-x509", "-days", "2", ...subject, "-keyout", caKeyFile, "-out", caFile);
  return {
    caFile,
    issue(names, { expired = false } = {}) {
      const own = temporaryFolder();
      const [certFile, keyFile, asked] = [join(own, "tls.pem"), join(own, "tls.key"), join(own, "tls.csr")];
      const extension = ["-addext", `subjectAltName=${names}`];
      run(...request, "-subj", "/CN=database", ...extension, "-keyout", keyFile, "-out", asked);
      const days = expired ? "-1" : "2";
      const signed = ["-CA", caFile, "-CAkey", caKeyFile, "-days", days, "-copy_extensions", "copy"];
      run("x509", "-req", "-in", asked, ...signed, "-out", certFile);
      return { certFile, keyFile };
    },
  };
}

/** Puts one certificate and its key into the place of another's, as a renewal does. */
export function replaceCertificate(old: CertificateFiles, renewed: CertificateFiles): void {
  copyFileSync(renewed.certFile, old.certFile);
  copyFileSync(renewed.keyFile, old.keyFile);
}

/** The settings that serve it. */
export function tlsSettings({ certFile, keyFile }: CertificateFiles): Record<string, string> {
  return { KEYSTEAD_TLS_CERT: certFile, KEYSTEAD_TLS_KEY: keyFile };
}
