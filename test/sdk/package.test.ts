/** The package as npm makes it, in a project that has nothing else. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { serviceFor, startDev } from "../harness.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const folder = join(root, "sdk");

const { findBun } = (await import(join(root, "scripts/runtime.mjs"))) as { findBun: () => string };

/** Uses everything that a program has to name, and one thing that does not exist. */
const consumer = `
import {
  KeysteadApiError, KeysteadClient, KeysteadConnectionError, KeysteadCredentialError, KeysteadDataKeyError,
  KeysteadDecryptionError, KeysteadInputError, KeysteadItemError,
  type Credential, type Key, type KeysteadClientOptions, type LocalCipher,
} from "@keystead/client";
import { DekCache, type CachedDek } from "@keystead/client/dek-cache";

const source = async (): Promise<Credential> => ({ token: "t", expiresAt: new Date() });
const options: KeysteadClientOptions = { url: ["http://a", "http://b"], token: source, dataKeyCache: { ttlSeconds: 0 } };
const client = new KeysteadClient(options);
const orders: LocalCipher = client.envelope("orders");
export const key: Promise<Key> = client.key.create("orders", { type: "aes-256", signal: new AbortController().signal });
export const message: Promise<Uint8Array> = orders.encrypt("text", { context: "c" });
export const file: ReadableStream<Uint8Array> = new Blob(["a"]).stream().pipeThrough(orders.encryptStream());
export const cache: DekCache = client.dataKeys.encryption;
export const dek: CachedDek = { key: new Uint8Array(32) };
export const errors = [
  KeysteadApiError, KeysteadConnectionError, KeysteadCredentialError, KeysteadDataKeyError, KeysteadDecryptionError,
  KeysteadInputError, KeysteadItemError,
];
// @ts-expect-error there is no such key type
void client.key.create("orders", { type: "rot13" });
`;

describe("the package @keystead/client", () => {
  const service = serviceFor(() => startDev());
  const project = mkdtempSync(join(tmpdir(), "keystead-package-"));
  after(() => {
    rmSync(project, { recursive: true, force: true });
  });
  const inProject = (command: string, ...args: string[]): Promise<string> => run(project, command, args);

  before(async () => {
    const cache = ["--cache", join(project, ".npm"), "--offline", "--ignore-scripts=false"];
    await run(folder, "npm", ["pack", "--pack-destination", project, ...cache]);
    const [archive = ""] = readdirSync(project).filter((name) => name.endsWith(".tgz"));
    writeFileSync(join(project, "package.json"), '{"name":"consumer","private":true,"type":"module"}');
    await inProject(
      "npm",
      ...["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"],
      ...["--cache", join(project, ".npm"), `./${archive}`],
    );
  });

  test("holds what it needs and nothing else, and leaves the folder as it was", () => {
    const installed = join(project, "node_modules/@keystead/client");
    const { version, dependencies } = JSON.parse(
      readFileSync(join(installed, "package.json"), "utf8"),
    ) as Record<string, unknown>;
    const ours = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;
    assert.equal(version, ours["version"]);
    assert.equal(dependencies, undefined);
    assert.deepEqual(readdirSync(installed).sort(), ["LICENSE", "README.md", "dist", "package.json"]);
    const modules = readdirSync(folder).filter((name) => name.endsWith(".ts"));
    const expected = modules.flatMap((name) => [name.replace(/ts$/, "d.ts"), name.replace(/ts$/, "js")]);
    assert.deepEqual(readdirSync(join(installed, "dist")).sort(), expected.sort());
    assert.ok(!readdirSync(folder).some((name) => ["dist", "LICENSE"].includes(name)));
  });

  for (const [moduleResolution, module] of [
    ["nodenext", "nodenext"],
    ["bundler", "esnext"],
  ] as const) {
    test(`type-checks in a strict program that resolves modules as ${moduleResolution}`, async () => {
      writeFileSync(join(project, "consumer.ts"), consumer);
      const compilerOptions = {
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
        ...{ noEmit: true, target: "es2022", lib: ["es2023"], module, moduleResolution },
        // The declarations are checked themselves once, which takes long.
        skipLibCheck: module !== "nodenext",
        ...{ types: ["node"], typeRoots: [join(root, "node_modules/@types")] },
      };
      const config = { compilerOptions, files: ["consumer.ts"] };
      writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
      await inProject("node", join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
    });
  }

  const [, example = ""] = /```js\n(.*?)```/s.exec(readFileSync(join(folder, "README.md"), "utf8")) ?? [];
  for (const [runtime, command] of [
    ["the Node of this machine", "node"],
    ["Bun", findBun()],
  ] as const) {
    test(`runs the README's example on ${runtime}`, async () => {
      writeFileSync(join(project, "example.js"), example);
      const output = await run(project, command, ["example.js"], { KEYSTEAD_URL: service().url });
      assert.deepEqual(output.trim().split("\n"), ["4111 1111", "4111 1111", "a file"]);
    });
  }
});

/** What a command prints; fails with all of it where the command does. */
function run(
  cwd: string,
  command: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const { PATH = "", HOME = "" } = process.env;
    const child = spawn(command, args, { cwd, env: { PATH, HOME, ...settings } });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    }
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(output);
      else reject(new Error(`${command} ${args[0] ?? ""} ended with ${status ?? "a signal"}:\n${output}`));
    });
  });
}
