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
  {
    family: "aes-gcm",
    file: "wycheproof/aes_gcm_test.json",
    group: ["keySize", "ivSize", "tagSize"],
    case: ["key", "iv", "aad", "msg", "ct", "tag", ...verdict],
  },
  {
    family: "ecdsa-p256",
    file: "wycheproof/ecdsa_secp256r1_sha256_test.json",
    group: ["publicKeyDer"],
    case: ["msg", "sig", ...verdict],
  },
  {
    family: "rsa-2048",
    file: "wycheproof/rsa_signature_2048_sha256_test.json",
    group: ["publicKeyDer"],
    case: ["msg", "sig", ...verdict],
  },
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

function groupOf(row) {
  return (group) => ({
    ...pick(group, row.group),
    cases: group.tests.map((test) => pick(test, row.case)),
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

function countOf({ groups }) {
  return groups.reduce((sum, { cases }) => sum + cases.length, 0);
}
