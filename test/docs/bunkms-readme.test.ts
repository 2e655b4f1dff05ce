/**
 * The commands of BunKMS's README, with the program's name changed and the port made free: its environment variables, its
 * curl commands, its command line with its one-dash flags, its load test.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { temporaryFolder } from "../harness.ts";
import { LAUNCHER, startProcess, type ServerProcess } from "../server-process.ts";

const run = promisify(execFile);
const ROOT_KEY = `base64:${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;

/** Runs shell commands as a person would type them, with `keystead` on the path. */
async function shell(port: number, cwd: string, commands: string): Promise<string> {
  const { stdout } = await run("sh", ["-euc", commands.replaceAll(":8080", `:${port}`)], {
    cwd,
    env: { PATH: `${dirname(LAUNCHER)}:${process.env["PATH"] ?? ""}`, HOME: cwd },
  });
  return stdout;
}

describe("BunKMS's README, in memory", () => {
  let server: ServerProcess;
  const folder = temporaryFolder();
  before(async () => {
    server = await startProcess({ BUNKMS_MASTER_KEY: ROOT_KEY }, { args: ["--dev"] });
  });
  after(() => server.end());

  test("creates a key and encrypts with the two curl commands", async () => {
    const output = await shell(
      server.port,
      folder,
      `curl -s -X POST http://localhost:8080/v1/keys -H "Content-Type: application/json" -d '{"name":"mykey","type":"aes-256"}'; echo
curl -s -X POST http://localhost:8080/v1/encrypt/mykey -H "Content-Type: application/json" -d '{"plaintext":"hello"}'`,
    );
    const [key, encrypted] = output.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(key?.["name"], "mykey");
    assert.equal(key["latest_version"], 1);
    assert.equal(encrypted?.["version"], 1);
    assert.equal(Buffer.from(String(encrypted["ciphertext"]), "base64").length, 4 + 12 + 5 + 16);
  });

  test("runs the command line's commands, each printing its result alone", async () => {
    const output = await shell(
      server.port,
      folder,
      `export KEYSTEAD_URL=http://localhost:8080
keystead key create clikey aes-256 >/dev/null
C=$(keystead encrypt clikey "secret message")
keystead decrypt clikey "$C"; echo
echo "$C" | keystead decrypt clikey -; echo
keystead secret put db-password "s3cr3t" >/dev/null
keystead secret get db-password; echo
keystead -url http://localhost:8080 secret get db-password`,
    );
    assert.equal(output.trimEnd(), "secret message\nsecret message\ns3cr3t\ns3cr3t");
  });

  test("runs the load test's three commands, for a shorter time", async () => {
    const output = await shell(
      server.port,
      folder,
      `keystead loadtest -url http://localhost:8080 -duration 300ms -clients 20 -keys 50
keystead loadtest -url http://localhost:8080 -workload encrypt -duration 300ms -clients 10 -keys 50
keystead loadtest -url http://localhost:8080 -workload secrets -duration 300ms`,
    );
    assert.equal(output.match(/\bP50\b/gi)?.length, 3, output);
    assert.equal(output.match(/\bP99\b/gi)?.length, 3);
  });
});

describe("BunKMS's README, with persistence", () => {
  test("keeps keys, secrets and the audit log under ./data, a SIGKILL between", async () => {
    const cwd = temporaryFolder();
    const settings = {
      BUNKMS_MASTER_KEY: ROOT_KEY,
      BUNKMS_DATA_PATH: "./data",
      BUNKMS_AUDIT_LOG: "./data/audit.log",
    };
    const first = await startProcess(settings, { args: ["--dev"], cwd });
    const made = await shell(
      first.port,
      cwd,
      `curl -sf -X POST http://localhost:8080/v1/keys -H "Content-Type: application/json" -d '{"name":"mykey"}' >/dev/null
curl -sf -X POST http://localhost:8080/v1/secrets -H "Content-Type: application/json" -d '{"name":"db","value":"s3cr3t"}' >/dev/null
keystead -url http://localhost:8080 encrypt mykey hello`,
    );
    await first.end("SIGKILL");
    const second = await startProcess(settings, { args: ["--dev"], cwd });
    const read = await shell(
      second.port,
      cwd,
      `export KEYSTEAD_URL=http://localhost:8080; keystead decrypt mykey ${made.trim()}; echo; keystead secret get db`,
    );
    await second.end();
    assert.equal(read, "hello\ns3cr3t");
    assert.ok(existsSync(join(cwd, "data/keystead.db")));
    const actions = readFileSync(join(cwd, "data/audit.log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { action: string }).action);
    for (const action of ["key.create", "secret.put", "key.encrypt", "key.decrypt", "secret.get"])
      assert.ok(actions.includes(action));
  });

  test("takes a JWT secret, and then wants a token", async () => {
    const cwd = temporaryFolder();
    const server = await startProcess(
      {
        BUNKMS_MASTER_KEY: ROOT_KEY,
        BUNKMS_DATA_PATH: "./data",
        BUNKMS_JWT_SECRET: "a-shared-secret-of-at-least-32-bytes",
      },
      { cwd },
    );
    const { SignJWT } = await import("jose");
    const token = await new SignJWT({ role: "admin" })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject("me")
      .setIssuedAt()
      .setExpirationTime("1m")
      .sign(Buffer.from("a-shared-secret-of-at-least-32-bytes"));
    const output = await shell(
      server.port,
      cwd,
      `keystead -url http://localhost:8080 key create k 2>/dev/null || echo "exit $?"
keystead -url http://localhost:8080 -token ${token} key create k >/dev/null && echo made
BUNKMS_TOKEN=${token} KEYSTEAD_URL=http://localhost:8080 keystead key rotate k >/dev/null && echo rotated`,
    );
    await server.end();
    assert.equal(output, "exit 3\nmade\nrotated\n");
  });
});
