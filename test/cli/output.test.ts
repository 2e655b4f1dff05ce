/** What commands write to files and to the terminal. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FileInTheMaking } from "../../cli/file-in-the-making.ts";
import { Output } from "../../cli/output.ts";
import { runCli } from "./cli-process.ts";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { LAUNCHER, REPOSITORY } from "../server-process.ts";

const SECRET = Buffer.from("a secret");

describe("a result in a file", () => {
  const service = serviceFor(() => startDev());
  const output = new Output({ json: false, terminal: false, colour: false });
  const modeOf = (path: string): number => statSync(path).mode & 0o777;

  test("is its owner's alone where the file was everybody's before, and nothing else is left", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "key");
    writeFileSync(path, "readable by everybody", { mode: 0o644 });
    await output.bytes(SECRET, path, undefined);
    assert.deepEqual([readFileSync(path), modeOf(path)], [SECRET, 0o600]);
    assert.deepEqual(readdirSync(folder), ["key"]);
  });

  test("does not go where a link leads, but takes its place", async () => {
    const folder = temporaryFolder();
    const [path, elsewhere] = [join(folder, "key"), join(folder, "elsewhere")];
    writeFileSync(elsewhere, "kept", { mode: 0o644 });
    symlinkSync(elsewhere, path);
    await output.bytes(SECRET, path, undefined);
    assert.ok(lstatSync(path).isFile());
    assert.deepEqual([readFileSync(path), modeOf(path)], [SECRET, 0o600]);
    assert.equal(readFileSync(elsewhere, "utf8"), "kept");
  });

  test("goes through a pipe and an open file as they are", async () => {
    const path = join(temporaryFolder(), "all");
    const both = '{ echo one; "$0" random 8 --raw --out /dev/stdout; }';
    const env = { ...process.env, KEYSTEAD_URL: service().url };
    const child = spawn("sh", ["-c", `${both} | cat >"$1.piped"; ${both} >"$1"`, LAUNCHER, path], { env });
    await once(child, "close");
    assert.deepEqual([statSync(`${path}.piped`).size, statSync(path).size], [12, 12]);
    assert.equal(readFileSync(path).subarray(0, 4).toString(), "one\n");
  });

  test("never replaces what is no file", async () => {
    const folder = temporaryFolder();
    const pipe = join(folder, "pipe");
    assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
    for (const path of [pipe, folder]) {
      await assert.rejects(FileInTheMaking.begin(path, true), { name: "InputFailed" });
    }
    assert.ok(lstatSync(pipe).isFIFO());
  });
});

/** Clears the screen, sets the clipboard, is an 8-bit control sequence, and turns the text around. */
const HOSTILE = "\u001b[2J\u001b]52;c;AA==\u0007\u009b2J\u202e";
const obeyed = /[\p{Cc}\p{Cf}]/u;

describe("text from a hostile server", () => {
  const PEM = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n";
  const answer = {
    ...{ ciphertext: `a${HOSTILE}\nb`, version: 1, token: HOSTILE, id: HOSTILE },
    ...{ status: "ok", checks: { [HOSTILE]: HOSTILE } },
    ...{ public_key_pem: PEM + HOSTILE, jwk: { kty: HOSTILE } },
    ...{ results: [{ ciphertext: HOSTILE, version: 1 }] },
  };
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end(JSON.stringify(answer)));
  });
  before(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  after(() => server.close());

  test("is shown and not obeyed, whatever prints it", async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const commands: [string[], number][] = [
      [["encrypt", "k", "x"], 1],
      [["encrypt", "k", "--batch", "-"], 1],
      [["data-key", "k", "--wrapped-only"], 1],
      [["token", "create", "billing"], 1],
      [["health"], 2],
      [["health", "--json"], 1],
      [["key", "public", "k"], 4],
      [["key", "public", "k", "--format", "jwk"], 1],
    ];
    const results = await Promise.all(
      commands.map(([args]) => runCli(["--url", url, "--token", "t", ...args], { stdin: "x" })),
    );
    for (const [i, { status, stdout, stderr }] of results.entries()) {
      const [args, count] = commands[i]!;
      assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
      const lines = stdout.replace(/\n$/, "").split("\n");
      assert.equal(lines.length, count, stdout);
      for (const line of lines) assert.doesNotMatch(line.replaceAll("\t", ""), obeyed, args.join(" "));
      if (args.includes("--json")) assert.deepEqual(JSON.parse(stdout), answer);
    }
  });

  test("names nothing on a terminal that it could obey", async () => {
    const program = `
      import { Output } from ${JSON.stringify(join(REPOSITORY, "cli/output.ts"))};
      const output = new Output({ json: false, terminal: true, colour: false });
      const fields = { [${JSON.stringify(HOSTILE)}]: 1 };
      await output.record(fields);
      await output.list("keys", (async function* () { yield [fields]; })(), (item) => item);`;
    const child = spawn(process.execPath, ["-e", program], { env: {}, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => (text += String(part)));
    await once(child, "close");
    assert.equal(text.split("\n").length, 4, text);
    assert.doesNotMatch(text.replaceAll("\n", ""), obeyed);
  });
});

describe("a data key", () => {
  const service = serviceFor(() => startDev());

  test("and its encrypted form do not both go to standard output as bytes", async () => {
    const env = { KEYSTEAD_URL: service().url };
    await runCli(["key", "create", "orders"], { env });
    const { status, stdout } = await runCli(["data-key", "orders", "--out", "-", "--json"], { env });
    assert.deepEqual([status, stdout], [2, ""]);
  });
});
