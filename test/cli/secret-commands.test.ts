import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { runCli, type CliOptions, type CliResult } from "./cli-process.ts";

const allBytes = Uint8Array.from({ length: 256 }, (_, i) => i);

describe("secrets on the command line", () => {
  const service = serviceFor(() => startDev());
  const folder = temporaryFolder();

  async function done(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const result = await runCli(["--url", service().url, ...args], options);
    assert.equal(result.status, 0, result.stderr);
    return result;
  }

  test("a secret from stdin comes back byte for byte, line end included", async () => {
    await done(["secret", "put", "piped"], { stdin: allBytes });
    assert.deepEqual(new Uint8Array((await done(["secret", "get", "piped"])).bytes), allBytes);
    await done(["secret", "put", "line", "-"], { stdin: "pässword\n" });
    assert.equal((await done(["secret", "get", "line"])).stdout, "pässword\n");
  });

  test("a secret from a file comes back into a file that only its owner can read", async () => {
    const from = join(folder, "from");
    const to = join(folder, "to");
    writeFileSync(from, allBytes);
    await done(["secret", "put", "filed", "--file", from]);
    assert.equal((await done(["secret", "get", "filed", "--out", to])).stdout, "");
    assert.deepEqual(readFileSync(to), readFileSync(from));
    assert.equal(statSync(to).mode & 0o777, 0o600);
  });

  test("BunKMS's form with the value on the command line works, and the help warns of it", async () => {
    assert.match((await done(["secret", "put", "db-password", "s3cr3t"])).stdout, /^version\t1$/m);
    assert.equal((await done(["secret", "get", "db-password"])).stdout, "s3cr3t");
    assert.match(
      (await done(["secret", "put", "--help"])).stdout,
      /Warning: a value on the command line is seen/,
    );
  });

  test("older versions stay until the secret is deleted, and no list shows a value", async () => {
    for (const value of ["old-value", "new-value"]) {
      await done(["secret", "put", "versions"], { stdin: value });
    }
    assert.equal((await done(["secret", "get", "versions", "--version", "1"])).stdout, "old-value");
    assert.deepEqual(
      Object.keys(JSON.parse((await done(["secret", "get", "versions", "--json"])).stdout) as object).sort(),
      ["created_at", "name", "value", "value_b64", "version"],
    );
    for (const flags of [[], ["--json"]]) {
      assert.doesNotMatch((await done(["secret", "list", ...flags])).stdout, /-value|dmFsdW/);
    }
    assert.equal((await done(["secret", "delete", "versions"])).stdout, "");
    const gone = await runCli(["--url", service().url, "secret", "get", "versions"]);
    assert.equal(gone.status, 4);
  });
});
