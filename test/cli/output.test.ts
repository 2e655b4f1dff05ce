/** What commands write to files and to the terminal. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FileInTheMaking } from "../../cli/file-in-the-making.ts";
import { Output } from "../../cli/output.ts";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { LAUNCHER } from "../server-process.ts";

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
