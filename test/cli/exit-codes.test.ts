import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { LAUNCHER } from "../server-process.ts";
import { runCli, type CliOptions } from "./cli-process.ts";

/** What must never be seen outside a result. */
const CANARY = "canary-4b1d";

describe("how a command ends", () => {
  const service = serviceFor(() => startDev());
  const folder = temporaryFolder();

  /** Runs a command that must fail with this code and one line, without a canary in it. */
  async function fails(status: number, line: RegExp, args: readonly string[], options: CliOptions = {}) {
    const env = { KEYSTEAD_URL: service().url, ...options.env };
    const result = await runCli(args, { ...options, env });
    assert.equal(result.status, status, `${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, line);
    assert.match(result.stderr, /^keystead: [^\n]+\n$/, "one line");
    assert.equal(result.stdout, "");
    assert.ok(!result.stderr.includes(CANARY), result.stderr);
    assert.ok(!result.stderr.includes("kst_"), result.stderr);
    return result;
  }

  test("1: the network or the service failed, within the time that was given", async () => {
    const nowhere = { env: { KEYSTEAD_URL: "http://127.0.0.1:1" } };
    await fails(1, /cannot be reached \(unreachable\)/, ["key", "list", "--token", CANARY], nowhere);
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const late = ["whoami", "--url", url, "--token", CANARY, "--timeout", "50ms"];
    await fails(1, /did not answer within 0\.05 s \(timed_out\)/, late);
    silent.close();
  });

  test("1: the service is degraded, and health says which check failed", async () => {
    const report = '{"status":"degraded","checks":{"storage":"failed"}}';
    const degraded = createServer((_, response) => response.writeHead(503).end(report));
    await new Promise<void>((resolve) => degraded.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(degraded.address() as AddressInfo).port}`;
    const { status, stdout } = await runCli(["health", "--url", url]);
    assert.equal(status, 1);
    assert.equal(stdout, "status\tdegraded\nstorage\tfailed\n");
    degraded.close();
  });

  test("2: the command line is wrong, and what was given is not repeated", async () => {
    const path = join(folder, "value");
    writeFileSync(path, CANARY);
    const wrong: [RegExp, string[]][] = [
      [/unknown command/, ["frobnicate"]],
      [/unknown command/, [CANARY]],
      [/unknown option/, ["key", "list", "--frobnicate"]],
      [/unknown option/, ["secret", "put", "name", `-${CANARY}`]],
      [/missing required argument 'name'/, ["secret", "put"]],
      [/too many arguments/, ["secret", "put", "name", CANARY, CANARY]],
      [/Allowed choices are/, ["key", "create", "name", `it's ${CANARY}`]],
      [/not from both/, ["secret", "put", "name", CANARY, "--file", path]],
      [/not both/, ["key", "list", "--token", CANARY, "--token-file", path]],
      [/--limit is a number/, ["key", "list", "--limit", CANARY]],
      [/a duration is/, ["whoami", "--timeout", CANARY]],
      [/the token's id, not the token itself/, ["token", "revoke", "name", `kst_${CANARY}`]],
      [/one of --signature and/, ["verify", "name", CANARY]],
    ];
    for (const [line, args] of wrong) await fails(2, line, args);
    const twice = { env: { KEYSTEAD_TOKEN: CANARY, KEYSTEAD_TOKEN_FILE: path } };
    await fails(2, /set twice/, ["whoami"], twice);
    assert.equal((await runCli([])).status, 2);
    assert.equal((await runCli(["key"])).status, 2);
  });

  test("3: the credentials or the permission were refused, with the request's id to ask about", async () => {
    const unknown = `kst_${CANARY}`;
    await fails(3, /\(unauthenticated\).* \[request \S+\]\n/, ["key", "list"], {
      env: { KEYSTEAD_TOKEN: unknown },
    });
    const reader = await service().token("reader");
    await fails(3, /\(forbidden\)/, ["key", "create", "not-mine"], { env: { KEYSTEAD_TOKEN: reader } });
  });

  test("4: there is no such thing", async () => {
    await fails(4, /There is no such key \(key_not_found\) \[request/, ["key", "get", "absent"]);
    await fails(4, /\(secret_not_found\)/, ["secret", "get", "absent"]);
    await fails(4, /\(project_not_found\)/, ["key", "list", "--project", "absent", "--json"]);
  });

  test("5: the input or the state does not allow it", async () => {
    await runCli(["key", "create", "once"], { env: { KEYSTEAD_URL: service().url } });
    const tooLarge = { stdin: Buffer.alloc(512 * 1024 + 1) };
    await fails(5, /\(key_exists\)/, ["key", "create", "once"]);
    await fails(5, /\(invalid_name\)/, ["key", "get", `../${CANARY}`]);
    await fails(5, /\(invalid_encoding\)/, ["decrypt", "once", `${CANARY}!`]);
    await fails(5, /\(payload_too_large\)/, ["encrypt", "once"], tooLarge);
    await fails(5, /larger than the service takes/, ["encrypt", "once"], { stdin: Buffer.alloc(5_000_000) });
    await fails(5, /cannot be read/, ["encrypt", "once", "--file", join(folder, "absent")]);
    await fails(5, /cannot be written/, ["encrypt", "once", "x", "--out", join(folder, "absent/x")]);
    await fails(5, /\(invalid_token\)/, ["whoami"], { env: { KEYSTEAD_TOKEN: `${CANARY}\n${CANARY}` } });
    await fails(5, /\(invalid_url\)/, ["whoami", "--url", `http://user:${CANARY}@127.0.0.1:1`]);
    await fails(5, /\(invalid_key_material\)/, ["key", "import", "bad", "ecdsa-p256"], {
      stdin: `-----BEGIN PRIVATE KEY-----\n${CANARY}\n-----END PRIVATE KEY-----\n`,
    });
  });

  test("5: standard output is full, and not a reader that went away", async () => {
    const env = { ...process.env, KEYSTEAD_URL: service().url };
    for (const [target, expected] of [
      [">/dev/full", [5, "keystead: standard output cannot be written\n"]],
      ["| true", [0, ""]],
    ] as const) {
      const child = spawn("sh", ["-c", `"$0" random 4096 ${target}`, LAUNCHER], { env });
      let stderr = "";
      child.stderr.setEncoding("utf8").on("data", (part) => (stderr += String(part)));
      const [status] = (await once(child, "close")) as [number];
      assert.deepEqual([status, stderr], expected);
    }
  });

  test(
    "1: a file's encryption fails at once, whether or not its input has an end",
    { timeout: 20_000 },
    async () => {
      const env = { ...process.env, KEYSTEAD_URL: "http://127.0.0.1:1" };
      const args = ["file", "encrypt", "absent", "--out", "-", "--timeout", "1s"];
      const child = spawn(LAUNCHER, args, { env, stdio: ["pipe", "ignore", "pipe"] });
      const [status] = (await once(child, "exit")) as [number];
      child.stdin.end();
      assert.equal(status, 1);
    },
  );

  test("6: what was encrypted does not open", async () => {
    await runCli(["key", "create", "opens"], { env: { KEYSTEAD_URL: service().url } });
    const junk = Buffer.alloc(60, 1).toString("base64");
    await fails(6, /\(decryption_failed\)/, ["decrypt", "opens", "-"], { stdin: junk });
  });
});
