/** The document server over a real store and service: its paths, its callers, its refusals. */
import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { importBundoc } from "../../docstore/bundoc-import.ts";
import { CallersRefused, parseCallers } from "../../docstore/callers.ts";
import { systemCodeOf } from "../../docstore/doc-store-error.ts";
import { DocumentServer, type DocumentServerOptions } from "../../docstore/document-server.ts";
import { TLS_1_2_SUITES, TLS_1_3_SUITES } from "../../src/http/tls-files.ts";
import { makeCertificate } from "../certificates.ts";
import { serviceFor, temporaryFolder } from "../harness.ts";
import { sayHello } from "../http/client-hello.ts";
import { filesBelow, refused, startKeyService, storesOf } from "./store-harness.ts";

describe("the document server", () => {
  const service = serviceFor(startKeyService);
  const servers: DocumentServer[] = [];
  let url = "";
  let port = 0;
  let data = "";

  async function serve(options: Partial<DocumentServerOptions> = {}): Promise<number> {
    const harness = await storesOf("wrapped", service());
    data = harness.data;
    mkdirSync(data);
    const server = new DocumentServer({ store: harness.store(), data, client: harness.client, ...options });
    servers.push(server);
    return server.listen(0, "127.0.0.1");
  }

  before(async () => {
    port = await serve();
    url = `http://127.0.0.1:${port}`;
  });
  after(async () => {
    for (const server of servers) await server.close();
  });

  const json = { "content-type": "application/json" };
  const put = (path: string, body: string, headers: Record<string, string> = json): Promise<Response> =>
    fetch(url + path, { method: "PUT", body, headers });
  const code = async (answer: Response): Promise<unknown> => {
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    return ((await answer.json()) as { code: unknown }).code;
  };
  /** Sends a path as it is, which fetch would not. */
  async function raw(path: string, head = "", toPort = port): Promise<string> {
    const socket = connect(toPort, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8").on("data", (part: string) => (text += part));
    socket.write(`GET ${path} HTTP/1.1\r\n${head || "Host: localhost\r\n"}Connection: close\r\n\r\n`);
    await once(socket, "close");
    return text;
  }

  test("puts, gets, lists and removes, byte for byte", async () => {
    const path = "/projects/Shop/docs/orders/42";
    assert.equal((await put(path, '{"n":1.0}')).status, 204);
    const got = await fetch(url + path);
    assert.equal(await got.text(), '{"n":1.0}');
    assert.deepEqual(
      [got.headers.get("content-type"), got.headers.get("cache-control")],
      ["application/json", "no-store"],
    );
    assert.equal((await put(path, "2", { ...json, "if-none-match": "*" })).status, 412);
    assert.equal(
      (await put("/projects/shop/docs/orders/43", "2", { ...json, "if-none-match": "*" })).status,
      204,
    );
    const list = async (query: string): Promise<unknown> =>
      (await fetch(`${url}/projects/shop/docs${query}`)).json();
    assert.deepEqual(await list("/orders"), { documents: ["42", "43"] });
    assert.deepEqual(await list("/orders?limit=1"), { documents: ["42"], next_cursor: "42" });
    assert.deepEqual(await list("/orders?limit=1&cursor=42"), { documents: ["43"] });
    assert.deepEqual(await list(""), { collections: ["orders"] });
    assert.equal((await fetch(url + path, { method: "DELETE" })).status, 204);
    assert.equal(await code(await fetch(url + path, { method: "DELETE" })), "document_not_found");
    assert.equal(await code(await fetch(url + path)), "document_not_found");
  });

  test("refuses what is no document, too large, or of another type, and stores nothing", async () => {
    const path = "/projects/shop/docs/bad/1";
    for (const body of ["", "{", "\ufeff1", "undefined"])
      assert.equal(await code(await put(path, body)), "invalid_document");
    const latin = await fetch(url + path, {
      method: "PUT",
      body: new Uint8Array([0x22, 0xe9, 0x22]),
      headers: json,
    });
    assert.equal(await code(latin), "invalid_document");
    assert.equal((await put(path, `"${"x".repeat(2 ** 20)}"`)).status, 413);
    assert.equal(
      await code(await put(path, "1", { "content-type": "text/plain" })),
      "unsupported_media_type",
    );
    assert.equal(await code(await put(path, "1", { ...json, "if-match": "x" })), "invalid_condition");
    assert.equal(await code(await fetch(url + path, { method: "POST", body: "1" })), "method_not_allowed");
    assert.equal(await code(await fetch(`${url}/projects/shop/docs/bad?limit=0`)), "invalid_query");
    assert.equal(await code(await fetch(`${url}/projects/shop/docs/bad?limit=2000`)), "invalid_cursor");
    assert.equal(await code(await fetch(`${url}${path}?x=1`)), "invalid_query");
    assert.equal((await fetch(url + path)).status, 404);
  });

  test("matches paths as they come, and turns none into another", async () => {
    await put("/projects/shop/docs/paths/d", "1");
    for (const path of [
      "/projects/shop/docs/paths/../paths/d",
      "/projects/shop/docs/paths/./d",
      "/projects/shop/docs/paths//d",
      "/projects/shop/docs/paths/%64",
      "/projects/shop/docs/paths/x%2f..%2fd",
      "/projects/shop/docs/paths\\d",
      "/projects/shop/docs/paths/d/",
      "//projects/shop/docs/paths/d",
      "/projects/shop/docs/paths/..",
      "/projects/../shop/docs/paths/d",
      "/projects/sh%6fp/docs/paths/d",
    ]) {
      const answer = await raw(path);
      assert.match(answer, /^HTTP\/1\.1 400 /, path);
      assert.match(answer, /"code":"invalid_path"/, path);
    }
    assert.match(await raw("/projects/shop/docs/paths/d"), /^HTTP\/1\.1 200 /);
    for (const path of ["/", "/projects", "/projects/shop", "/projects/shop/other", "/projects/a/docs/b/c/d"])
      assert.match(await raw(path), /^HTTP\/1\.1 4(00|04) /, path);
  });

  test("without tokens answers no web page and no other host's name", async () => {
    await put("/projects/shop/docs/c/d", "1");
    const path = "/projects/shop/docs/c/d";
    for (const head of [
      "Host: evil.example\r\n",
      "Host: localhost.evil.example\r\n",
      "Host: localhost\r\nOrigin: http://evil.example\r\n",
      "Host: localhost\r\nOrigin: null\r\n",
    ])
      assert.match(await raw(path, head), /^HTTP\/1\.1 403 [\s\S]*forbidden_origin/, head);
    for (const head of ["Host: localhost:1\r\n", "Host: 127.0.0.1\r\n", "Host: [::1]:80\r\n"])
      assert.match(await raw(path, head), /^HTTP\/1\.1 200 /, head);
  });

  test("with tokens answers their holders only, each in its projects", async () => {
    const [all, shop] = ["a".repeat(32), "b".repeat(40)];
    const own = await serve({ callers: parseCallers(`# who may\n${all}\n\n${shop} Shop billing\n`) });
    const get = (project: string, token?: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${own}/projects/${project}/docs`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      });
    for (const token of [undefined, "", "x", all.slice(1), `${all}a`, all.toUpperCase()])
      assert.equal((await get("shop", token)).status, 401);
    assert.equal((await get("anything", all)).status, 200);
    assert.equal((await get("SHOP", shop)).status, 200);
    assert.equal(await code(await get("other", shop)), "forbidden");
    assert.throws(() => parseCallers("short\n"), CallersRefused);
    assert.throws(() => parseCallers(`${all} no/project\n`), /line 1 /);
  });

  test("speaks TLS with forward secrecy and AEAD only, as the service does", async () => {
    for (const kind of ["ecdsa", "rsa"] as const) {
      const { certFile, keyFile } = makeCertificate(kind, 1);
      const cert = readFileSync(certFile);
      const secure = await serve({ tls: { cert, key: readFileSync(keyFile) } });
      for (const [version, suites] of [
        ["TLSv1.2", TLS_1_2_SUITES.filter((suite) => suite.includes(kind.toUpperCase()))],
        ["TLSv1.3", TLS_1_3_SUITES.slice(0, 1)],
      ] as const) {
        for (const ciphers of suites) {
          const socket = connectTls({
            port: secure,
            ca: cert,
            minVersion: version,
            maxVersion: version,
            ciphers,
          });
          await once(socket, "secureConnect");
          assert.equal(socket.getProtocol(), version);
          // Not every client lets the suite of 1.3 be chosen.
          if (version === "TLSv1.2") assert.equal(socket.getCipher().name, ciphers);
          socket.destroy();
        }
      }
      // Static RSA with CBC, CBC with ECDHE, static RSA with GCM.
      for (const suite of [0x002f, 0x0035, 0xc009, 0xc013, 0xc014, 0x009c, 0x009d]) {
        const answer = await sayHello(secure, 0x0303, [suite]);
        assert.notEqual(answer.kind, "hello", suite.toString(16));
      }
      assert.notEqual((await sayHello(secure, 0x0302, [0xc013, 0xc009])).kind, "hello");
    }
  });

  test("is not well where nothing can be written", async () => {
    const blocked = join(temporaryFolder(), "file");
    writeFileSync(blocked, "", { mode: 0o777 });
    chmodSync(blocked, 0o777);
    const at = `http://127.0.0.1:${await serve({ data: blocked })}`;
    const health = await fetch(`${at}/health`);
    assert.equal(health.status, 503);
    assert.deepEqual(await health.json(), {
      status: "degraded",
      checks: { data: "failed", key_service: "ok" },
    });
    assert.equal((await fetch(`${at}/ready`)).status, 503);
    const { length } = filesBelow(data);
    assert.equal((await fetch(`${url}/ready`)).status, 200);
    assert.equal(filesBelow(data).length, length);
  });

  test("answers 503 for a file that fails, and tells of it; of a client that went away it tells nothing", async () => {
    const told: string[] = [];
    const other = await serve({
      onFailure: (failure, cause) => told.push(`${failure} ${systemCodeOf((cause as Error).cause)}`),
    });
    mkdirSync(join(data, "projects", "p", "docs", "c", "d"), { recursive: true });
    const path = "/projects/p/docs/c/d";
    const socket = connect(other, "127.0.0.1");
    const closed = once(socket, "close");
    socket.write(
      `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"`,
    );
    // The first byte of the body has to be there before the end is.
    await fetch(`http://127.0.0.1:${other}/ready`);
    socket.destroy();
    await closed;
    const answer = await fetch(`http://127.0.0.1:${other}${path}`);
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("retry-after"), "1");
    assert.equal(await code(answer), "storage_unavailable");
    assert.deepEqual(told, ["storage_unavailable EISDIR"]);
  });

  test("says how it is, and ends with the requests under way", async () => {
    assert.deepEqual(await (await fetch(`${url}/health`)).json(), {
      status: "ok",
      checks: { data: "ok", key_service: "ok" },
    });
    assert.equal((await fetch(`${url}/ready`)).status, 200);
    const { KeysteadClient } = await import("../../sdk/client.ts");
    const gone = await serve({ client: new KeysteadClient({ url: "http://127.0.0.1:1", retriesMax: 0 }) });
    const health = await fetch(`http://127.0.0.1:${gone}/health`);
    assert.equal(health.status, 503);
    assert.deepEqual(await health.json(), {
      status: "degraded",
      checks: { data: "ok", key_service: "failed" },
    });
    assert.equal((await fetch(`http://127.0.0.1:${gone}/ready`)).status, 200);
    const under = fetch(`http://127.0.0.1:${gone}/projects/new/docs`);
    assert.equal((await under).status, 200);
    await servers.pop()?.close();
    await assert.rejects(fetch(`http://127.0.0.1:${gone}/ready`));
  });
});

describe("the import of Bundoc's files", () => {
  const service = serviceFor(startKeyService);

  test("brings in what opens, leaves what is there, and names what it refuses", async () => {
    const bundoc = await storesOf("exported", service());
    const { store, data } = await storesOf("wrapped", service());
    const from = join(temporaryFolder(), "bundoc");
    await bundoc.client.key.create("shop-dek");
    const old = await bundoc.client.key.export("shop-dek");
    await service().request(
      "POST",
      "/v1/keys/shop-dek/rotate",
      {},
      { token: await service().token("admin") },
    );
    const now = await bundoc.client.key.export("shop-dek");
    const file = (key: Uint8Array, text: string): Buffer => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    };
    const docs = join(from, "projects", "shop", "docs");
    mkdirSync(join(docs, "orders", "deeper"), { recursive: true });
    mkdirSync(join(docs, "more"));
    writeFileSync(join(docs, "orders", "1.enc"), file(old.keyMaterial, '{"n":1}'));
    writeFileSync(join(docs, "orders", "2.enc"), file(now.keyMaterial, '{"n":2}'));
    writeFileSync(join(docs, "loose.enc"), file(now.keyMaterial, "3"));
    writeFileSync(join(docs, "orders", "foreign"), file(randomBytes(32), "4"));
    writeFileSync(join(docs, "orders", "text"), file(now.keyMaterial, "no JSON"));
    writeFileSync(join(docs, "orders", "a b"), file(now.keyMaterial, "5"));
    const files = filesBelow(from).length;
    const one = store();
    await one.put("shop", "orders", "2", "newer");
    const run = (): ReturnType<typeof importBundoc> =>
      importBundoc(one, { from, project: "Shop", exporter: bundoc.client, suffix: ".enc" });
    const first = await run();
    assert.deepEqual([first.imported, first.kept], [2, 1]);
    assert.deepEqual(
      [...first.refused].sort(),
      ["a b", "deeper", "foreign", "text"].map((name) => join("orders", name)),
    );
    assert.deepEqual(await one.get("shop", "orders", "1"), { n: 1 });
    assert.equal(await one.get("shop", "orders", "2"), "newer");
    assert.equal(await one.get("shop", "documents", "loose"), 3);
    const again = await run();
    assert.deepEqual([again.imported, again.kept], [0, 3]);
    assert.equal(filesBelow(from).length, files);
    assert.ok(filesBelow(data).length > 3);
    // The one after what is too large is imported; of two for one document the first is, and the other named.
    for (const [name, text] of [
      ["1-large", JSON.stringify("x".repeat(100))],
      ["twice", '"first"'],
      ["twice.enc", '"second"'],
    ] as const)
      writeFileSync(join(docs, "more", name), file(now.keyMaterial, text), { flag: "wx" });
    writeFileSync(join(docs, "loose"), file(now.keyMaterial, "4"));
    const third = await importBundoc(store({ documentBytesMax: 50 }), {
      from,
      project: "shop",
      exporter: bundoc.client,
      suffix: ".enc",
    });
    assert.deepEqual([third.imported, third.kept], [1, 3]);
    assert.deepEqual(
      third.refused.filter((path) => !path.startsWith("orders")),
      ["loose.enc", join("more", "1-large"), join("more", "twice.enc")],
    );
    assert.equal(await one.get("shop", "more", "twice"), "first");
  });

  test("says that a folder cannot be read", async () => {
    const { store, client } = await storesOf("exported", service());
    await client.key.create("lost-dek");
    const from = temporaryFolder();
    mkdirSync(join(from, "projects", "lost"), { recursive: true });
    symlinkSync("docs", join(from, "projects", "lost", "docs"));
    await assert.rejects(
      importBundoc(store(), { from, project: "lost", exporter: client }),
      refused("storage_unavailable"),
    );
  });
});
