import assert from "node:assert/strict";
import { connect } from "node:net";
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { makeCertificate, replaceCertificate, tlsSettings } from "./certificates.ts";
import { temporaryFolder } from "./harness.ts";
import { serialOf } from "./http/tls-client.ts";
import { LAUNCHER, refusedStart, startProcess } from "./server-process.ts";
import { spawn } from "node:child_process";

const ROOT_KEY = "00".repeat(32);

describe("the server's process", () => {
  test("says in one line which setting is wrong and what is right, and exits with 1", async () => {
    for (const [settings, wanted] of [
      [{}, /^keystead: KEYSTEAD_ROOT_KEY is missing/],
      [{ KEYSTEAD_ROOT_KEY: "short" }, /^keystead: KEYSTEAD_ROOT_KEY is base64:/],
      [{ KEYSTEAD_ROOT_KEY: ROOT_KEY }, /^keystead: KEYSTEAD_DATA_PATH is missing/],
      [{ KEYSTEAD_DEV: "1", KEYSTEAD_ADDR: "nonsense" }, /^keystead: KEYSTEAD_ADDR is host:port/],
      [
        { KEYSTEAD_DEV: "1", KEYSTEAD_RATELIMIT: "5" },
        /^keystead: KEYSTEAD_RATELIMIT in the environment is no setting/,
      ],
      [
        {
          KEYSTEAD_ROOT_KEY: ROOT_KEY,
          KEYSTEAD_DATA_PATH: ":memory:",
          KEYSTEAD_AUDIT_LOG: "/nonexistent/log",
        },
        /^keystead: KEYSTEAD_ADDR listens on every address \(:8080\), and there is no TLS/,
      ],
      [
        {
          KEYSTEAD_ROOT_KEY: ROOT_KEY,
          KEYSTEAD_DATA_PATH: join(temporaryFolder(), "d"),
          KEYSTEAD_ADDR: "127.0.0.1:8080",
        },
        /^keystead: there is no account yet: run `keystead init`/,
      ],
    ] as const) {
      const { code, output } = await refusedStart(settings);
      assert.equal(code, 1);
      assert.match(output, wanted);
      assert.equal(output.trim().split("\n").length, 1, output);
      assert.ok(!output.includes("short"));
    }
  });

  test("makes files of 0600 and folders of 0700 under any umask", async () => {
    const folder = join(temporaryFolder(), "data");
    const old = process.umask(0);
    const server = await startProcess({
      KEYSTEAD_DEV: "1",
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: folder,
    });
    process.umask(old);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    for (const name of readdirSync(folder))
      assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
    await server.end();
  });

  test("finishes what is under way when it is told to stop, and exits with 0", async () => {
    const folder = join(temporaryFolder(), "data");
    const server = await startProcess({
      KEYSTEAD_DEV: "1",
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: folder,
    });
    // Key generation takes long enough to be under way when the signal comes.
    const answers = Array.from({ length: 6 }, (_, i) =>
      fetch(`http://127.0.0.1:${server.port}/v1/keys`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: `slow-${i}`, type: "rsa-2048" }),
      }).then((response) => response.status),
    );
    const settled = Promise.all(answers.map((answer) => answer.catch(() => 0))).then(() => true);
    const isDone = (): Promise<boolean> =>
      Promise.race([settled, new Promise<boolean>((resolve) => setTimeout(resolve, 5, false))]);
    while (!(await inFlight(server.port))) assert.ok(!(await isDone()), "the keys were made too soon");
    // They may have been seen in the turn in which they arrived: by the next answer they were admitted.
    await inFlight(server.port);
    const code = await server.end();
    assert.equal(code, 0);
    const statuses = await Promise.all(answers.map((answer) => answer.catch(() => 0)));
    const log = readFileSync(join(folder, "audit.log"), "utf8");
    assert.ok(log.endsWith("\n"));
    const created = log
      .split("\n")
      .filter((line) => line.includes('"key.create"') && line.includes('"outcome":"ok"')).length;
    assert.equal(
      statuses.filter((status) => status === 201).length,
      created,
      "each that was made was answered",
    );
    assert.ok(created > 0, `answered with ${statuses.join(" ")}`);
  });

  test("ends at once at a second signal, whatever is under way", async () => {
    const server = await startProcess({ KEYSTEAD_DEV: "1" });
    const hanging = connect(server.port, "127.0.0.1");
    hanging.on("error", () => undefined);
    hanging.write(
      `POST /v1/keys HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`,
    );
    while (!(await inFlight(server.port))) await new Promise((resolve) => setTimeout(resolve, 5));
    server.child.kill("SIGTERM");
    while (!server.output().includes("stopping")) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await server.end("SIGTERM"), 130);
    hanging.destroy();
  });

  test("opens its audit log anew on SIGHUP", async () => {
    const folder = join(temporaryFolder(), "data");
    const server = await startProcess({
      KEYSTEAD_DEV: "1",
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: folder,
    });
    const path = join(folder, "audit.log");
    renameSync(path, `${path}.1`);
    server.child.kill("SIGHUP");
    while (!existsSync(path) && server.child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await fetch(`http://127.0.0.1:${server.port}/v1/keys`);
    assert.match(readFileSync(path, "utf8"), /"key.list"/);
    assert.equal(await server.end(), 0);
  });

  test("takes a new certificate and opens its audit log on SIGHUP, and keeps the old one where the new is bad", async () => {
    const folder = join(temporaryFolder(), "data");
    const files = makeCertificate("ecdsa", 0x11);
    const server = await startProcess({
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: folder,
      KEYSTEAD_JWT_SECRET: "a-shared-secret-of-at-least-32-bytes",
      ...tlsSettings(files),
    });
    assert.equal(await serialOf(server.port), "11");
    const path = join(folder, "audit.log");
    const hangUp = async (line: RegExp): Promise<void> => {
      server.child.kill("SIGHUP");
      while (!line.test(server.output()) && server.child.exitCode === null)
        await new Promise((resolve) => setTimeout(resolve, 5));
    };
    writeFileSync(files.keyFile, "nonsense");
    await hangUp(/"cause":"KEYSTEAD_TLS_KEY names a file that holds no private key/);
    assert.equal(await serialOf(server.port), "11");
    replaceCertificate(files, makeCertificate("rsa", 0x22));
    renameSync(path, `${path}.1`);
    await hangUp(/the TLS files were read anew/);
    while ((await serialOf(server.port)) !== "22") await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(existsSync(path));
    assert.equal(await server.end(), 0);
  });

  test("serves the command line over TLS where NODE_EXTRA_CA_CERTS names the authority, and only there", async () => {
    const files = makeCertificate("ecdsa", 0x11);
    const settings = { KEYSTEAD_DEV: "1", ...tlsSettings(files) };
    const server = await startProcess(settings);
    const health = (env: Record<string, string>): Promise<{ code: number | null; output: string }> =>
      runClient(["--url", `https://localhost:${server.port}`, "health"], env);
    const known = await health({ NODE_EXTRA_CA_CERTS: files.certFile });
    assert.equal(known.code, 0, known.output);
    assert.match(known.output, /ok/);
    assert.notEqual((await health({})).code, 0);
    await server.end();
  });

  test("shows in dev mode where it listens, two commands to copy, and a token for key export that works", async () => {
    const server = await startProcess({}, { args: ["--dev"] });
    while (!server.output().includes("Ctrl-C")) await new Promise((resolve) => setTimeout(resolve, 5));
    const screen = server.output();
    const token = /kst_[0-9A-Za-z]+/.exec(screen)?.[0];
    assert.match(screen, new RegExp(`http://127\\.0\\.0\\.1:${server.port}`));
    assert.equal(screen.match(/^ {4}curl /gm)?.length, 2);
    const headers = { authorization: `Bearer ${token ?? ""}`, "content-type": "application/json" };
    const url = `http://127.0.0.1:${server.port}/v1`;
    await fetch(`${url}/keys`, { method: "POST", headers, body: '{"name":"dek"}' });
    assert.equal((await fetch(`${url}/export/dek`, { headers })).status, 200);
    assert.equal((await fetch(`${url}/export/dek`)).status, 403);
    await server.end();
  });

  test("reads .env in its working directory, the environment over it, and flags over both", async () => {
    const cwd = temporaryFolder();
    writeFileSync(
      join(cwd, ".env"),
      `KEYSTEAD_DEV=1\nKEYSTEAD_NODE=from-file\nKEYSTEAD_ROOT_KEY=${ROOT_KEY}\nKEYSTEAD_DATA_PATH=./kept\n`,
    );
    const server = await startProcess(
      { KEYSTEAD_NODE: "from-environment" },
      { cwd, args: ["--node", "from-flag"] },
    );
    await fetch(`http://127.0.0.1:${server.port}/v1/keys`);
    await server.end();
    assert.match(readFileSync(join(cwd, "kept/audit.log"), "utf8"), /"node":"from-flag"/);
  });

  test("explains itself with --help", async () => {
    const { code, output } = await refusedStart({}, { args: ["--help"] });
    assert.equal(code, 0);
    assert.match(output, /KEYSTEAD_ROOT_KEY/);
    assert.match(output, /keystead init/);
  });

  test("runs from any working directory and through a link", async () => {
    const cwd = temporaryFolder();
    const child = spawn("sh", ["-c", `ln -s ${LAUNCHER} ./ks && ./ks server --help`], {
      cwd,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => (text += String(chunk)));
    await new Promise((resolve) => child.on("close", resolve));
    assert.match(text, /^Usage: keystead server/);
  });
});

async function inFlight(port: number): Promise<boolean> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^keystead_http_requests_in_flight (\d+)$/m.exec(text)?.[1]) > 0;
}

/** Runs the command line; its exit code and what it printed. */
async function runClient(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(LAUNCHER, args, {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk) => (output += String(chunk)));
  await new Promise((resolve) => child.on("close", resolve));
  return { code: child.exitCode, output };
}
