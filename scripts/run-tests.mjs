// `npm test`: every test under the pinned Bun, and most of the portable ones once more under Node (where it is installed).
// Arguments are passed to Bun's runner, so that `npm test -- test/audit` runs a part. Ends with a line of counts.
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import "./install.mjs";
import { findBun, RUNTIME_FLAGS } from "./runtime.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Suites that start processes of their own, or keep to themselves: they run beside the others, on Bun alone. */
const bunOnly = [
  "test/cli/",
  "test/crash/",
  "test/docs/",
  "test/docstore/",
  "test/vectors/",
  "test/http/docs-page.test.ts",
  "test/sdk/package.test.ts",
  "test/storage/edited-rows.test.ts",
  "test/storage/postgres-outage.test.ts",
  "test/storage/sqlite-disk.test.ts",
];
/** Suites of what no runtime changes, or of the server's own process, that take long: Bun's run is enough. */
const notOnNode = [
  "test/http/fuzz.test.ts",
  "test/identity/",
  "test/jobs/",
  "test/main.test.ts",
  "test/seal/root-rotation.test.ts",
  "test/service/",
  "test/storage/postgres-scrubber.test.ts",
  "test/storage/tampering.test.ts",
  "test/storage/two-nodes.test.ts",
];
const TEST_MS_MAX = 300_000;
const FAILURE_LINES_MAX = 80;

let passed = 0;
let failed = 0;
/** What the runners said of each test that failed, shown again at the end: of a long output often only that is kept. */
const details = [];
const selection = process.argv.slice(2);

if (selection.length > 0) {
  await runBun("", selection);
} else {
  const files = testFiles("test");
  const isBunOnly = (file) => bunOnly.some((place) => file.startsWith(place));
  const portable = files.filter((file) => !isBunOnly(file));
  const onNode = portable.filter((file) => !notOnNode.some((place) => file.startsWith(place)));
  // Two at a time: each is one process at work most of the time.
  const half = (parity) => onNode.filter((_, at) => at % 2 === parity);
  await Promise.all([
    runBun("bun  | ", portable).then(() => runNode("node | ", half(0))),
    runBun("bun* | ", files.filter(isBunOnly)).then(() => runNode("node*| ", half(1))),
  ]);
}
for (const detail of details) process.stdout.write(`\n${detail.join("\n")}\n`);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);

function runBun(prefix, files) {
  const paths = files.map((file) => (file.startsWith("test/") ? `./${file}` : file));
  return run(prefix, findBun(), [...RUNTIME_FLAGS, "test", `--timeout=${TEST_MS_MAX}`, ...paths], {
    passed: /^\s*(\d+) pass$/m,
    failed: /^\s*(\d+) fail$/m,
  });
}

async function runNode(prefix, files) {
  const node = findNode();
  if (node === undefined) {
    process.stdout.write(
      `skipped on Node: no package node-${process.platform}-${process.arch} is installed\n`,
    );
    return;
  }
  await run(prefix, node, ["--test", "--test-reporter=spec", `--test-timeout=${TEST_MS_MAX}`, ...files], {
    passed: /^ℹ pass (\d+)$/m,
    failed: /^ℹ fail (\d+)$/m,
  });
}

/** Runs one runner to its end, showing each line that it prints behind a prefix, and adds its counts. */
async function run(prefix, command, args, counts) {
  let output = "";
  const child = spawn(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: testEnvironment(),
  });
  for (const stream of [child.stdout, child.stderr]) {
    let line = "";
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      const lines = (line + text).split("\n");
      line = lines.pop() ?? "";
      for (const whole of lines) process.stdout.write(`${prefix}${whole}\n`);
    });
    stream.on("end", () => line === "" || process.stdout.write(`${prefix}${line}\n`));
  }
  const status = await new Promise((resolve) => child.on("close", resolve));
  const passes = Number(counts.passed.exec(output)?.[1] ?? 0);
  const failures = Number(counts.failed.exec(output)?.[1] ?? 0);
  passed += passes;
  if (status !== 0) details.push(...failuresOf(prefix, output));
  // A runner that died without counting has failed all the same.
  failed += failures === 0 && status !== 0 ? 1 : failures;
}

/** The lines before and with each failed test's name; or the last lines, where no failed test is named. */
function failuresOf(prefix, output) {
  const found = [];
  let file = "";
  let block = [];
  const lines = output.split("\n");
  const keep = () => found.push([`${prefix}${file}`, ...block.slice(-FAILURE_LINES_MAX)]);
  for (const line of lines) {
    block.push(line);
    if (/^(\(fail\)|# Unhandled error)/.test(line)) keep();
    if (/^test\/\S+\.test\.ts:$/.test(line)) file = line;
    if (/^\((pass|fail|skip|todo)\)|^test\/\S+\.test\.ts:$/.test(line)) block = [];
  }
  const node = lines.findIndex((line) => line.startsWith("✖ failing tests"));
  if (node >= 0) found.push([prefix, ...lines.slice(node)]);
  if (found.length === 0) keep();
  return found;
}

/** The tests' environment holds no setting of whoever runs them. */
function testEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(KEYSTEAD|BUNKMS)_/.test(name)),
  );
}

function testFiles(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

function findNode() {
  try {
    const require = createRequire(join(root, "package.json"));
    const binary = join(
      dirname(require.resolve(`node-${process.platform}-${process.arch}/package.json`)),
      "bin",
      "node",
    );
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}
