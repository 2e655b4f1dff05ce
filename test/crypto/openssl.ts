/** The `openssl` command line as a second opinion: what one made, the other takes. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../harness.ts";

const { status, stdout } = spawnSync("openssl", ["version"], { encoding: "utf8" });

/** Why the cross-checks are skipped; false where they run. LibreSSL has the name and not the options. */
export const opensslIsMissing: string | false =
  status === 0 && stdout.startsWith("OpenSSL ") ? false : "there is no OpenSSL command line here";

/** What `openssl list` must name for an algorithm to be cross-checked. */
export function opensslLacks(name: string): string | false {
  if (opensslIsMissing !== false) return opensslIsMissing;
  const { stdout: listed } = spawnSync("openssl", ["list", "-public-key-algorithms"], { encoding: "utf8" });
  return listed.toLowerCase().includes(name.toLowerCase()) ? false : `this OpenSSL has no ${name}`;
}

export interface OpensslDigest {
  readonly hash?: "sha256" | "sha384" | "sha512";
  /** Further options of `openssl dgst`. */
  readonly options?: readonly string[];
}

const pssOptions = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
/** RSASSA-PSS with a salt of 32 bytes. */
export const opensslPss: OpensslDigest = { options: pssOptions };

/** Signs under a private key in PKCS#8 DER. */
export function opensslSign(
  pkcs8: Uint8Array,
  message: Uint8Array,
  { hash = "sha256", options = [] }: OpensslDigest = {},
): Buffer {
  const { key } = files({ key: pkcs8 });
  return run(["dgst", `-${hash}`, ...options, "-keyform", "DER", "-sign", key], message);
}

/** Whether OpenSSL takes a signature under a public key in SPKI DER. */
export function opensslVerify(
  spki: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  { hash = "sha256", options = [] }: OpensslDigest = {},
): boolean {
  const { key, signature: file } = files({ key: spki, signature });
  const args = ["dgst", `-${hash}`, ...options, "-keyform", "DER", "-verify", key, "-signature", file];
  return spawnSync("openssl", args, { input: message }).stdout.toString().includes("Verified OK");
}

/** Signs a message as it is (Ed25519, ML-DSA) under a private key in PKCS#8 DER. */
export function opensslSignRaw(pkcs8: Uint8Array, message: Uint8Array): Buffer {
  const { key, message: file } = files({ key: pkcs8, message });
  return run(["pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key, "-in", file]);
}

/** Whether OpenSSL takes a signature over a message as it is under a public key in SPKI DER. */
export function opensslVerifyRaw(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const { key, message: file, signature: signed } = files({ key: spki, message, signature });
  const args = ["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", key, "-in", file];
  return spawnSync("openssl", [...args, "-sigfile", signed])
    .stdout.toString()
    .includes("Success");
}

const oaepOptions = [
  ...["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"],
  ...["-pkeyopt", "rsa_mgf1_md:sha256"],
];

/** RSA-OAEP with SHA-256 to a public key in SPKI DER. */
export function opensslEncrypt(spki: Uint8Array, plaintext: Uint8Array, label: Uint8Array): Buffer {
  const { key } = files({ key: spki });
  const args = ["pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", key, ...oaepOptions];
  return run([...args, ...labelOption(label)], plaintext);
}

/** RSA-OAEP with SHA-256 with a private key in PKCS#8 DER. */
export function opensslDecrypt(pkcs8: Uint8Array, ciphertext: Uint8Array, label: Uint8Array): Buffer {
  const { key } = files({ key: pkcs8 });
  const args = ["pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", key, ...oaepOptions];
  return run([...args, ...labelOption(label)], ciphertext);
}

/** HMAC of a message. */
export function opensslMac(key: Uint8Array, message: Uint8Array, hash: string): Buffer {
  const hex = Buffer.from(key).toString("hex");
  return run(["dgst", `-${hash}`, "-mac", "HMAC", "-macopt", `hexkey:${hex}`, "-binary"], message);
}

function labelOption(label: Uint8Array): string[] {
  return label.length === 0 ? [] : ["-pkeyopt", `rsa_oaep_label:${Buffer.from(label).toString("hex")}`];
}

function run(args: readonly string[], input?: Uint8Array): Buffer {
  const result = spawnSync("openssl", args, { input });
  if (result.status !== 0) throw new Error(result.stderr.toString());
  return result.stdout;
}

/** Writes each value into a file of its own, in a folder that is removed afterwards. */
function files<K extends string>(contents: Record<K, Uint8Array>): Record<K, string> {
  const folder = temporaryFolder();
  const paths = Object.entries<Uint8Array>(contents).map(([name, bytes]) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return [name, path];
  });
  return Object.fromEntries(paths) as Record<K, string>;
}
