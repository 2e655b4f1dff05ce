/** The packages as npm makes them, in a TypeScript project that has nothing else. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KeysteadClient } from "../../sdk/client.ts";
import { serviceFor, startDev } from "../harness.ts";
import { newDatabase, query } from "../postgres.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

const { findBun } = (await import(join(root, "scripts/runtime.mjs"))) as { findBun: () => string };

/** Uses everything that a program has to name, and one thing that does not exist. */
const clientConsumer = `
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

const storeConsumer = `
import { KeysteadClient } from "@keystead/client";
import {
  DocStore, DocStoreError, DocumentServer, encryptedDriver, encryptedKeyv, importBundoc,
  type DekForm, type DocStoreErrorCode, type DocStoreOptions, type Json, type NamesPage, type ReencryptResult,
} from "@keystead/docstore";

const client = new KeysteadClient({ url: "http://a" });
const form: DekForm = "exported";
const options: DocStoreOptions = { data: "./data", client, form, cache: { ttlSeconds: 60 } };
const store = new DocStore(options);
export const stored: Promise<boolean> = store.put("shop", "orders", "42", { total: [1, null, "a"] }, { onlyIfAbsent: true });
export const got: Promise<Json | undefined> = store.get("shop", "orders", "42");
export const names: Promise<NamesPage> = store.list("shop", "orders", { limit: 10 });
export const moved: Promise<ReencryptResult> = store.reencrypt("shop", { signal: new AbortController().signal });
export const code: DocStoreErrorCode = new DocStoreError("busy").code;
export const values = encryptedKeyv(new Map(), client.envelope("sessions"), "sessions");
export const rest = [DocumentServer, encryptedDriver, importBundoc];
// @ts-expect-error a function is no JSON
void store.put("shop", "orders", "42", () => 1);
`;

const packages = [
  {
    name: "@keystead/client",
    folder: "sdk",
    consumer: clientConsumer,
    output: ["4111 1111", "4111 1111", "a file"],
    dependencies: undefined,
  },
  {
    name: "@keystead/docstore",
    folder: "docstore",
    consumer: storeConsumer,
    output: ["{ total: 99 }"],
    dependencies: ["@keystead/client"],
  },
] as const;

/** Deno, where it was installed beside the other packages or on this machine. */
function findDeno(): string | undefined {
  const packaged = join(root, "node_modules/@deno/linux-x64-glibc/deno");
  if (existsSync(packaged)) return packaged;
  return spawnSync("deno", ["--version"]).status === 0 ? "deno" : undefined;
}

const deno = findDeno();
const runtimes: readonly (readonly [name: string, command: string | undefined, args: readonly string[]])[] = [
  ["the Node of this machine", "node", []],
  ["Bun", findBun(), []],
  ["Deno", deno, ["run", "--quiet", "--allow-all", "--node-modules-dir=manual"]],
];

describe("the packages", () => {
  const service = serviceFor(() => startDev());
  const project = mkdtempSync(join(tmpdir(), "keystead-packages-"));
  after(() => {
    rmSync(project, { recursive: true, force: true });
  });
  const inProject = (command: string, ...args: string[]): Promise<string> => run(project, command, args);

  before(async () => {
    const cache = ["--cache", join(project, ".npm"), "--offline", "--ignore-scripts=false"];
    for (const { folder } of packages) {
      await run(join(root, folder), "npm", ["pack", "--pack-destination", project, ...cache]);
    }
    const archives = readdirSync(project).filter((name) => name.endsWith(".tgz"));
    assert.equal(archives.length, packages.length);
    writeFileSync(join(project, "package.json"), '{"name":"consumer","private":true,"type":"module"}');
    await inProject(
      "npm",
      ...["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"],
      ...["--cache", join(project, ".npm"), ...archives.map((name) => `./${name}`)],
    );
    // What the example for PostgreSQL takes besides.
    mkdirSync(join(project, "node_modules/@types"));
    for (const name of ["pg", "@types/pg"]) {
      symlinkSync(realpathSync(join(root, "node_modules", name)), join(project, "node_modules", name));
    }
  });

  for (const { name, folder, dependencies } of packages) {
    test(`${name} holds what it needs and nothing else, and leaves the folder as it was`, () => {
      const installed = join(project, "node_modules", name);
      const packed = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
        readonly version: string;
        readonly dependencies?: Readonly<Record<string, string>>;
      };
      const ours = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;
      assert.equal(packed.version, ours["version"]);
      assert.deepEqual(
        packed.dependencies,
        dependencies && Object.fromEntries(dependencies.map((one) => [one, packed.version])),
      );
      assert.deepEqual(readdirSync(installed).sort(), ["LICENSE", "README.md", "dist", "package.json"]);
      const modules = readdirSync(join(root, folder)).filter((file) => file.endsWith(".ts"));
      const expected = modules.flatMap((file) => [file.replace(/ts$/, "d.ts"), file.replace(/ts$/, "js")]);
      assert.deepEqual(readdirSync(join(installed, "dist")).sort(), expected.sort());
      assert.ok(!readdirSync(join(root, folder)).some((file) => ["dist", "LICENSE"].includes(file)));
    });
  }

  for (const [moduleResolution, module] of [
    ["nodenext", "nodenext"],
    ["bundler", "esnext"],
  ] as const) {
    test(`type-check in a strict program that resolves modules as ${moduleResolution}, examples too`, async () => {
      const files = packages.flatMap(({ folder, consumer }) => {
        writeFileSync(join(project, `${folder}-consumer.ts`), consumer);
        writeFileSync(join(project, `${folder}-example.ts`), exampleOf(folder));
        return [`${folder}-consumer.ts`, `${folder}-example.ts`];
      });
      writeFileSync(join(project, "columns.ts"), columnsExample());
      files.push("columns.ts");
      const compilerOptions = {
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
        ...{ noEmit: true, target: "es2022", lib: ["es2023"], module, moduleResolution },
        // The declarations are checked themselves once, which takes long.
        skipLibCheck: module !== "nodenext",
        ...{ types: ["node"], typeRoots: [join(root, "node_modules/@types")] },
      };
      writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
      await inProject("node", join(root, "node_modules/typescript/bin/tsc"), "-p", ".");
    });
  }

  for (const [runtime, command, args] of runtimes) {
    test(
      `run the examples of their READMEs on ${runtime}`,
      { skip: command === undefined && "it is not installed here" },
      async () => {
        for (const { folder, output } of packages) {
          writeFileSync(join(project, "example.mjs"), exampleOf(folder));
          rmSync(join(project, "data"), { recursive: true, force: true });
          const settings = { KEYSTEAD_URL: service().url, NO_COLOR: "1" };
          const printed = await run(project, command ?? "", [...args, "example.mjs"], settings);
          // The runtimes lay an object out in their own ways.
          assert.deepEqual(
            printed
              .trim()
              .replaceAll(/(?<=\{)\s+|,?\s+(?=\})/g, " ")
              .split("\n"),
            output,
          );
        }
      },
    );
  }

  test("run the documented example for columns of PostgreSQL, whose database sees ciphertext bound to its row", async () => {
    const database = await newDatabase();
    const { url } = service();
    const client = new KeysteadClient({ url });
    await client.key.create("cards");
    // The runtime that takes types as they stand.
    writeFileSync(join(project, "columns.ts"), columnsExample());
    const settings = { KEYSTEAD_URL: url, DATABASE_URL: database };
    assert.equal(await run(project, findBun(), ["columns.ts"], settings), "4111 1111 1111 1111\n");
    const [row] = await query(database, "SELECT card FROM customers WHERE id = '7'");
    const card = row?.["card"] as Buffer;
    assert.equal(card.subarray(0, 3).toString(), "KSE");
    assert.equal(card.includes("1111"), false);
    const cards = client.envelope("cards");
    const opened = await cards.decrypt(card, { context: "customers.card", aad: "7" });
    assert.equal(Buffer.from(opened).toString(), "4111 1111 1111 1111");
    for (const place of [
      { context: "customers.card", aad: "8" },
      { context: "customers.name", aad: "7" },
    ]) {
      await assert.rejects(cards.decrypt(card, place), { code: "decryption_failed" });
    }
  });
});

/** The program in docs/docstore.md. */
function columnsExample(): string {
  const blocks = readFileSync(join(root, "docs/docstore.md"), "utf8").matchAll(/```ts\n(.*?)```/gs);
  const programs = [...blocks].flatMap(([, text = ""]) => (text.includes('from "pg"') ? [text] : []));
  assert.equal(programs.length, 1);
  return programs[0] ?? "";
}

/** The first example of a package's README. */
function exampleOf(folder: string): string {
  const readme = readFileSync(join(root, folder, "README.md"), "utf8");
  return /```[jt]s\n(.*?)```/s.exec(readme)?.[1] ?? "";
}

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
