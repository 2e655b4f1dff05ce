/** Many uses of one key in one call, as JSON and in frames. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { binaryBatch } from "../../src/http/native/binary-batch.ts";
import { KeysteadError } from "../../src/errors.ts";
import { type Answer, forEachStore, serviceFor, temporaryFolder, type TestService } from "../harness.ts";

interface Item {
  readonly ciphertext?: string;
  readonly plaintext_b64?: string;
  readonly version?: number;
  readonly valid?: boolean;
  readonly error?: { readonly code: string };
}

let names = 0;

/** A key of its own, and calls on it. */
async function keyOf(
  service: TestService,
  spec: object = {},
  token?: string,
): Promise<{ name: string; post: (path: string, body: object) => Promise<Answer> }> {
  const name = `b-${++names}`;
  const options = token === undefined ? {} : { token };
  const made = await service.request("POST", "/v1/keys", { name, ...spec }, options);
  assert.equal(made.status, 201, made.text);
  return { name, post: (path, body) => service.request("POST", `/v1/keys/${name}/${path}`, body, options) };
}

function itemsOf(answer: Answer): readonly Item[] {
  assert.equal(answer.status, 200, answer.text);
  return answer.json["results"] as Item[];
}

/** A body in frames: context length ‖ context ‖ data length ‖ data, item after item. */
function framed(
  items: readonly { readonly aad?: Uint8Array; readonly data: Uint8Array }[],
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (const { aad = new Uint8Array(), data } of items) {
    for (const field of [aad, data]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      parts.push(length, field);
    }
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** An answer's frames: status, length, result. */
function unframed(bytes: Buffer): { readonly status: number; readonly data: Buffer }[] {
  const found: { status: number; data: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 1);
    found.push({ status: bytes[at]!, data: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
    assert.ok(at <= bytes.length);
  }
  return found;
}

async function sendFrames(
  service: TestService,
  path: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<{ status: number; type: string | null; bytes: Buffer }> {
  const answer = await fetch(`${service.url}/v1/keys/${path}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body,
  });
  return {
    status: answer.status,
    type: answer.headers.get("content-type"),
    bytes: Buffer.from(await answer.arrayBuffer()),
  };
}

forEachStore(({ startServer, startDev }) => {
  describe("a batch", () => {
    const auditLog = join(temporaryFolder(), "audit.log");
    const service = serviceFor(() => startDev({ KEYSTEAD_AUDIT_LOG: auditLog }));

    test("answers in the order of its items, each with its own result or error, and leaves one entry with its counts", async () => {
      const { name, post } = await keyOf(service());
      const encrypted = itemsOf(
        await post("encrypt/batch", {
          items: [
            { plaintext: "a", aad: "1" },
            { plaintext: "b", plaintext_b64: "Yg==" },
            { plaintext_b64: "not base64" },
            {},
            { plaintext: "\ud800" },
            { plaintext: "c", aad_b64: "Mg==" },
          ],
        }),
      );
      assert.deepEqual(
        encrypted.map(({ version, error }) => version ?? error?.code),
        [1, "invalid_body", "invalid_encoding", "invalid_body", "invalid_encoding", 1],
      );
      const [first, , , , , last] = encrypted;
      const opened = itemsOf(
        await post("decrypt/batch", {
          items: [
            { ciphertext: last!.ciphertext, aad: "2" },
            { ciphertext: last!.ciphertext, aad: "1" },
            { ciphertext: first!.ciphertext, aad: "1" },
            { ciphertext: "AAAA" },
          ],
        }),
      );
      assert.deepEqual(
        opened.map(({ plaintext_b64, error }) => plaintext_b64 ?? error?.code),
        ["Yw==", "decryption_failed", "YQ==", "decryption_failed"],
      );
      const entries = service()
        .auditEntries()
        .filter(({ resource, action }) => resource === `key:${name}` && action !== "key.create");
      assert.deepEqual(
        entries.map(({ action, outcome, details }) => ({ action, outcome, details })),
        [
          { action: "key.encrypt_batch", outcome: "ok", details: { items: 6, failed: 4 } },
          { action: "key.decrypt_batch", outcome: "ok", details: { items: 4, failed: 2 } },
        ],
      );
    });

    test("takes 1,000 items and not one more, and at least one", async () => {
      const { name, post } = await keyOf(service(), { type: "xaes-256" });
      const items = Array.from({ length: 1000 }, (_, i) => ({ plaintext: String(i) }));
      const done = itemsOf(await post("encrypt/batch", { items }));
      assert.equal(done.filter(({ version }) => version === 1).length, 1000);
      const opened = itemsOf(
        await post("decrypt/batch", { items: done.map(({ ciphertext }) => ({ ciphertext })) }),
      );
      assert.deepEqual(
        opened.map(({ plaintext_b64 }) => Buffer.from(plaintext_b64!, "base64").toString()),
        items.map(({ plaintext }) => plaintext),
      );
      assert.equal(
        (await post("encrypt/batch", { items: [...items, {}] })).json["code"],
        "payload_too_large",
      );
      assert.equal((await post("encrypt/batch", { items: [] })).json["code"], "invalid_body");
      const data = Buffer.from("x");
      const frames = (count: number): Uint8Array<ArrayBuffer> =>
        framed(Array.from({ length: count }, () => ({ data })));
      assert.equal((await sendFrames(service(), `${name}/encrypt/batch`, frames(1000))).status, 200);
      assert.equal((await sendFrames(service(), `${name}/encrypt/batch`, frames(1001))).status, 413);
      assert.equal((await sendFrames(service(), `${name}/encrypt/batch`, frames(0))).status, 400);
    });

    test("takes 8 MiB and not a byte more", async () => {
      const { name } = await keyOf(service(), { type: "xaes-256" });
      const most = 8 * 1024 * 1024;
      const data = new Uint8Array(512 * 1024 - 8);
      const items = Array.from({ length: 16 }, () => ({ data }));
      const whole = framed(items);
      assert.equal(whole.length, most);
      const done = await sendFrames(service(), `${name}/encrypt/batch`, whole);
      assert.equal(done.status, 200);
      assert.deepEqual(
        unframed(done.bytes).map(({ status }) => status),
        items.map(() => 0),
      );
      const over = new Uint8Array(most + 1);
      over.set(whole);
      assert.equal((await sendFrames(service(), `${name}/encrypt/batch`, over)).status, 413);
    });

    test("whose shape does not fit is refused as a whole", async () => {
      const { post } = await keyOf(service());
      for (const body of [
        {},
        { items: {} },
        { items: "x" },
        { items: [null] },
        { items: [[]] },
        { items: ["x"] },
        { items: [{ plaintext: 1 }] },
        { items: [{ plaintext: null }] },
        { items: [{ plaintext: "x", colour: "red" }] },
        { items: [{ plaintext: "x", version: 1 }] },
        { items: [{ plaintext: "x" }], extra: 1 },
      ])
        assert.equal((await post("encrypt/batch", body)).status, 400, JSON.stringify(body));
    });

    test("of verifications tells each verdict, and takes no version that is none", async () => {
      const { post } = await keyOf(service(), { type: "hmac-256" });
      const made = (await post("mac", { message: "x" })).json["mac_b64"];
      const results = itemsOf(
        await post("verify-mac/batch", {
          items: [
            { message: "x", mac_b64: made },
            { message: "y", mac_b64: made },
            { message: "x", mac_b64: made, version: 1 },
            { message: "x", mac_b64: made, version: 1.5 },
            { message: "x", mac_b64: made, version: -1 },
            { message: "x", mac_b64: made, version: 1e300 },
            { message: "x" },
          ],
        }),
      );
      assert.deepEqual(
        results.map(({ valid, error }) => valid ?? error?.code),
        [
          true,
          false,
          true,
          "key_version_not_found",
          "key_version_not_found",
          "key_version_not_found",
          "invalid_body",
        ],
      );
    });

    test("of 300 RSA signatures is not turned away for being too much", async () => {
      const { post } = await keyOf(service(), { type: "rsa-2048" });
      const items = Array.from({ length: 300 }, (_, i) => ({ message: String(i) }));
      const answer = await post("sign/batch", { items });
      assert.equal(answer.json["failed"], 0, answer.text.slice(0, 200));
      assert.equal(itemsOf(answer).length, 300);
    });

    test("lets others have their turn while it runs", async () => {
      const { name } = await keyOf(service());
      const data = new Uint8Array(4096);
      const body = framed(Array.from({ length: 1000 }, () => ({ data })));
      let ticks = 0;
      let longestMs = 0;
      let running = true;
      let last = performance.now();
      const tick = (): void => {
        const now = performance.now();
        longestMs = Math.max(longestMs, now - last);
        last = now;
        ticks++;
        if (running) setImmediate(tick);
      };
      setImmediate(tick);
      const answers = await Promise.all(
        Array.from({ length: 3 }, () => sendFrames(service(), `${name}/encrypt/batch`, body)),
      );
      running = false;
      for (const { status } of answers) assert.equal(status, 200);
      assert.ok(ticks > 10, `${ticks} turns`);
      // Far above what a slice takes, far below what three whole batches on one busy processor would.
      assert.ok(longestMs < 250, `${longestMs} ms without a turn`);
    });

    test("on its way is stopped by a revocation", async () => {
      const { name, post } = await keyOf(service(), { type: "ecdsa-p521" });
      const digest_b64 = Buffer.alloc(64, 1).toString("base64");
      const batch = post("sign/batch", { items: Array.from({ length: 1000 }, () => ({ digest_b64 })) });
      // As soon as the batch is under way.
      const first = await post("sign", { message: "x" });
      assert.equal(first.status, 200, first.text);
      const revoked = await post("revoke", {});
      assert.equal(revoked.status, 200);
      const stopped = await batch;
      assert.equal(stopped.json["code"], "key_revoked", stopped.text.slice(0, 200));
      const entry = service()
        .auditEntries()
        .find(({ action, resource }) => action === "key.sign_batch" && resource === `key:${name}`);
      assert.equal(entry?.["outcome"], "key_revoked");
    });
  });

  describe("a batch and the limit of nonces", () => {
    test("counts each of its items, and no version encrypts more than it may", async () => {
      const limit = 50;
      await using service = await startDev({}, { noncesMax: limit });
      const { name, post } = await keyOf(service);
      const data = Buffer.from("x");
      const json = async (): Promise<string[]> =>
        itemsOf(
          await post("encrypt/batch", { items: Array.from({ length: 40 }, () => ({ plaintext: "x" })) }),
        ).map(({ ciphertext }) => ciphertext!);
      const binary = async (): Promise<string[]> =>
        unframed(
          (
            await sendFrames(
              service,
              `${name}/encrypt/batch`,
              framed(Array.from({ length: 40 }, () => ({ data }))),
            )
          ).bytes,
        ).map(({ status, data: result }) => {
          assert.equal(status, 0);
          return result.toString("base64");
        });
      const ciphertexts = [
        ...(await json()),
        ...(await Promise.all([json(), binary(), json()])).flat(),
        ...(await binary()),
      ];
      assert.equal(ciphertexts.length, 200);
      const perVersion = new Map<number, number>();
      const nonces = new Set<string>();
      for (const text of ciphertexts) {
        const bytes = Buffer.from(text, "base64");
        const version = bytes.readUInt32BE(0);
        perVersion.set(version, (perVersion.get(version) ?? 0) + 1);
        nonces.add(bytes.subarray(0, 16).toString("hex"));
      }
      assert.equal(nonces.size, 200, "no nonce is used twice under a version");
      assert.deepEqual(
        [...perVersion].sort(([a], [b]) => a - b),
        [1, 2, 3, 4].map((version) => [version, limit]),
      );
      const opened = itemsOf(
        await post("decrypt/batch", { items: ciphertexts.map((ciphertext) => ({ ciphertext })) }),
      );
      assert.ok(opened.every(({ plaintext_b64 }) => plaintext_b64 === "eA=="));
    });

    test("a version that is asked for by its number has no successor: a re-encryption to it is refused item by item", async () => {
      await using service = await startDev({}, { noncesMax: 4 });
      const from = await keyOf(service, { type: "xaes-256" });
      const to = await keyOf(service);
      const { ciphertext } = (await from.post("encrypt", { plaintext: "x" })).json;
      const results = itemsOf(
        await from.post("reencrypt/batch", {
          items: Array.from({ length: 6 }, () => ({ ciphertext })),
          to_key: to.name,
          to_version: 1,
        }),
      );
      assert.deepEqual(
        results.map(({ version, error }) => version ?? error?.code),
        [1, 1, 1, 1, "key_version_spent", "key_version_spent"],
      );
    });
  });

  describe("the binary form of a batch", () => {
    const service = serviceFor(() => startDev());
    const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
    const frames = fc.array(fc.record({ aad: bytes(40), data: bytes(80) }), { minLength: 1, maxLength: 20 });
    const read = (body: Uint8Array): { aad: Buffer | undefined; data: Buffer }[] => {
      const batch = binaryBatch<{ aad: Buffer | undefined; data: Buffer }, Buffer>("k", body, {
        dataBytesMax: 1024,
        read: (frame) => frame,
        result: (result) => result,
      });
      return Array.from({ length: batch.count }, (_, i) => batch.item(i));
    };

    test("gives whatever was framed, item by item, and what is done in the order of the items", () => {
      fc.assert(
        fc.property(frames, (items) => {
          const batch = binaryBatch<Buffer, Buffer>("k", framed(items), {
            dataBytesMax: 1024,
            read: ({ data }) => data,
            result: (result) => result,
          });
          // Whatever the order in which they are done.
          for (let i = batch.count - 1; i >= 0; i--)
            batch.done(i, i % 3 === 1 ? new KeysteadError("decryption_failed") : batch.item(i));
          assert.deepEqual(
            unframed(batch.answer()).map(({ status, data }) => [status, data.toString("hex")]),
            items.map(({ data }, i) =>
              i % 3 === 1
                ? [1, Buffer.from("decryption_failed").toString("hex")]
                : [0, Buffer.from(data).toString("hex")],
            ),
          );
          assert.deepEqual(
            read(framed(items)).map(({ aad, data }) => [aad?.toString("hex") ?? "", data.toString("hex")]),
            items.map(({ aad, data }) => [
              Buffer.from(aad).toString("hex"),
              Buffer.from(data).toString("hex"),
            ]),
          );
        }),
        { numRuns: 100 },
      );
    });

    test("refuses a body that ends inside a frame, or in which a length leads beyond the end", () => {
      fc.assert(
        fc.property(frames, fc.nat(), (items, at) => {
          const whole = framed(items);
          const cut = whole.subarray(0, at % whole.length);
          let end = 0;
          const ends = new Set(items.map(({ aad, data }) => (end += 8 + aad.length + data.length)));
          if (!ends.has(cut.length)) assert.throws(() => read(cut), { code: "invalid_body" });
          else assert.ok(read(cut).length < items.length);
          const long = Buffer.from(whole);
          long.writeUInt32BE(0xffff_ffff, 0);
          assert.throws(() => read(long), { code: "invalid_body" });
        }),
        { numRuns: 100 },
      );
    });

    test("encrypts and decrypts whatever is in the frames, also nothing", async () => {
      const { name } = await keyOf(service(), { type: "xaes-256" });
      await fc.assert(
        fc.asyncProperty(frames, async (items) => {
          const encrypted = await sendFrames(service(), `${name}/encrypt/batch`, framed(items));
          assert.deepEqual([encrypted.status, encrypted.type], [200, "application/octet-stream"]);
          const back = unframed(encrypted.bytes).map(({ data }, i) => ({ aad: items[i]!.aad, data }));
          const opened = await sendFrames(service(), `${name}/decrypt/batch`, framed(back));
          assert.deepEqual(
            unframed(opened.bytes).map(({ status, data }) => [status, data.toString("hex")]),
            items.map(({ data }) => [0, Buffer.from(data).toString("hex")]),
          );
        }),
        { numRuns: 15 },
      );
    });

    test("is told apart from the other by the content type alone, and neither passes for the other", async () => {
      const { name } = await keyOf(service());
      const json = '{"items":[{"plaintext":"x"}]}';
      const send = async (
        path: string,
        type: string | undefined,
        raw: string | Uint8Array<ArrayBuffer>,
      ): Promise<string> => {
        const answer = await fetch(`${service().url}/v1/keys/${name}/${path}`, {
          method: "POST",
          headers: type === undefined ? {} : { "content-type": type },
          body: typeof raw === "string" ? new TextEncoder().encode(raw) : raw,
        });
        const text = await answer.text();
        return answer.status === 200 ? "ok" : (JSON.parse(text) as { code: string }).code;
      };
      const binary = framed([{ data: Buffer.from("x") }]);
      const octets = "application/octet-stream";
      assert.equal(await send("encrypt/batch", octets, binary), "ok");
      assert.equal(await send("encrypt/batch", "Application/Octet-Stream", binary), "ok");
      assert.equal(await send("encrypt/batch", octets, json), "invalid_body");
      assert.equal(await send("encrypt/batch", "application/json", binary), "invalid_json");
      for (const type of [
        `${octets}, application/json`,
        `application/json, ${octets}`,
        `${octets}; charset=utf-8`,
        `application/json; a=${octets}`,
        "text/plain",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        undefined,
      ])
        for (const body of [json, binary])
          assert.equal(await send("encrypt/batch", type, body), "unsupported_media_type", type ?? "none");
      // Where there is no binary form, there is none.
      for (const path of ["encrypt", "sign/batch", "reencrypt/batch", "rotate"])
        assert.equal(await send(path, octets, json), "unsupported_media_type", path);
    });

    test("of dev mode is out of a web page's reach like everything else", async () => {
      const { name } = await keyOf(service());
      const raw = Buffer.from(framed([{ data: Buffer.from("x") }]));
      const { port } = service();
      const send = (method: string, headers: Record<string, string>): Promise<number> =>
        new Promise((resolve, reject) => {
          const sent = httpRequest(
            {
              port,
              host: "127.0.0.1",
              method,
              path: `/v1/keys/${name}/encrypt/batch`,
              headers: { host: `127.0.0.1:${port}`, "content-type": "application/octet-stream", ...headers },
            },
            (answer) => {
              assert.equal(answer.headers["access-control-allow-origin"], undefined);
              answer.resume();
              resolve(answer.statusCode ?? 0);
            },
          );
          sent.on("error", reject).end(method === "POST" ? raw : undefined);
        });
      assert.equal(await send("POST", {}), 200);
      for (const headers of [
        { origin: "https://evil.example" },
        { origin: "null" },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
        { origin: `http://127.0.0.1:${port}`, "sec-fetch-site": "cross-site" },
        { host: "evil.example" },
        // What a page may send without asking first has another type, or none.
        { origin: "https://evil.example", "content-type": "text/plain" },
      ])
        assert.equal(await send("POST", headers), 403, JSON.stringify(headers));
      // Nor is a page's question whether it may send it answered with yes.
      const asked = await send("OPTIONS", {
        origin: "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      });
      assert.ok(asked >= 400);
    });
  });

  test("a batch of somebody who may not use the key leaves one entry that says so", async () => {
    await using service = await startServer();
    const admin = await service.token("admin");
    const reader = await service.token("reader");
    const { name } = await keyOf(service, {}, admin);
    const answer = await service.request(
      "POST",
      `/v1/keys/${name}/encrypt/batch`,
      { items: [{ plaintext: "x" }, { plaintext: "y" }] },
      { token: reader },
    );
    assert.equal(answer.json["code"], "forbidden");
    const entries = service.auditEntries().filter(({ action }) => action === "key.encrypt_batch");
    assert.deepEqual(
      entries.map(({ outcome, decision }) => [outcome, decision]),
      [["forbidden", "deny"]],
    );
  });
});
