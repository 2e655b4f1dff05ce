/** Files on the command line, encrypted here: whole or not there, in constant memory. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { KeysteadClient } from "../../sdk/client.ts";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { LAUNCHER } from "../server-process.ts";
import { runCli, type CliOptions, type CliResult } from "./cli-process.ts";

const CHUNK_BYTES = 65_536;
const MIB = 2 ** 20;

describe("keystead file", () => {
  const service = serviceFor(() => startDev());
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  const keystead = (args: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
    runCli(args, { ...options, env: { KEYSTEAD_URL: service().url, ...options.env } });
  const file = (verb: string, from: string, to: string, ...more: string[]): Promise<CliResult> =>
    keystead(["file", verb, "backups", "--in", at(from), "--out", at(to), ...more]);
  const refused = async (result: Promise<CliResult>, status: number, text: RegExp): Promise<void> => {
    const { status: given, stderr, stdout } = await result;
    assert.equal(given, status, stderr);
    assert.match(stderr, text);
    assert.equal(stdout, "");
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith(".part")),
      [],
    );
  };
  /** 3 chunks and a bit. */
  const plain = randomBytes(3 * CHUNK_BYTES + 17);

  before(async () => {
    await new KeysteadClient({ url: service().url }).key.create("backups");
    writeFileSync(at("plain"), plain);
    assert.equal((await file("encrypt", "plain", "sealed")).status, 0);
  });

  test("encrypts a file and opens it again, for its owner only, an empty one too", async () => {
    assert.equal(readFileSync(at("sealed")).subarray(0, 4).toString("latin1"), "KSE\u0002");
    assert.equal(readFileSync(at("sealed")).includes(plain.subarray(0, 32)), false);
    assert.equal((await file("decrypt", "sealed", "opened")).status, 0);
    assert.deepEqual(readFileSync(at("opened")), plain);
    writeFileSync(at("empty"), "");
    assert.equal((await file("encrypt", "empty", "empty.kse")).status, 0);
    assert.equal((await file("decrypt", "empty.kse", "empty.opened")).status, 0);
    assert.equal(statSync(at("empty.opened")).size, 0);
    for (const name of ["sealed", "opened", "empty.opened"]) {
      assert.equal(statSync(at(name)).mode & 0o777, 0o600);
    }
  });

  test("goes through standard input and output, and says what it did where asked", async () => {
    const args = ["backups", "--context", "tenant-7", "--aad", "dump.sql", "--out", "-"];
    const sealed = await keystead(["file", "encrypt", ...args], { stdin: plain });
    assert.equal(sealed.status, 0, sealed.stderr);
    const opened = await keystead(["file", "decrypt", ...args], { stdin: sealed.bytes });
    assert.deepEqual(opened.bytes, plain);
    const said = await file("encrypt", "plain", "said", "--json");
    assert.deepEqual(JSON.parse(said.stdout), { encrypted: true });
  });

  test("opens under its own key, context and additional data only", async () => {
    await new KeysteadClient({ url: service().url }).key.create("others");
    const bound = ["--context", "tenant-7", "--aad", "a"];
    assert.equal((await file("encrypt", "plain", "bound", ...bound)).status, 0);
    for (const wrong of [
      [],
      ["--context", "tenant-8", "--aad", "a"],
      ["--context", "tenant-7", "--aad", "b"],
    ]) {
      await refused(file("decrypt", "bound", "wrong", ...wrong), 6, /decryption_failed/);
    }
    const other = keystead(["file", "decrypt", "others", "--in", at("sealed"), "--out", at("wrong")]);
    await refused(other, 6, /decryption_failed/);
    assert.equal(existsSync(at("wrong")), false);
  });

  test("leaves nothing of a file that was changed, cut, reordered or lengthened", async () => {
    const sealed = readFileSync(at("sealed"));
    const chunk = CHUNK_BYTES + 16;
    const start = sealed.length - (3 * chunk + 17 + 16);
    const part = (from: number, to?: number): Buffer =>
      sealed.subarray(start + from * chunk, to === undefined ? undefined : start + to * chunk);
    const head = sealed.subarray(0, start);
    const flipped = Buffer.from(sealed);
    flipped[sealed.length - 1] = (flipped[sealed.length - 1] ?? 0) ^ 1;
    const damaged: readonly Buffer[] = [
      flipped,
      sealed.subarray(0, -1),
      Buffer.concat([head, part(0, 3)]),
      Buffer.concat([head, part(1, 2), part(0, 1), part(2)]),
      Buffer.concat([sealed, part(3)]),
      head,
      Buffer.alloc(0),
      plain,
    ];
    for (const bytes of damaged) {
      writeFileSync(at("damaged"), bytes);
      await refused(file("decrypt", "damaged", "out"), 6, /decryption_failed/);
      assert.equal(existsSync(at("out")), false);
    }
    writeFileSync(at("damaged"), flipped);
    writeFileSync(at("before"), "before");
    await refused(file("decrypt", "damaged", "before", "--force"), 6, /decryption_failed/);
    assert.equal(readFileSync(at("before"), "utf8"), "before");
    // Standard output has what was authentic, and the exit code says that it is not all.
    const args = ["file", "decrypt", "backups", "--out", "-"];
    const cut = await keystead(args, { stdin: sealed.subarray(0, -1) });
    assert.equal(cut.status, 6);
    assert.ok(plain.subarray(0, cut.bytes.length).equals(cut.bytes));
  });

  test("replaces a file only with --force, itself too", async () => {
    writeFileSync(at("taken"), "taken");
    await refused(file("encrypt", "plain", "taken"), 5, /--force/);
    assert.equal(readFileSync(at("taken"), "utf8"), "taken");
    assert.equal((await file("encrypt", "taken", "taken", "--force")).status, 0);
    assert.equal((await file("decrypt", "taken", "taken", "--force")).status, 0);
    assert.equal(readFileSync(at("taken"), "utf8"), "taken");
  });

  test("says which side cannot be used, and leaves nothing", async () => {
    mkdirSync(at("folder"));
    await refused(file("encrypt", "absent", "out"), 5, /cannot be read/);
    await refused(file("encrypt", "folder", "out"), 5, /cannot be read/);
    await refused(file("encrypt", "plain", "no/such/folder"), 5, /cannot be written/);
    await refused(file("encrypt", "plain", "folder", "--force"), 5, /cannot be written/);
    await refused(keystead(["file", "encrypt", "backups", "--in", at("plain")]), 2, /--out/);
    const absent = keystead(["file", "encrypt", "absent", "--in", at("plain"), "--out", at("out")]);
    await refused(absent, 4, /key_not_found/);
    const gone = { env: { KEYSTEAD_URL: "http://127.0.0.1:9" } };
    const args = [
      "file",
      "encrypt",
      "backups",
      "--in",
      at("plain"),
      "--out",
      at("out"),
      "--timeout",
      "300ms",
    ];
    await refused(keystead(args, gone), 1, /data_key_unavailable/);
    assert.equal(existsSync(at("out")), false);
  });

  test("puts nothing in the place of a pipe or a device", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    await refused(file("encrypt", "plain", "pipe", "--force"), 5, /cannot be written/);
    assert.ok(statSync(at("pipe")).isFIFO());
    unlinkSync(at("pipe"));
  });

  test("does not wait for the end of its input to say that it failed", async () => {
    const child = spawn(LAUNCHER, ["file", "encrypt", "absent", "--out", at("out")], {
      env: { PATH: process.env["PATH"] ?? "", KEYSTEAD_URL: service().url },
      stdio: ["pipe", "ignore", "pipe"],
    });
    // Nothing comes, and no end either.
    const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const [status] = (await once(child, "close")) as [number | null];
    clearTimeout(late);
    assert.equal(status, 4);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith(".part")),
      [],
    );
  });

  test("takes constant memory, and leaves nothing when it is ended half-way", async () => {
    writeFileSync(at("large"), "");
    truncateSync(at("large"), 256 * MIB);
    for (const [verb, from, to] of [
      ["encrypt", "large", "large.kse"],
      ["decrypt", "large.kse", "large.opened"],
    ] as const) {
      const peak = await peakBytesOf([verb, "backups", "--in", at(from), "--out", at(to)]);
      assert.ok(peak < 192 * MIB, `${verb} took ${Math.round(peak / MIB)} MiB`);
    }
    assert.equal(await digestOf(at("large.opened")), await digestOf(at("large")));

    const child = startFile(["encrypt", "backups", "--out", at("ended")], "pipe");
    // It has begun when its file is there, and is kept waiting for more.
    child.stdin?.write(plain);
    const begun = (): boolean => readdirSync(folder).some((name) => name.startsWith(".ended."));
    for (const end = Date.now() + 20_000; !begun() && Date.now() < end;) await pause(10);
    assert.ok(begun());
    const closed = new Promise<unknown>((resolve) =>
      child.on("close", (_, signal) => {
        resolve(signal);
      }),
    );
    child.kill("SIGTERM");
    assert.equal(await closed, "SIGTERM");
    assert.equal(begun(), false);
    assert.equal(existsSync(at("ended")), false);
  });

  function startFile(args: readonly string[], stdin: "pipe" | "ignore") {
    const { PATH = "", HOME = "" } = process.env;
    const env = { PATH, HOME, KEYSTEAD_URL: service().url };
    return spawn(LAUNCHER, ["file", ...args], { env, stdio: [stdin, "ignore", "inherit"] });
  }

  /** The most memory that a command had, by the kernel's account of it. */
  async function peakBytesOf(args: readonly string[]): Promise<number> {
    const child = startFile(args, "ignore");
    let peak = 0;
    const look = setInterval(() => {
      try {
        const text = readFileSync(`/proc/${child.pid ?? 0}/status`, "utf8");
        peak = Math.max(peak, Number(/^VmHWM:\s*(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024);
      } catch {
        // It has ended, or this system has no such account.
      }
    }, 20);
    const status = await new Promise((resolve) => child.on("close", resolve));
    clearInterval(look);
    assert.equal(status, 0);
    return peak;
  }
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
}
