/** The `openssl` command line as a second opinion: signatures made by one are verified by the other. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../harness.ts";

const { status, stdout } = spawnSync("openssl", ["version"], { encoding: "utf8" });

/** Why the cross-checks are skipped; false where they run. LibreSSL has the name and not the options. */
export const opensslIsMissing: string | false =
  status === 0 && stdout.startsWith("OpenSSL ") ? false : "there is no OpenSSL command line here";

/** Signs with SHA-256 under a private key in PKCS#8 DER. */
export function opensslSign(pkcs8: Uint8Array, message: Uint8Array): Buffer {
  const folder = temporaryFolder();
  const key = join(folder, "key.der");
  writeFileSync(key, pkcs8);
  const result = spawnSync("openssl", ["dgst", "-sha256", "-keyform", "DER", "-sign", key], {
    input: message,
  });
  if (result.status !== 0) throw new Error(result.stderr.toString());
  return result.stdout;
}

/** Whether OpenSSL takes a signature with SHA-256 under a public key in SPKI DER. */
export function opensslVerify(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const folder = temporaryFolder();
  const [key, signatureFile] = [join(folder, "key.der"), join(folder, "signature")];
  writeFileSync(key, spki);
  writeFileSync(signatureFile, signature);
  const args = ["dgst", "-sha256", "-keyform", "DER", "-verify", key, "-signature", signatureFile];
  return spawnSync("openssl", args, { input: message }).stdout.toString().includes("Verified OK");
}
