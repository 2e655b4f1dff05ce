// Makes test/vectors/<family>.json.gz from a folder of published test vectors: only the fields that the tests read.
// Usage: node scripts/make-vectors.mjs FOLDER (with wycheproof/*_test.json and xaes-256-gcm.json in it). Plain Node.
// The same input gives the same bytes. Sources and licences stand in NOTICE. A further algorithm is one more row.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What every case of Project Wycheproof has. */
const verdict = ["tcId", "comment", "flags", "result"];

const families = [
  aead("aes-gcm", "aes_gcm_test"),
  aead("chacha20-poly1305", "chacha20_poly1305_test"),
  aead("xchacha20-poly1305", "xchacha20_poly1305_test"),
  aead("aes-128-cbc-hmac-sha-256", "a128cbc_hs256_test"),
  aead("aes-256-cbc-hmac-sha-512", "a256cbc_hs512_test"),
  signatures("ecdsa-p256", "ecdsa_secp256r1_sha256_test"),
  signatures("ecdsa-p256-raw", "ecdsa_secp256r1_sha256_p1363_test"),
  signatures("ecdsa-p384", "ecdsa_secp384r1_sha384_test"),
  signatures("ecdsa-p521", "ecdsa_secp521r1_sha512_test"),
  signatures("secp256k1", "ecdsa_secp256k1_sha256_test"),
  signatures("secp256k1-raw", "ecdsa_secp256k1_sha256_p1363_test"),
  signatures("ed25519", "ed25519_test"),
  {
    family: "x25519",
    file: "wycheproof/x25519_test.json",
    group: ["curve"],
    case: ["public", "private", "shared", ...verdict],
  },
  {
    family: "hkdf-256",
    file: "wycheproof/hkdf_sha256_test.json",
    group: ["keySize"],
    case: ["ikm", "salt", "info", "size", "okm", ...verdict],
  },
  ...[44, 65, 87].map((size) => ({
    ...signatures(`ml-dsa-${size}`, `mldsa_${size}_verify_test`),
    // The context, where a case has one.
    optional: ["ctx"],
  })),
  ...[2048, 3072, 4096].flatMap((bits) => [
    signatures(`rsa-${bits}`, `rsa_signature_${bits}_sha256_test`),
    signatures(`rsa-pss-${bits}`, `rsa_pss_${bits}_sha256_mgf1_32_test`),
    {
      family: `rsa-oaep-${bits}`,
      file: `wycheproof/rsa_oaep_${bits}_sha256_mgf1sha256_test.json`,
      group: ["privateKeyPkcs8"],
      case: ["msg", "ct", "label", ...verdict],
    },
  ]),
  ...[256, 384, 512].map((bits) => ({
    family: `hmac-${bits}`,
    file: `wycheproof/hmac_sha${bits}_test.json`,
    group: ["keySize", "tagSize"],
    case: ["key", "msg", "tag", ...verdict],
  })),
  {
    family: "ml-kem-768",
    file: "wycheproof/mlkem_768_test.json",
    group: ["parameterSet"],
    case: ["seed", "c", "K", "tcId", "flags", "result"],
    optional: ["ek", "comment"],
  },
  ...["kw", "kwp"].map((mode) => ({
    family: `aes-${mode}`,
    file: `wycheproof/aes_${mode === "kw" ? "wrap" : mode}_test.json`,
    group: ["keySize"],
    case: ["key", "msg", "ct", ...verdict],
  })),
  // Small and of a form of its own: taken whole.
  { family: "xaes-256-gcm", file: "xaes-256-gcm.json" },
];

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write("usage: node scripts/make-vectors.mjs FOLDER\n");
  process.exit(1);
}
const target = join(dirname(fileURLToPath(import.meta.url)), "..", "test", "vectors");
mkdirSync(target, { recursive: true });
for (const row of families) {
  const source = JSON.parse(readFileSync(join(folder, row.file), "utf8"));
  const compact = row.group === undefined ? source : { groups: source.testGroups.map(groupOf(row)) };
  if (row.group !== undefined && countOf(compact) !== source.numberOfTests) {
    throw new Error(`${row.file} says it holds ${source.numberOfTests} cases, and holds ${countOf(compact)}`);
  }
  const bytes = gzipSync(JSON.stringify(compact), { level: 9 });
  writeFileSync(join(target, `${row.family}.json.gz`), bytes);
  process.stdout.write(`${row.family}: ${bytes.length} bytes\n`);
}

function aead(family, file) {
  return {
    family,
    file: `wycheproof/${file}.json`,
    group: ["keySize", "ivSize", "tagSize"],
    case: ["key", "iv", "aad", "msg", "ct", "tag", ...verdict],
  };
}

function signatures(family, file) {
  return {
    family,
    file: `wycheproof/${file}.json`,
    group: ["publicKeyDer"],
    case: ["msg", "sig", ...verdict],
  };
}

function groupOf(row) {
  return (group) => ({
    ...pick(group, row.group),
    cases: group.tests.map((test) => ({ ...pick(test, row.case), ...pickThere(test, row.optional ?? []) })),
  });
}

function pick(object, fields) {
  return Object.fromEntries(
    fields.map((field) => {
      if (object[field] === undefined) throw new Error(`the field ${field} is missing in the source`);
      return [field, object[field]];
    }),
  );
}

/** As `pick`, for fields that some cases lack. */
function pickThere(object, fields) {
  return pick(
    object,
    fields.filter((field) => object[field] !== undefined),
  );
}

function countOf({ groups }) {
  return groups.reduce((sum, { cases }) => sum + cases.length, 0);
}
