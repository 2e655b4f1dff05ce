import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { keyTypes, purposesOf } from "../../src/crypto/catalogue.ts";
import { checkMade, makePortable, type Portable } from "./other-runtime.ts";

const other = fileURLToPath(
  new URL(
    "bun" in process.versions
      ? `../../node_modules/node-${process.platform}-${process.arch}/bin/node`
      : `../../node_modules/@oven/bun-${process.platform}-${process.arch}/bin/bun`,
    import.meta.url,
  ),
);
const skip = existsSync(other) ? false : "the other runtime is not installed";

test("material of every type that one runtime made is opened by the other, both ways", { skip }, async () => {
  const made: Portable[] = [];
  for (const type of keyTypes) {
    // A large RSA key shows nothing that the smallest does not, and takes long to make.
    if (type === "rsa-3072" || type === "rsa-4096") continue;
    for (const purpose of purposesOf(type)) made.push(await makePortable(type, purpose));
  }
  const script = fileURLToPath(new URL("./other-runtime.ts", import.meta.url));
  const { stdout, stderr, status } = spawnSync(other, [script, "answer"], {
    input: JSON.stringify(made),
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const answers = JSON.parse(stdout) as { type: string; good: boolean; back: Portable }[];
  assert.equal(answers.length, made.length);
  for (const { type, good, back } of answers) {
    assert.ok(good, `${type}: the other runtime`);
    assert.ok(await checkMade(back), `${type}: this runtime`);
  }
});
