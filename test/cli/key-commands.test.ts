import assert from "node:assert/strict";
import { createHash, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { runCli, type CliOptions, type CliResult } from "./cli-process.ts";

describe("the whole life and use of keys on the command line", () => {
  const service = serviceFor(() => startDev());
  const folder = temporaryFolder();
  const keystead = (args: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
    runCli(args, { ...options, env: { KEYSTEAD_URL: service().url, ...options.env } });

  async function done(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const result = await keystead(args, options);
    assert.equal(result.status, 0, `${args.join(" ")}: ${result.stderr}`);
    assert.equal(result.stderr, "");
    return result;
  }

  async function json(args: readonly string[], options: CliOptions = {}): Promise<Record<string, unknown>> {
    return JSON.parse((await done([...args, "--json"], options)).stdout) as Record<string, unknown>;
  }

  test("a key is made with purpose, labels, description and rotation, and found by them", async () => {
    const described = ["--label", "team=payments", "--label", "env=prod", "--description", "Card numbers"];
    const made = await done(["key", "create", "cards", "--rotation-days", "90", ...described]);
    assert.match(made.stdout, /^description\tCard numbers\nlabels\tteam=payments, env=prod$/m);
    assert.match(made.stdout, /^rotation_period_days\t90\nnext_rotation_at\t2/m);
    await done(["key", "create", "cards-inbox", "--type", "rsa-2048", "--purpose", "encrypt"]);
    const listed = async (...flags: string[]): Promise<string[]> =>
      (await done(["key", "list", "--prefix", "cards", ...flags])).stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => line.split("\t")[0] ?? "");
    assert.deepEqual(await listed(), ["cards", "cards-inbox"]);
    assert.deepEqual(await listed("--label", "team=payments", "--label", "env"), ["cards"]);
    assert.deepEqual(await listed("--label", "team=web"), []);
    assert.deepEqual(await listed("--type", "rsa-2048"), ["cards-inbox"]);
    assert.deepEqual(await listed("--purpose", "encrypt"), ["cards", "cards-inbox"]);
    assert.deepEqual(await listed("--state", "disabled"), []);
    for (const args of [
      ["key", "create", "x", "aes-256", "--type", "aes-256"],
      ["key", "create", "x", "--label", "no-value"],
      ["key", "list", "--state", "lost"],
      ["key", "update", "cards"],
    ]) {
      assert.equal((await keystead(args)).status, 2, args.join(" "));
    }
  });

  test("an update changes what it names, takes away what it negates, and leaves the rest", async () => {
    await done([
      "key",
      "create",
      "updated",
      "--description",
      "first",
      "--label",
      "a=1",
      "--rotation-days",
      "5",
    ]);
    const changed = await json(["key", "update", "updated", "--label", "b=2", "--no-rotation-days"]);
    assert.deepEqual(changed["labels"], { b: "2" });
    assert.equal(changed["description"], "first");
    assert.ok(!("rotation_period_days" in changed));
    const taken = await json(["key", "update", "updated", "--no-label", "--no-description"]);
    assert.deepEqual([taken["labels"], "description" in taken], [{}, false]);
    await done(["key", "rotate", "updated"]);
    const floored = await done(["key", "update", "updated", "--min-decryption-version", "2"]);
    assert.match(floored.stdout, /^min_decryption_version\t2$/m);
    await done(["key", "create", "leaves", "--exportable"]);
    assert.equal((await json(["key", "update", "leaves", "--no-exportable"]))["exportable"], false);
  });

  test("a key, or one version, is disabled and enabled", async () => {
    await done(["key", "create", "switch"]);
    const ciphertext = (await done(["encrypt", "switch", "x"])).stdout.trim();
    await done(["key", "rotate", "switch"]);
    assert.match(
      (await done(["key", "disable", "switch", "--version", "1"])).stdout,
      /^disabled_versions\t1$/m,
    );
    const refused = await keystead(["decrypt", "switch", ciphertext]);
    assert.match(refused.stderr, /\(key_version_disabled\)/);
    await done(["key", "enable", "switch", "--version", "1"]);
    assert.match((await done(["key", "disable", "switch"])).stdout, /^state\tdisabled$/m);
    assert.equal((await keystead(["decrypt", "switch", ciphertext])).status, 5);
    await done(["key", "enable", "switch"]);
    await done(["decrypt", "switch", ciphertext]);
  });

  test("a deletion is scheduled and cancelled, of a key and of a project", async () => {
    await done(["key", "create", "leaving"]);
    const pending = await done(["key", "schedule-deletion", "leaving", "--days", "7"]);
    assert.match(pending.stdout, /^state\tpending_deletion$/m);
    assert.match(pending.stdout, /^deletion_at\t2/m);
    assert.match((await keystead(["encrypt", "leaving", "x"])).stderr, /\(key_pending_deletion\)/);
    assert.match((await done(["key", "cancel-deletion", "leaving"])).stdout, /^state\tenabled$/m);
    assert.equal((await keystead(["key", "schedule-deletion", "leaving", "--days", "6"])).status, 5);
    await done(["project", "create", "old"]);
    assert.match((await done(["project", "schedule-deletion", "old"])).stdout, /^state\tpending_deletion$/m);
    assert.match((await done(["project", "list"])).stdout, /^old\t\S+\tpending_deletion\t/m);
    assert.match((await done(["project", "cancel-deletion", "old"])).stdout, /^state\tenabled$/m);
  });

  test("a public key comes out as PEM and JWK, and verifies what the key signed", async () => {
    await done(["key", "create", "release", "--type", "ecdsa-p384"]);
    const pem = (await done(["key", "public", "release"])).stdout;
    const message = Buffer.from("hello");
    const raw = (await done(["sign", "release", "hello", "--encoding", "raw", "--raw"])).bytes;
    assert.ok(verify("sha384", message, { key: createPublicKey(pem), dsaEncoding: "ieee-p1363" }, raw));
    const jwk = JSON.parse((await done(["key", "public", "release", "--format", "jwk"])).stdout) as object;
    assert.equal(createPublicKey({ key: jwk, format: "jwk" }).export({ format: "pem", type: "spki" }), pem);
    const digest = createHash("sha384").update(message).digest();
    const base64 = raw.toString("base64");
    for (const text of [digest.toString("hex"), digest.toString("base64")]) {
      const args = ["verify", "release", "--digest", text, "--signature", base64, "--encoding", "raw"];
      assert.equal((await done(args)).stdout, "valid\n");
    }
    await done(["key", "create", "legacy", "rsa-2048"]);
    const pss = (await done(["sign", "legacy", "hello", "--scheme", "pss"])).stdout.trim();
    const checked = ["verify", "legacy", "hello", "--signature", pss];
    assert.equal((await done([...checked, "--scheme", "pss"])).stdout, "valid\n");
    assert.equal((await keystead(checked)).status, 6);
    assert.equal((await keystead(["sign", "legacy", "--digest", "abcd"])).status, 5);
  });

  test("material is imported as what it is, and wrapped, and exported in each form", async () => {
    const env = { KEYSTEAD_TOKEN: await service().token("exporter", { kind: "service" }) };
    const hmac = Buffer.alloc(64, 3);
    await done(["key", "import", "mac-hex", "hmac-512", "--exportable"], {
      stdin: `${hmac.toString("hex")}\n`,
    });
    assert.equal(
      (await done(["export", "mac-hex", "--raw"], { env })).bytes.toString("hex"),
      hmac.toString("hex"),
    );
    const pair = generateKeyPairSync("ed25519");
    const pem = pair.privateKey.export({ format: "pem", type: "pkcs8" });
    await done(["key", "import", "ed", "ed25519", "--exportable"], { stdin: pem });
    assert.equal((await done(["export", "ed"], { env })).stdout, pem);
    const jwk = JSON.parse((await done(["export", "ed", "--format", "jwk"], { env })).stdout) as JsonWebKey;
    assert.equal(jwk.d, pair.privateKey.export({ format: "jwk" }).d);

    await done(["key", "create", "intake", "rsa-2048", "--purpose", "encrypt"]);
    const intake = join(folder, "intake.pem");
    await done(["key", "public", "intake", "--out", intake]);
    const wrapped = join(folder, "wrapped");
    await done(["export", "mac-hex", "--wrapped-to", intake, "--raw", "--out", wrapped], { env });
    assert.ok(!readFileSync(wrapped).includes(hmac));
    const into = ["key", "import", "mac-wrapped", "hmac-512", "--wrapped-under", "intake", "--file", wrapped];
    await done(into);
    const mac = (await done(["mac", "mac-hex", "hello"])).stdout.trim();
    assert.equal((await done(["verify-mac", "mac-wrapped", "hello", "--mac", mac])).stdout, "valid\n");
    writeFileSync(wrapped, readFileSync(wrapped).toString("base64"));
    await done(into.map((word) => (word === "mac-wrapped" ? "mac-again" : word)));
    const both = ["export", "ed", "--wrapped-to", intake, "--wrapped-under", "intake"];
    assert.equal((await keystead(both, { env })).status, 2);
  });

  test("a MAC verifies, and says invalid with exit code 6", async () => {
    await done(["key", "create", "mac", "hmac-256"]);
    const file = join(folder, "mac");
    await done(["mac", "mac", "hello", "--raw", "--out", file]);
    assert.equal(readFileSync(file).length, 32);
    assert.equal((await done(["verify-mac", "mac", "hello", "--mac-file", file])).stdout, "valid\n");
    const other = await keystead(["verify-mac", "mac", "other", "--mac-file", file, "--json"]);
    assert.deepEqual([other.status, other.stdout], [6, '{"valid":false}\n']);
  });

  test("a data key and a shared secret go into a file of their owner's, and only their ciphertext is printed", async () => {
    await done(["key", "create", "backups"]);
    const file = join(folder, "dek");
    const ciphertext = (await done(["data-key", "backups", "--bytes", "64", "--aad", "x", "--out", file]))
      .stdout;
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(readFileSync(file).length, 64);
    const opened = await done(["decrypt", "backups", "--aad", "x"], { stdin: ciphertext });
    assert.deepEqual(opened.bytes, readFileSync(file));
    assert.match(
      (await done(["data-key", "backups"])).stdout,
      /^plaintext_b64\t.+\nciphertext\t.+\nversion\t1\n$/,
    );
    const wrapped = await json(["data-key", "backups", "--wrapped-only"]);
    assert.deepEqual(Object.keys(wrapped).sort(), ["ciphertext", "version"]);

    await done(["key", "create", "partner", "ml-kem-768"]);
    const shared = join(folder, "shared");
    const capsule = (await done(["encapsulate", "partner", "--out", shared])).stdout;
    const secret = await done(["decapsulate", "partner", "--raw"], { stdin: capsule });
    assert.deepEqual(secret.bytes, readFileSync(shared));
  });

  test("two keys agree on one secret, each from the other's PEM file", async () => {
    const secrets: string[] = [];
    for (const name of ["ours", "theirs"]) await done(["key", "create", name, "x25519"]);
    for (const [own, peer] of [
      ["ours", "theirs"],
      ["theirs", "ours"],
    ] as const) {
      const file = join(folder, `${peer}.pem`);
      await done(["key", "public", peer, "--out", file]);
      secrets.push((await done(["agree", own, "--peer", file, "--info", "orders", "--bytes", "48"])).stdout);
    }
    assert.match(secrets[0] ?? "", /^[A-Za-z0-9+/]{64}\n$/);
    assert.equal(secrets[0], secrets[1]);
  });

  test("a ciphertext moves to another version, key and context", async () => {
    await done(["key", "create", "from"]);
    await done(["key", "create", "to", "chacha20-poly1305"]);
    await done(["key", "rotate", "from"]);
    const old = await json(["encrypt", "from", "x", "--version", "1"]);
    assert.equal(old["version"], 1);
    const renewed = await json(["reencrypt", "from", String(old["ciphertext"])]);
    assert.equal(renewed["version"], 2);
    const moved = await done(["reencrypt", "from", "--to-key", "to", "--to-aad", "two"], {
      stdin: String(renewed["ciphertext"]),
    });
    assert.equal((await done(["decrypt", "to", "--aad", "two"], { stdin: moved.stdout })).stdout, "x");
  });

  test("random bytes come in each form, as many as asked", async () => {
    assert.match((await done(["random"])).stdout, /^[A-Za-z0-9+/]{43}=\n$/);
    assert.match((await done(["random", "8", "--hex"])).stdout, /^[0-9a-f]{16}\n$/);
    assert.equal((await done(["random", "4096", "--raw"])).bytes.length, 4096);
    assert.equal((await keystead(["random", "4097"])).status, 2);
  });

  test("a batch keeps a line for a line, in order, whatever fails", async () => {
    await done(["key", "create", "lines"]);
    const plain = join(folder, "plain");
    const lines = Array.from({ length: 1500 }, (_, i) => (i === 7 ? "" : `line ${i}`));
    writeFileSync(plain, lines.map((line) => `${line}\n`).join(""));
    const encrypted = await done(["encrypt", "lines", "--batch", plain, "--aad", "all"]);
    const ciphertexts = encrypted.stdout.split("\n");
    assert.equal(ciphertexts.length, 1501);
    const opened = await done(["decrypt", "lines", "--batch", "-", "--aad", "all"], {
      stdin: encrypted.stdout,
    });
    assert.deepEqual(opened.bytes, readFileSync(plain));
    await done(["key", "rotate", "lines"]);
    const renewed = await done(["reencrypt", "lines", "--batch", "-", "--aad", "all"], {
      stdin: encrypted.stdout,
    });
    assert.equal(renewed.stdout.split("\n").length, 1501);

    const two = (await done(["encrypt", "lines", "--aad", "all"], { stdin: "two\nlines" })).stdout.trim();
    const mixed = [ciphertexts[0], "AAAA", two, ciphertexts[1]].join("\n");
    const result = await keystead(["decrypt", "lines", "--batch", "-", "--aad", "all"], { stdin: mixed });
    assert.deepEqual([result.status, result.stdout], [5, "line 0\n\n\nline 1\n"]);
    assert.match(
      result.stderr,
      /^keystead: line 2: .*\(decryption_failed\)\nkeystead: line 3: .*\(not_one_line\)\n$/,
    );
    const shown = await keystead(["decrypt", "lines", "--batch", "-", "--aad", "all", "--json"], {
      stdin: mixed,
    });
    const values = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { plaintext?: string; error?: { code: string } });
    assert.deepEqual(
      values.map(({ plaintext, error }) => plaintext ?? error?.code),
      ["line 0", "decryption_failed", "two\nlines", "line 1"],
    );
    assert.equal(shown.status, 6);
    assert.equal((await keystead(["encrypt", "lines", "value", "--batch", plain])).status, 2);
  });
});
