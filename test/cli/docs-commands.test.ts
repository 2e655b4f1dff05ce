/** Documents on the command line, against a service with accounts: each form of keys with the rights that it needs. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createCipheriv, randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { DocStore } from "../../docstore/doc-store.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { isAnywhereBelow, startKeyService } from "../docstore/store-harness.ts";
import { serviceFor, temporaryFolder } from "../harness.ts";
import { freePort, LAUNCHER } from "../server-process.ts";
import { runCli, type CliOptions, type CliResult } from "./cli-process.ts";

describe("keystead docs", () => {
  const service = serviceFor(startKeyService);
  const folder = temporaryFolder();
  const data = join(folder, "data");
  let keeper = "";
  let exporter = "";

  before(async () => {
    keeper = await service().token("admin", { pattern: "*-kek" });
    exporter = await service().token("exporter", { kind: "service", pattern: "*-dek" });
  });

  const docs = (args: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
    docsIn(data, args, options);
  const docsIn = (
    path: string,
    args: readonly string[],
    { env, ...options }: CliOptions = {},
  ): Promise<CliResult> =>
    runCli(["docs", ...args, "--data", path], {
      ...options,
      env: { KEYSTEAD_URL: service().url, KEYSTEAD_TOKEN: keeper, ...env },
    });
  async function done(args: readonly string[], options: CliOptions = {}): Promise<string> {
    const result = await docs(args, options);
    assert.equal(result.status, 0, result.stderr);
    return result.stdout;
  }
  async function refused(result: Promise<CliResult>, status: number, text: RegExp): Promise<void> {
    const { status: given, stderr, stdout } = await result;
    assert.equal(given, status, stderr);
    assert.match(stderr, text);
    assert.equal(stdout, "");
  }

  /** Documents `d0`, `d1` and so on in the collection `c`, by the store itself. */
  async function fill(project: string, count: number): Promise<void> {
    const client = new KeysteadClient({ url: service().url, token: keeper });
    const store = new DocStore({ data, client });
    for (let i = 0; i < count; i++) await store.put(project, "c", `d${i}`, i);
    store.close();
  }

  test("stores a document from standard input, a file or the command line, and prints it byte for byte", async () => {
    await done(["put", "shop", "orders", "1"], { stdin: '{"n":1.0}' });
    writeFileSync(join(folder, "two.json"), "[2]");
    await done(["put", "shop", "orders", "2", "--file", join(folder, "two.json")]);
    await done(["put", "Shop", "orders", "3", '"canary-cli"']);
    assert.equal(await done(["get", "shop", "orders", "1"]), '{"n":1.0}');
    assert.equal(await done(["get", "shop", "orders", "2"]), "[2]");
    assert.deepEqual(JSON.parse(await done(["get", "SHOP", "orders", "3", "--json"])), "canary-cli");
    assert.equal(isAnywhereBelow(data, "canary-cli"), false);
    await refused(docs(["put", "shop", "orders", "4", "{"]), 5, /invalid_document/);
    await refused(docs(["put", "shop", "orders", "../4", "{}"]), 5, /invalid_name/);
    await refused(docs(["put", "shop!", "orders", "4", "{}"]), 5, /invalid_project/);
    writeFileSync(join(folder, "latin.json"), Buffer.from('"caf\u00e9"', "latin1"));
    await refused(docs(["put", "shop", "orders", "4", "--file", join(folder, "latin.json")]), 5, /no UTF-8/);
    await refused(docs(["get", "shop", "orders", "4"]), 4, /no such document/);
    const below = join(folder, "two.json", "below");
    await refused(docsIn(below, ["put", "shop", "orders", "4", "{}"]), 5, /storage_unavailable\): ENOTDIR/);
  });

  test("replaces nothing with --only-if-absent, and removes once", async () => {
    await done(["put", "once", "c", "d", "1", "--only-if-absent"]);
    await refused(docs(["put", "once", "c", "d", "2", "--only-if-absent"]), 5, /left as it is/);
    assert.equal(await done(["get", "once", "c", "d"]), "1");
    await done(["put", "once", "c", "d", "3"]);
    assert.equal(await done(["get", "once", "c", "d"]), "3");
    await done(["delete", "once", "c", "d"]);
    await refused(docs(["delete", "once", "c", "d"]), 4, /no such document/);
  });

  test("lists documents and collections page by page, or all, without a service", async () => {
    for (const id of ["a", "b", "c"]) await done(["put", "lists", "one", id, "0"]);
    await done(["put", "lists", "two", "a", "0"]);
    const offline = { env: { KEYSTEAD_URL: "http://127.0.0.1:9" } };
    assert.equal(await done(["list", "lists", "one"], offline), "a\nb\nc\n");
    const page = await done(["list", "lists", "one", "--limit", "2", "--json"], offline);
    assert.deepEqual(JSON.parse(page), { documents: ["a", "b"], next_cursor: "b" });
    assert.equal(await done(["list", "lists", "one", "--cursor", "b"], offline), "c\n");
    assert.equal(await done(["list", "lists", "one", "--limit", "1", "--all"], offline), "a\nb\nc\n");
    assert.equal(await done(["collections", "lists"], offline), "one\ntwo\n");
    await refused(docs(["list", "lists", "one", "--limit", "0"], offline), 2, /--limit/);
    await refused(docs(["list", "lists", "one", "--cursor", "/"], offline), 5, /invalid_cursor/);
    await refused(
      docs(["get", "lists", "one", "a", "--timeout", "300ms"], offline),
      1,
      /key_service_unavailable/,
    );
  });

  test("rotates a project's key, moves every document over, and says how far it is", async () => {
    await fill("turned", 12);
    const copy = join(folder, "copy");
    cpSync(data, copy, { recursive: true });
    const rotated = await docs(["rotate", "turned", "--json"]);
    assert.deepEqual(JSON.parse(rotated.stdout), {
      version: 2,
      documents: 12,
      reencrypted: 12,
      forgotten: 1,
    });
    assert.match(rotated.stderr, /12 of 12 documents\n$/);
    assert.equal(await done(["get", "turned", "c", "d7"]), "7");
    const again = JSON.parse(await done(["reencrypt", "turned", "--json"])) as Record<string, unknown>;
    assert.equal(again["reencrypted"], 0);
    // A copy of before still opens, until the older versions are locked out.
    const fromCopy = (): Promise<CliResult> => docsIn(copy, ["get", "turned", "c", "d7"]);
    assert.equal((await fromCopy()).stdout, "7");
    await done(["rotate", "turned", "--lock-out-old"]);
    const client = new KeysteadClient({ url: service().url, token: keeper });
    const key = await client.key.get("turned-kek");
    assert.deepEqual([key.latest_version, key.min_decryption_version], [3, 3]);
    assert.equal(await done(["get", "turned", "c", "d7"]), "7");
    const locked = await fromCopy();
    assert.equal(locked.stdout, "");
    assert.notEqual(locked.status, 0);
  });

  test("goes on with a re-encryption that was killed", async () => {
    await fill("killed", 60);
    const env = { PATH: process.env["PATH"] ?? "", KEYSTEAD_URL: service().url, KEYSTEAD_TOKEN: keeper };
    const child = spawn(LAUNCHER, ["docs", "rotate", "killed", "--data", data], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    // Its first line says that a tenth is done.
    child.stderr.once("data", () => child.kill("SIGKILL"));
    await new Promise((resolve) => child.on("close", resolve));
    for (const i of [0, 59]) assert.equal(await done(["get", "killed", "c", `d${i}`]), String(i));
    const rest = JSON.parse(await done(["reencrypt", "killed", "--json"])) as Record<string, number>;
    assert.equal(rest["documents"], 60);
    assert.deepEqual(
      readdirSync(join(data, "projects/killed/keys")).filter((name) => name.endsWith(".json")),
      ["2.json"],
    );
    for (const i of [0, 59]) assert.equal(await done(["get", "killed", "c", `d${i}`]), String(i));
  });

  test("keeps documents under an exported key, with an account that may fetch it, and rotates it", async () => {
    const form = ["--form", "exported"];
    const asExporter = { env: { KEYSTEAD_TOKEN: exporter } };
    await done(["put", "bundoc", "c", "d", "1", ...form], asExporter);
    assert.equal(await done(["get", "bundoc", "c", "d", ...form], asExporter), "1");
    await refused(docs(["get", "bundoc", "c", "d"], asExporter), 5, /wrong_form/);
    await refused(docs(["get", "bundoc", "c", "d", ...form]), 3, /key_refused/);
    await refused(docs(["rotate", "bundoc", ...form], asExporter), 3, /forbidden/);
    const admin = new KeysteadClient({ url: service().url, token: await service().token("admin") });
    await admin.key.rotate("bundoc-dek");
    await done(["put", "bundoc", "c", "e", "2", ...form], asExporter);
    assert.equal(await done(["get", "bundoc", "c", "d", ...form], asExporter), "1");
    await refused(docs(["put", "bundoc", "c", "d", "1", "--form", "plain"]), 2, /--form/);
  });

  test("imports Bundoc's own files, leaves what is there, and names what it refuses", async () => {
    const from = join(folder, "bundoc");
    mkdirSync(join(from, "projects/old/docs/orders"), { recursive: true });
    const client = new KeysteadClient({ url: service().url, token: exporter });
    await client.key.create("old-dek");
    const { keyMaterial } = await client.key.export("old-dek");
    const bundocFile = (text: string): Buffer => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", keyMaterial, nonce);
      return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    };
    writeFileSync(join(from, "projects/old/docs/orders/1.enc"), bundocFile('{"a":1}'));
    writeFileSync(join(from, "projects/old/docs/loose.enc"), bundocFile("[2]"));
    writeFileSync(join(from, "projects/old/docs/orders/bad.enc"), randomBytes(64));
    // Fetching the old key takes the one account, keeping documents under a new one the other: here one has both.
    const both = await service().token("exporter", { kind: "service", pattern: "old-*" });
    const args = [
      "import",
      "old",
      "--from",
      from,
      "--suffix",
      ".enc",
      "--collection",
      "rest",
      "--form",
      "exported",
    ];
    const imported = await docs([...args, "--json"], { env: { KEYSTEAD_TOKEN: both } });
    assert.equal(imported.status, 5);
    assert.match(imported.stderr, /not imported: orders\/bad\.enc/);
    assert.deepEqual(JSON.parse(imported.stdout), { imported: 2, kept: 0, refused: ["orders/bad.enc"] });
    const get = (...place: string[]): Promise<string> =>
      done(["get", "old", ...place, "--form", "exported"], { env: { KEYSTEAD_TOKEN: both } });
    assert.equal(await get("orders", "1"), '{"a":1}');
    assert.equal(await get("rest", "loose"), "[2]");
    const again = await docs([...args, "--json"], { env: { KEYSTEAD_TOKEN: both } });
    assert.equal((JSON.parse(again.stdout) as Record<string, unknown>)["kept"], 2);
    assert.ok(existsSync(join(from, "projects/old/docs/orders/1.enc")));
    await refused(docs(["import", "old"]), 2, /--from/);
  });

  test("serves documents to the holders of its tokens, up to its limit, and ends when asked", async () => {
    const token = randomBytes(24).toString("hex");
    const tokens = join(folder, "tokens");
    writeFileSync(tokens, `${token} served\n`);
    const port = await freePort();
    const addr = `127.0.0.1:${port}`;
    const env = { PATH: process.env["PATH"] ?? "", KEYSTEAD_URL: service().url, KEYSTEAD_TOKEN: keeper };
    const args = ["docs", "serve", "--data", data, "--addr", addr, "--tokens", tokens, "--body-max", "64"];
    const child = spawn(LAUNCHER, args, { env, stdio: ["ignore", "ignore", "pipe"] });
    const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
    try {
      let said = "";
      await new Promise<void>((resolve, reject) => {
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          if (said.includes("\n")) resolve();
        });
        child.on("close", () => {
          reject(new Error(said));
        });
      });
      assert.equal(said, `keystead: documents at http://${addr}\n`);
      const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
        fetch(`http://${addr}${path}`, {
          ...init,
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        });
      const path = "/projects/served/docs/c/d";
      assert.equal((await ask(path, { method: "PUT", body: '{"x":1}' })).status, 204);
      assert.equal(await (await ask(path)).text(), '{"x":1}');
      assert.equal(await done(["get", "served", "c", "d"]), '{"x":1}');
      assert.equal((await ask(path, { method: "PUT", body: JSON.stringify("x".repeat(64)) })).status, 413);
      assert.equal((await ask("/projects/shop/docs/orders/1")).status, 403);
      assert.equal((await fetch(`http://${addr}${path}`)).status, 401);
      assert.equal((await ask("/health")).status, 200);
    } finally {
      child.kill("SIGTERM");
    }
    assert.equal(await closed, 0);
  });

  test("serves no address that others reach without tokens and TLS", async () => {
    const everywhere = ["serve", "--addr", "0.0.0.0:0"];
    await refused(docs(everywhere), 2, /--tokens/);
    await refused(docs(["serve", "--addr", "127.example.org:0"]), 2, /--tokens/);
    await refused(docs([...everywhere, "--open"]), 2, /--tls-cert/);
    await refused(docs([...everywhere, "--open", "--tls-cert", "a"]), 2, /come together/);
    await refused(docs(["serve", "--addr", "nowhere"]), 2, /host:port/);
    await refused(docs(["serve", "--addr", "127.example.org:0"]), 2, /--tokens/);
    await refused(docs(["serve", "--body-max", "16777217"]), 2, /--body-max/);
    writeFileSync(join(folder, "short"), "short\n");
    await refused(docs(["serve", "--tokens", join(folder, "short")]), 5, /line 1/);
    assert.equal(readFileSync(join(folder, "short"), "utf8"), "short\n");
  });
});
