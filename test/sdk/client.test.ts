import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { KeysteadClient } from "../../sdk/client.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { serviceFor, startDev } from "../harness.ts";

const allBytes = Uint8Array.from({ length: 256 }, (_, i) => i);

describe("the client against the service", () => {
  const service = serviceFor(() => startDev());
  const client = (token?: string): KeysteadClient => new KeysteadClient({ url: service().url, token });

  test("has a method for every operation of the native API", () => {
    const made = client();
    for (const { operation } of nativeRoutes) {
      const inCamelCase = operation.id.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
      const [noun = "", method = ""] = inCamelCase.split(".");
      const owner = noun === "caller" ? made : (made as unknown as Record<string, unknown>)[noun];
      assert.equal(typeof (owner as Record<string, unknown>)[method], "function", operation.id);
    }
  });

  test("encrypts and decrypts text and bytes, with context, across a rotation", async () => {
    const { key } = client();
    assert.equal((await key.create("c-key")).type, "aes-256");
    const { ciphertext } = await key.encrypt("c-key", allBytes, { aad: "context" });
    assert.equal((await key.rotate("c-key")).latest_version, 2);
    const opened = await key.decrypt("c-key", ciphertext, { aad: new TextEncoder().encode("context") });
    assert.deepEqual(Uint8Array.from(opened.plaintext), allBytes);
    assert.equal(opened.version, 1);
    const text = await key.encrypt("c-key", "grüße");
    const { plaintext } = await key.decrypt("c-key", text.ciphertext);
    assert.equal(new TextDecoder().decode(plaintext), "grüße");
    const empty = await key.encrypt("c-key", new Uint8Array());
    assert.equal((await key.decrypt("c-key", empty.ciphertext)).plaintext.length, 0);
    await assert.rejects(key.decrypt("c-key", ciphertext), {
      name: "KeysteadApiError",
      code: "decryption_failed",
    });
    await assert.rejects(key.encrypt("c-key", "\ud800"), { code: "invalid_encoding" });
  });

  test("makes a change once that is sent twice under one idempotency key, and sends no key that is none", async () => {
    const { key, account } = client();
    await key.create("c-once");
    for (const idempotencyKey of ["c-once-1", "c-once-1", "c-once-2"])
      await key.rotate("c-once", { idempotencyKey });
    assert.equal((await key.get("c-once")).latest_version, 3);
    const call = { idempotencyKey: "c-once-1" };
    assert.deepEqual(
      await account.create("c-once", "service", call),
      await account.create("c-once", "service", call),
    );
    for (const idempotencyKey of ["", "a b", 'a"b', "é", "a".repeat(256)]) {
      await assert.rejects(key.rotate("c-once", { idempotencyKey }), { code: "invalid_idempotency_key" });
    }
  });

  test("signs and verifies messages and digests", async () => {
    const { key } = client();
    await key.create("c-sign", { type: "ecdsa-p256" });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", allBytes));
    const { signature } = await key.sign("c-sign", { message: allBytes });
    assert.deepEqual(await key.verify("c-sign", { digest }, signature), { valid: true, version: 1 });
    assert.deepEqual(await key.verify("c-sign", { message: "other" }, signature), { valid: false });
    assert.equal((await key.verify("c-sign", { digest }, signature, { version: 1 })).valid, true);
  });

  test("imports, lists, exports and revokes keys", async () => {
    const token = await service().token("exporter", { kind: "service" });
    const bytes = new Uint8Array(32).fill(9);
    await client().key.import("c-import", "aes-256", { format: "raw", bytes }, { exportable: true });
    const exported = await client(token).key.export("c-import", { version: 1 });
    assert.deepEqual(Uint8Array.from(exported.keyMaterial), bytes);
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await client().key.list({ limit: 1, cursor });
      names.push(...page.keys.map(({ name }) => name));
      cursor = page.next_cursor;
    } while (cursor !== undefined);
    assert.ok(names.includes("c-import"));
    assert.equal((await client().key.revoke("c-import")).status, "revoked");
    assert.equal((await client().key.get("c-import")).state, "revoked");
  });

  test("puts, gets, lists and deletes secrets, byte for byte", async () => {
    const { secret } = client();
    await secret.put("c-secret", "first");
    assert.equal((await secret.put("c-secret", allBytes)).version, 2);
    assert.deepEqual(Uint8Array.from((await secret.get("c-secret")).value), allBytes);
    assert.equal(new TextDecoder().decode((await secret.get("c-secret", { version: 1 })).value), "first");
    assert.deepEqual(
      (await secret.list()).secrets.map(({ name }) => name),
      ["c-secret"],
    );
    await secret.delete("c-secret");
    await assert.rejects(secret.get("c-secret"), { status: 404, code: "secret_not_found" });
  });

  test("makes projects, accounts, bindings and tokens, and takes them away", async () => {
    const { project, account, token, jwt } = client();
    await project.create("c-project");
    assert.ok((await project.list()).projects.some(({ name }) => name === "c-project"));
    await account.create("c-account", "service");
    const bound = await account.bind("c-account", { role: "reader", project: "c-project" });
    const made = await token.create("c-account", { label: "test", ttlSeconds: 60 });
    const caller = await client(made.token).whoami();
    assert.deepEqual(caller.bindings, bound.bindings);
    assert.equal((await token.list("c-account")).tokens[0]?.id, made.id);
    await token.revoke("c-account", made.id);
    await assert.rejects(client(made.token).whoami(), { status: 401 });
    await account.unbind("c-account", bound.bindings[0]?.id ?? "");
    assert.deepEqual((await account.get("c-account")).bindings, []);
    assert.ok((await account.list()).accounts.some(({ name }) => name === "c-account"));
    await jwt.revoke("somebody", 1);
    assert.equal((await client().health()).status, "ok");
  });

  test("an error has the service's status, code, field and request id, and nothing that was sent", async () => {
    const error = await client()
      .key.create("bad name")
      .then(
        () => undefined,
        (thrown: unknown) => thrown as Record<string, unknown>,
      );
    assert.deepEqual(
      [error?.["status"], error?.["code"], error?.["field"], error?.["name"]],
      [400, "invalid_name", "name", "KeysteadApiError"],
    );
    assert.equal(typeof error?.["requestId"], "string");
    assert.ok(!JSON.stringify(error).includes("bad name"));
  });

  test("what could lead to another path, server or header is never sent", async () => {
    for (const name of ["", ".", "..", "a/b", "a%2fb", "a?b", "a\\b", "ä"]) {
      await assert.rejects(async () => client().key.get(name), { code: "invalid_name" }, name);
    }
    for (const url of ["localhost:1", "ftp://localhost", "http://u:p@localhost", "http://localhost/?a"]) {
      assert.throws(() => new KeysteadClient({ url }), { code: "invalid_url" }, url);
    }
    assert.throws(() => new KeysteadClient({ token: "a\r\nb: c" }), { code: "invalid_token" });
    assert.throws(() => new KeysteadClient({ project: "A" }), { code: "invalid_project" });
  });
});

describe("the client against other servers", () => {
  async function against(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
    run: (client: KeysteadClient) => Promise<void>,
    timeoutMs = 20_000,
  ): Promise<void> {
    const server: Server = createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const url = `http://127.0.0.1:${port}/base/`;
      await run(new KeysteadClient({ url, token: "kst_x", timeoutMs, retriesMax: 0 }));
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test("a server that does not answer ends a call after its time, and a caller can end it before", async () => {
    await against(
      () => undefined,
      async (client) => {
        await assert.rejects(client.whoami(), { name: "KeysteadConnectionError", code: "timed_out" });
        const abort = new AbortController();
        const call = client.whoami({ signal: abort.signal, timeoutMs: 60_000 });
        abort.abort();
        await assert.rejects(call, { code: "aborted" });
        await assert.rejects(client.whoami({ signal: abort.signal }), { code: "aborted" });
      },
      200,
    );
  });

  test("a body that never ends is cut off as well", async () => {
    await against(
      (_, response) => response.writeHead(200).write("{"),
      (client) => assert.rejects(client.whoami(), { code: "timed_out" }),
      200,
    );
  });

  test("a redirect is not followed, so that the token goes nowhere else", async () => {
    const asked: (string | undefined)[] = [];
    await against(
      (request, response) => {
        asked.push(request.url);
        response.writeHead(307, { location: "/elsewhere" }).end();
      },
      (client) => assert.rejects(client.whoami(), { status: 307, code: "unexpected_answer" }),
    );
    assert.deepEqual(asked, ["/base/v1/whoami"]);
  });

  test("answers that are none of Keystead's are errors: a proxy's page, no JSON, damaged base64", async () => {
    await against(
      (_, response) => response.writeHead(502).end("<html>"),
      (client) => assert.rejects(client.whoami(), { status: 502, code: "unexpected_answer" }),
    );
    await against(
      (_, response) => response.end("OK"),
      (client) => assert.rejects(client.whoami(), { code: "unexpected_answer" }),
    );
    await against(
      (_, response) => response.end('{"plaintext_b64":"a*b=","version":1}'),
      (client) => assert.rejects(client.key.decrypt("k", "AAAA"), { code: "unexpected_answer" }),
    );
  });

  test("a degraded service is a report, not an error", async () => {
    await against(
      (_, response) => response.writeHead(503).end('{"status":"degraded","checks":{"storage":"failed"}}'),
      async (client) => assert.equal((await client.health()).status, "degraded"),
    );
  });

  test("nobody there is said as such, without the token", async () => {
    const client = new KeysteadClient({ url: "http://127.0.0.1:1", token: "kst_x" });
    await assert.rejects(client.whoami(), (error: Error) => {
      assert.equal((error as Error & { code: string }).code, "unreachable");
      assert.ok(!error.message.includes("kst_x"));
      return true;
    });
  });
});
