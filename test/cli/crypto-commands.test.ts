import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { runCli, type CliOptions, type CliResult } from "./cli-process.ts";

const allBytes = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);

describe("keys on the command line", () => {
  const service = serviceFor(() => startDev());
  const folder = temporaryFolder();
  const keystead = (args: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
    runCli(args, { ...options, env: { KEYSTEAD_URL: service().url, ...options.env } });

  async function done(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const result = await keystead(args, options);
    assert.equal(result.status, 0, result.stderr);
    assert.equal(result.stderr, "");
    return result;
  }

  test("BunKMS's commands work as they did: create, get, encrypt, decrypt, rotate, revoke", async () => {
    assert.match((await done(["key", "create", "mykey"])).stdout, /^name\tmykey\n/);
    assert.match((await done(["key", "get", "mykey"])).stdout, /^type\taes-256$/m);
    const first = (await done(["encrypt", "mykey", "secret message"])).stdout;
    assert.match(first, /^[A-Za-z0-9+/]+=*\n$/);
    assert.match((await done(["key", "rotate", "mykey"])).stdout, /^latest_version\t2$/m);
    assert.equal((await done(["decrypt", "mykey", first.trim()])).stdout, "secret message");
    assert.match((await done(["key", "revoke", "mykey"])).stdout, /^status\trevoked\n/);
    assert.equal((await keystead(["decrypt", "mykey", first.trim()])).status, 5);
  });

  test("every byte value goes through stdin and stdout unchanged, in each direction", async () => {
    await done(["key", "create", "binary", "xaes-256"]);
    const ciphertext = (await done(["encrypt", "binary", "-"], { stdin: allBytes })).stdout;
    const opened = await done(["decrypt", "binary"], { stdin: ciphertext });
    assert.deepEqual(new Uint8Array(opened.bytes), allBytes);
  });

  test("the largest plaintext, and an empty one, go through files", async () => {
    await done(["key", "create", "files"]);
    for (const size of [0, 512 * 1024]) {
      const plain = join(folder, `plain-${size}`);
      const opened = join(folder, `opened-${size}`);
      writeFileSync(plain, Buffer.alloc(size, 0xa5));
      await done(["encrypt", "files", "--in", plain, "--out", `${plain}.enc`]);
      const result = await done(["decrypt", "files", "--file", `${plain}.enc`, "--out", opened]);
      assert.equal(result.stdout, "");
      assert.deepEqual(readFileSync(opened), readFileSync(plain));
      assert.equal(statSync(opened).mode & 0o777, 0o600);
    }
  });

  test("additional data from a flag or a file is needed to decrypt", async () => {
    await done(["key", "create", "context"]);
    const aad = join(folder, "aad");
    writeFileSync(aad, "order 42");
    const ciphertext = (await done(["encrypt", "context", "x", "--aad", "order 42"])).stdout;
    const opened = await done(["decrypt", "context", "--aad-file", aad], { stdin: ciphertext });
    assert.equal(opened.stdout, "x");
    assert.equal((await keystead(["decrypt", "context", "--aad", "43"], { stdin: ciphertext })).status, 6);
  });

  test("--json gives the API's JSON, one value a line", async () => {
    await done(["key", "create", "json"]);
    const encrypted = await done(["encrypt", "json", "hello", "--json"]);
    const { ciphertext, version } = JSON.parse(encrypted.stdout) as { ciphertext: string; version: number };
    assert.equal(version, 1);
    assert.deepEqual(JSON.parse((await done(["--json", "decrypt", "json", ciphertext])).stdout), {
      plaintext: "hello",
      plaintext_b64: "aGVsbG8=",
      version: 1,
    });
    const key = JSON.parse((await done(["key", "get", "json", "--json"])).stdout) as Record<string, unknown>;
    assert.equal(key["name"], "json");
    assert.equal((key["versions"] as unknown[]).length, 1);
  });

  test("a signature verifies from a message, a file and a digest, and says invalid with exit code 6", async () => {
    await done(["key", "create", "release", "ecdsa-p256"]);
    const message = join(folder, "message");
    writeFileSync(message, allBytes);
    const digest = createHash("sha256").update(allBytes).digest("hex");
    const signature = (await done(["sign", "release", "--file", message])).stdout.trim();
    const byDigest = (await done(["sign", "release", "--digest", digest])).stdout.trim();
    for (const made of [signature, byDigest]) {
      const fromStdin = ["verify", "release", "--signature", made];
      assert.equal((await done(fromStdin, { stdin: allBytes })).stdout, "valid\n");
    }
    const signatureFile = join(folder, "signature.der");
    await done(["sign", "release", "--file", message, "--raw", "--out", signatureFile]);
    const verified = await done(["verify", "release", "--digest", digest, "--signature-file", signatureFile]);
    assert.equal(verified.stdout, "valid\n");
    const other = await keystead(["verify", "release", "other", "--signature", signature, "--json"]);
    assert.equal(other.status, 6);
    assert.deepEqual(JSON.parse(other.stdout), { valid: false });
  });

  test("keys are imported from PEM of every kind, JWK, DER and raw bytes", async () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pems = {
      sec1: pair.privateKey.export({ format: "pem", type: "sec1" }),
      pkcs8: pair.privateKey.export({ format: "pem", type: "pkcs8" }),
      spki: pair.publicKey.export({ format: "pem", type: "spki" }),
      jwk: JSON.stringify(pair.privateKey.export({ format: "jwk" })),
    };
    for (const [kind, material] of Object.entries(pems)) {
      const name = `imported-${kind}`;
      const { stdout } = await done(["key", "import", name, "ecdsa-p256"], { stdin: material });
      assert.match(stdout, new RegExp(`^public_only\t${kind === "spki" ? "true" : "false"}$`, "m"));
      if (kind === "spki") continue;
      const signature = (await done(["sign", name, "hello", "--raw"])).bytes;
      assert.ok(verify("sha256", Buffer.from("hello"), pair.publicKey, signature), kind);
    }
    const der = pair.privateKey.export({ format: "der", type: "pkcs8" });
    await done(["key", "import", "imported-der", "ecdsa-p256", "--format", "pkcs8"], { stdin: der });
    const raw = Buffer.alloc(32, 7);
    for (const [i, stdin] of [raw, `${raw.toString("hex")}\n`, `${raw.toString("base64")}\n`].entries()) {
      await done(["key", "import", `imported-raw-${i}`, "aes-256"], { stdin });
    }
    const ciphertext = (await done(["encrypt", "imported-raw-0", "same"])).stdout;
    assert.equal((await done(["decrypt", "imported-raw-1"], { stdin: ciphertext })).stdout, "same");
  });

  test("an exportable key's bytes come out for a service that may have them", async () => {
    const token = await service().token("exporter", { kind: "service" });
    const env = { KEYSTEAD_TOKEN: token };
    await done(["key", "create", "exported"], { env });
    const base64 = (await done(["export", "exported"], { env })).stdout.trim();
    const raw = (await done(["export", "exported", "--raw"], { env })).bytes;
    assert.equal(raw.length, 32);
    assert.equal(raw.toString("base64"), base64);
    assert.equal((await keystead(["export", "exported"])).status, 3);
  });

  test("a list goes on page by page, and --all is all of it", async () => {
    await done(["project", "create", "paged"]);
    const paged = { env: { KEYSTEAD_PROJECT: "paged" } };
    for (const name of ["a", "b", "c"]) await done(["key", "create", name], paged);
    const first = await keystead(["key", "list", "--limit", "2"], paged);
    assert.equal(first.stdout.split("\n").length, 3);
    const cursor = /--cursor (\S+),/.exec(first.stderr)?.[1] ?? "";
    assert.match(
      (await done(["key", "list", "--cursor", cursor], paged)).stdout,
      /^c\taes-256\tenabled\t1\t/,
    );
    const all = await done(["key", "list", "--all", "--limit", "1", "--json"], paged);
    const { keys } = JSON.parse(all.stdout) as { keys: { name: string }[] };
    assert.deepEqual(
      keys.map(({ name }) => name),
      ["a", "b", "c"],
    );
    const page = JSON.parse((await done(["key", "list", "--limit", "1", "--json"], paged)).stdout) as object;
    assert.ok("next_cursor" in page);
  });
});
