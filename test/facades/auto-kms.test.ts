/** Auto KMS's contract, line by line: what a client of that service finds here when it changes the address. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { serviceFor, startDev, startServer, type Answer, type RequestOptions } from "../harness.ts";

const NOWHERE = "7b0c8f6e-0a54-4a3c-9d0e-1d6a0f4a7c11";
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const PLAINTEXT = base64("hello world");

interface ShownKey {
  id: string;
  name: string;
  algorithm: string;
  status: string;
  primary_version: number;
}
interface Sealed {
  kid: string;
  version: number;
  alg: string;
  nonce_b64: string;
  ciphertext_b64: string;
  wrapped_key_b64: string;
  tag_b64: string;
  aad_b64?: string;
}

const detail = (answer: Answer): unknown => answer.json["detail"];
const isRefused = (answer: Answer, status: number, text?: string): void => {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
  assert.deepEqual(Object.keys(answer.json), ["detail"]);
  if (text !== undefined) assert.equal(detail(answer), text);
};
/** The one thing that does not fit. */
const isInvalid = (answer: Answer, loc: readonly (string | number)[], type: string): void => {
  assert.equal(answer.status, 422, answer.text);
  const issues = detail(answer) as { loc: unknown; msg: unknown; type: unknown }[];
  const issue = issues.find((one) => JSON.stringify(one.loc) === JSON.stringify(loc));
  assert.ok(issue, answer.text);
  assert.equal(issue.type, type);
  assert.equal(typeof issue.msg, "string");
  for (const one of issues) assert.deepEqual(Object.keys(one).sort(), ["loc", "msg", "type"]);
};

describe("auto-kms", () => {
  const service = serviceFor(() => startDev());
  let last = 0;
  const ask = (method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer> =>
    service().request(method, path, body, options);
  const fresh = (): string => `key-${++last}`;
  const make = async (algorithm = "AES256_GCM", name = fresh()): Promise<ShownKey> => {
    const answer = await ask("POST", "/kms/Key", { name, algorithm });
    assert.equal(answer.status, 201, answer.text);
    return answer.json as unknown as ShownKey;
  };
  const use = (key: { id: string }, action: string, body: unknown = {}): Promise<Answer> =>
    ask("POST", `/kms/Key/${key.id}/${action}`, body);
  const encrypted = async (key: ShownKey, extra = {}): Promise<Sealed> => {
    const answer = await use(key, "encrypt", { plaintext_b64: PLAINTEXT, ...extra });
    assert.equal(answer.status, 200, answer.text);
    return answer.json as unknown as Sealed;
  };
  const parts = ({ nonce_b64, ciphertext_b64, tag_b64 }: Sealed): object => ({
    nonce_b64,
    ciphertext_b64,
    tag_b64,
  });

  test("GET /system/healthz answers {ok: true}", async () => {
    const answer = await ask("GET", "/system/healthz");
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '{"ok":true}');
  });

  describe("keys", () => {
    for (const path of ["/kms/Key", "/kms/key"]) {
      test(`POST ${path} makes a key: its id, name, algorithm, status and primary version`, async () => {
        const name = fresh();
        const { status, json } = await ask("POST", path, { name, algorithm: "AES256_GCM" });
        assert.equal(status, 201);
        const { id, ...rest } = json;
        assert.match(String(id), /^[0-9a-f-]{36}$/);
        assert.deepEqual(rest, { name, algorithm: "AES256_GCM", status: "enabled", primary_version: 1 });
        const shown = await ask("GET", `${path}/${String(id)}`);
        assert.deepEqual([shown.status, shown.json], [200, json]);
      });
    }

    for (const algorithm of ["AES256_GCM", "CHACHA20_POLY1305", "RSA2048", "RSA3072"]) {
      test(`makes ${algorithm}`, async () => {
        assert.equal((await make(algorithm)).algorithm, algorithm);
      });
    }

    test("POST takes an array and answers with the keys in its order", async () => {
      const names = [fresh(), fresh(), fresh()];
      const body = names.map((name) => ({ name, algorithm: "CHACHA20_POLY1305" }));
      const answer = await ask("POST", "/kms/Key", body);
      assert.equal(answer.status, 201);
      assert.deepEqual(
        (answer.json as unknown as ShownKey[]).map(({ name }) => name),
        names,
      );
    });

    test("an array that names one key twice makes none", async () => {
      const name = fresh();
      const item = { name, algorithm: "AES256_GCM" };
      isRefused(await ask("POST", "/kms/Key", [item, item]), 409);
      assert.deepEqual((await ask("GET", `/kms/Key?name=${name}`)).json, []);
    });

    test("names are unique in a project: 409", async () => {
      const { name } = await make();
      isRefused(await ask("POST", "/kms/Key", { name, algorithm: "RSA2048" }), 409);
    });

    test("a name has up to 120 characters of any kind, and is found by them", async () => {
      const long = `Schlüssel für Zölle / 日本 #${++last} `.padEnd(120, "x");
      assert.equal((await make("AES256_GCM", long)).name, long);
      isRefused(await ask("POST", "/kms/Key", { name: long, algorithm: "AES256_GCM" }), 409);
      const found = await ask("GET", `/kms/Key?name=${encodeURIComponent(long)}`);
      assert.equal((found.json as unknown as ShownKey[]).length, 1);
      isInvalid(
        await ask("POST", "/kms/Key", { name: `${long}y`, algorithm: "AES256_GCM" }),
        ["body", "name"],
        "string_too_long",
      );
      isInvalid(
        await ask("POST", "/kms/Key", { name: "", algorithm: "AES256_GCM" }),
        ["body", "name"],
        "string_too_short",
      );
    });

    test("PATCH changes name and status, one or both", async () => {
      const key = await make();
      const name = fresh();
      const renamed = await ask("PATCH", `/kms/Key/${key.id}`, { name });
      assert.deepEqual([renamed.status, renamed.json], [200, { ...key, name }]);
      const disabled = await ask("PATCH", `/kms/Key/${key.id}`, { status: "disabled" });
      assert.deepEqual(disabled.json, { ...key, name, status: "disabled" });
      const both = await ask("PATCH", `/kms/Key/${key.id}`, { name: key.name, status: "enabled" });
      assert.deepEqual(both.json, key);
    });

    test("a rename frees the old name and refuses a taken one, whatever kind of name either is", async () => {
      const kinds = [(): string => fresh(), (): string => `Nö ${++last}`];
      for (const before of kinds)
        for (const after of kinds) {
          const [from, to] = [before(), after()];
          const key = await make("AES256_GCM", from);
          const other = await make("AES256_GCM", after());
          isRefused(await ask("PATCH", `/kms/Key/${key.id}`, { name: other.name }), 409);
          assert.equal((await ask("PATCH", `/kms/Key/${key.id}`, { name: to })).json["name"], to);
          assert.equal((await ask("GET", `/kms/Key/${key.id}`)).json["name"], to);
          assert.notEqual((await make("AES256_GCM", from)).id, key.id);
          isRefused(await ask("POST", "/kms/Key", { name: to, algorithm: "AES256_GCM" }), 409);
        }
    });

    test("PUT takes all fields that can be written, and 422 names one that is missing", async () => {
      const key = await make();
      const put = await ask("PUT", `/kms/Key/${key.id}`, { ...key, status: "disabled" });
      assert.deepEqual([put.status, put.json], [200, { ...key, status: "disabled" }]);
      isInvalid(await ask("PUT", `/kms/Key/${key.id}`, { name: key.name }), ["body", "status"], "missing");
      isInvalid(await ask("PUT", `/kms/Key/${key.id}`, { status: "enabled" }), ["body", "name"], "missing");
    });

    test("what stands for good is refused where it would change: algorithm, id, primary version", async () => {
      const key = await make();
      for (const field of [{ algorithm: "RSA2048" }, { id: NOWHERE }, { primary_version: 7 }])
        isRefused(await ask("PATCH", `/kms/Key/${key.id}`, field), 409);
    });

    test("status enabled undoes neither a revocation nor a scheduled deletion", async () => {
      const [revoked, doomed] = [await make(), await make()];
      await ask("POST", `/v1/keys/${revoked.id}/revoke`, {});
      await ask("POST", `/v1/keys/${doomed.id}/schedule-deletion`, {});
      assert.equal((await ask("GET", `/kms/Key/${revoked.id}`)).json["status"], "disabled");
      isRefused(await ask("PATCH", `/kms/Key/${revoked.id}`, { status: "enabled" }), 409);
      isRefused(await ask("PATCH", `/kms/Key/${doomed.id}`, { status: "enabled" }), 404, "Key not found");
      assert.equal((await ask("GET", `/v1/keys/${revoked.id}`)).json["state"], "revoked");
      assert.equal((await ask("GET", `/v1/keys/${doomed.id}`)).json["state"], "pending_deletion");
    });

    test("DELETE answers {deleted: 1}: gone here with its versions, its name free, and cancelled natively", async () => {
      for (const name of [fresh(), `Größe ${++last}`]) {
        const key = await make("AES256_GCM", name);
        const gone = await ask("DELETE", `/kms/Key/${key.id}`);
        assert.deepEqual([gone.status, gone.json], [200, { deleted: 1 }]);
        for (const [method, path] of [
          ["GET", ""],
          ["PATCH", ""],
          ["DELETE", ""],
          ["POST", "/encrypt"],
          ["POST", "/rotate"],
        ] as const) {
          const body =
            path === "/encrypt" ? { plaintext_b64: PLAINTEXT } : method === "PATCH" ? {} : undefined;
          isRefused(await ask(method, `/kms/Key/${key.id}${path}`, body), 404, "Key not found");
        }
        assert.deepEqual((await ask("GET", `/kms/key_version?key_id=${key.id}`)).json, []);
        const successor = await make("AES256_GCM", name);
        assert.equal((await ask("GET", `/v1/keys/${key.id}`)).json["state"], "pending_deletion");
        // The name is its successor's now.
        const kept = await ask("POST", `/v1/keys/${key.id}/cancel-deletion`, {});
        assert.equal(kept.status, 200, kept.text);
        assert.equal((await ask("GET", `/kms/Key/${key.id}`)).json["name"], `restored-${key.id}`);
        assert.equal((await ask("GET", `/kms/Key/${successor.id}`)).json["name"], name);
      }
    });

    test("a cancelled deletion gives a key its name back where nobody took it", async () => {
      for (const name of [fresh(), `Maß ${++last}`]) {
        const key = await make("AES256_GCM", name);
        await ask("DELETE", `/kms/Key/${key.id}`);
        await ask("POST", `/v1/keys/${key.id}/cancel-deletion`, {});
        assert.deepEqual((await ask("GET", `/kms/Key/${key.id}`)).json, key);
        isRefused(await ask("POST", "/kms/Key", { name, algorithm: "AES256_GCM" }), 409);
      }
    });

    test("PATCH, PUT and DELETE of the collection take arrays", async () => {
      const keys = [await make(), await make()];
      const patched = await ask(
        "PATCH",
        "/kms/Key",
        keys.map(({ id }) => ({ id, status: "disabled" })),
      );
      assert.deepEqual(
        patched.json,
        keys.map((key) => ({ ...key, status: "disabled" })),
      );
      const put = await ask("PUT", "/kms/key", keys);
      assert.deepEqual(put.json, keys);
      isInvalid(await ask("PUT", "/kms/Key", [{ id: keys[0]?.id }]), ["body", 0, "name"], "missing");
      const [first, second] = keys;
      const gone = await ask("DELETE", "/kms/Key", [first?.id, { id: second?.id }]);
      assert.deepEqual([gone.status, gone.json], [200, { deleted: 2 }]);
    });

    test("a collection request that names an absent key changes none", async () => {
      const key = await make();
      isRefused(await ask("DELETE", "/kms/Key", [key.id, NOWHERE]), 404, "Key not found");
      isRefused(
        await ask("PATCH", "/kms/Key", [
          { id: key.id, status: "disabled" },
          { id: NOWHERE, status: "disabled" },
        ]),
        404,
      );
      assert.deepEqual((await ask("GET", `/kms/Key/${key.id}`)).json, key);
    });

    test("DELETE of the collection needs a non-empty array", async () => {
      for (const body of [[], undefined, {}])
        assert.equal((await ask("DELETE", "/kms/Key", body)).status, 422);
    });

    test("lists with filters, order, skip and limit", async () => {
      await using other = await startDev();
      const of = async (query: string): Promise<string[]> => {
        const answer = await other.request("GET", `/kms/Key${query}`);
        assert.equal(answer.status, 200, answer.text);
        return (answer.json as unknown as ShownKey[]).map(({ name }) => name);
      };
      const made = await other.request("POST", "/kms/Key", [
        { name: "b", algorithm: "AES256_GCM" },
        { name: "c", algorithm: "CHACHA20_POLY1305", status: "disabled" },
        { name: "a", algorithm: "AES256_GCM", status: "disabled" },
      ]);
      assert.equal(made.status, 201);
      assert.deepEqual(await of(""), ["a", "b", "c"]);
      assert.deepEqual(await of("?name=b"), ["b"]);
      assert.deepEqual(await of("?status=disabled"), ["a", "c"]);
      assert.deepEqual(await of("?status=disabled&name=a"), ["a"]);
      assert.deepEqual(await of("?sort=-name"), ["c", "b", "a"]);
      assert.deepEqual(await of("?sort=name:desc&skip=1"), ["b", "a"]);
      assert.deepEqual(await of("?sort=algorithm,name:desc"), ["b", "a", "c"]);
      assert.deepEqual(await of("?limit=2"), ["a", "b"]);
      assert.deepEqual(await of("?skip=2&limit=2"), ["c"]);
      assert.deepEqual(await of("?skip=9"), []);
      assert.equal((await other.request("GET", "/kms/Key?sort=secret")).status, 422);
      assert.equal((await other.request("GET", "/kms/Key?limit=x")).status, 422);
      assert.equal((await other.request("GET", "/kms/Key?status=maybe")).status, 422);
      assert.equal((await other.request("GET", "/kms/Key?colour=red")).status, 422);
    });
  });

  describe("encrypt and decrypt", () => {
    for (const algorithm of ["AES256_GCM", "CHACHA20_POLY1305"]) {
      test(`${algorithm}: the tag stands apart, and the parts decrypt`, async () => {
        const key = await make(algorithm);
        const sealed = await encrypted(key, { aad_b64: base64("context") });
        assert.deepEqual(Object.keys(sealed), [
          "kid",
          "version",
          "alg",
          "nonce_b64",
          "ciphertext_b64",
          "tag_b64",
          "aad_b64",
        ]);
        assert.equal(sealed.kid, key.id);
        assert.equal(sealed.version, 1);
        assert.equal(sealed.alg, algorithm);
        assert.equal(Buffer.from(sealed.nonce_b64, "base64").length, 12);
        assert.equal(Buffer.from(sealed.tag_b64, "base64").length, 16);
        assert.equal(Buffer.from(sealed.ciphertext_b64, "base64").length, 11);
        const opened = await use(key, "decrypt", { ...parts(sealed), aad_b64: sealed.aad_b64 });
        assert.deepEqual([opened.status, opened.json], [200, { plaintext_b64: PLAINTEXT }]);
        const all = await use(key, "decrypt", { ...sealed });
        assert.equal(all.status, 200, all.text);
      });
    }

    for (const algorithm of ["RSA2048", "RSA3072"]) {
      test(`${algorithm}: OAEP with SHA-256, without nonce and tag`, async () => {
        const key = await make(algorithm);
        const sealed = await encrypted(key);
        assert.deepEqual(Object.keys(sealed), ["kid", "version", "alg", "ciphertext_b64"]);
        assert.equal(
          Buffer.from(sealed.ciphertext_b64, "base64").length,
          algorithm === "RSA2048" ? 256 : 384,
        );
        const body = { ciphertext_b64: sealed.ciphertext_b64 };
        assert.equal((await use(key, "decrypt", body)).json["plaintext_b64"], PLAINTEXT);
        assert.equal((await use(key, "decrypt", { ...body, version: 1 })).json["plaintext_b64"], PLAINTEXT);
        await use(key, "rotate");
        assert.equal((await use(key, "decrypt", body)).json["plaintext_b64"], PLAINTEXT);
        isRefused(await use(key, "decrypt", { ...body, aad_b64: base64("x") }), 400, "Decryption failed");
      });
    }

    test("aad_b64 is left out of an answer when none was given", async () => {
      assert.ok(!("aad_b64" in (await encrypted(await make()))));
    });

    test("rotate answers 201 with an empty body, and the primary version grows", async () => {
      const key = await make();
      const answer = await use(key, "rotate");
      assert.deepEqual([answer.status, answer.text], [201, ""]);
      assert.equal((await ask("GET", `/kms/Key/${key.id}`)).json["primary_version"], 2);
      assert.equal((await encrypted(key)).version, 2);
    });

    test("what was encrypted before a rotation decrypts, with its version and without", async () => {
      const key = await make();
      const sealed = await encrypted(key);
      for (let round = 0; round < 3; round++) await use(key, "rotate");
      const body = parts(sealed);
      assert.equal((await use(key, "decrypt", body)).json["plaintext_b64"], PLAINTEXT);
      assert.equal((await use(key, "decrypt", { ...body, version: 1 })).json["plaintext_b64"], PLAINTEXT);
      isRefused(await use(key, "decrypt", { ...body, version: 2 }), 400, "Decryption failed");
      isRefused(await use(key, "decrypt", { ...body, version: 99 }), 400, "Decryption failed");
    });

    test("a caller's own nonce is refused with 400", async () => {
      const key = await make();
      const nonce_b64 = Buffer.alloc(12).toString("base64");
      isRefused(await use(key, "encrypt", { plaintext_b64: PLAINTEXT, nonce_b64 }), 400);
      isRefused(await use(key, "wrap", { key_material_b64: PLAINTEXT, nonce_b64 }), 400);
    });

    test("alg has to be the key's", async () => {
      const key = await make();
      await encrypted(key, { alg: "AES256_GCM" });
      isRefused(await use(key, "encrypt", { plaintext_b64: PLAINTEXT, alg: "RSA2048" }), 400);
    });

    test("bad base64 is refused by the name of its field", async () => {
      const key = await make();
      const sealed = await encrypted(key);
      for (const bad of ["not base64!", "aGVsbG8", "aGVsbG9=", " aGVsbG8=", "aGVs\nbG8=", "_-8="]) {
        for (const [action, good, field] of [
          ["encrypt", { plaintext_b64: PLAINTEXT }, "plaintext_b64"],
          ["encrypt", { plaintext_b64: PLAINTEXT }, "aad_b64"],
          ["decrypt", parts(sealed), "ciphertext_b64"],
          ["decrypt", parts(sealed), "nonce_b64"],
          ["decrypt", parts(sealed), "tag_b64"],
          ["wrap", { key_material_b64: PLAINTEXT }, "key_material_b64"],
          ["unwrap", { ...parts(sealed), wrapped_key_b64: "" }, "wrapped_key_b64"],
        ] as const) {
          const { ciphertext_b64: text, ...rest } = good as Record<string, unknown>;
          const body =
            action === "unwrap" ? rest : { ...rest, ...(text === undefined ? {} : { ciphertext_b64: text }) };
          isRefused(
            await use(key, action, { ...body, [field]: bad }),
            400,
            `Invalid base64 encoding for ${field}`,
          );
        }
      }
    });

    test("a disabled key is used for nothing: 403 Key is disabled", async () => {
      const key = await make();
      const sealed = await encrypted(key);
      await ask("PATCH", `/kms/Key/${key.id}`, { status: "disabled" });
      const calls: [string, object][] = [
        ["encrypt", { plaintext_b64: PLAINTEXT }],
        ["decrypt", parts(sealed)],
        ["wrap", { key_material_b64: PLAINTEXT }],
        ["unwrap", { wrapped_key_b64: "", nonce_b64: sealed.nonce_b64, tag_b64: sealed.tag_b64 }],
        ["rotate", {}],
      ];
      for (const [action, body] of calls) isRefused(await use(key, action, body), 403, "Key is disabled");
    });

    test("decryption of a symmetric key needs nonce and tag: 422", async () => {
      const key = await make();
      const { nonce_b64, tag_b64, ciphertext_b64 } = await encrypted(key);
      isInvalid(await use(key, "decrypt", { ciphertext_b64, tag_b64 }), ["body", "nonce_b64"], "missing");
      isInvalid(await use(key, "decrypt", { ciphertext_b64, nonce_b64 }), ["body", "tag_b64"], "missing");
      isInvalid(await use(key, "decrypt", { nonce_b64, tag_b64 }), ["body", "ciphertext_b64"], "missing");
    });

    test("round trips of whatever bytes and context; one bit of any part changed fails, blandly", async () => {
      const keys = [await make("AES256_GCM"), await make("CHACHA20_POLY1305")];
      const bytes = fc.uint8Array({ maxLength: 80 });
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...keys),
          bytes,
          fc.option(bytes),
          fc.nat(),
          async (key, plain, aad, bit) => {
            const plaintext_b64 = Buffer.from(plain).toString("base64");
            const context = aad === null ? {} : { aad_b64: Buffer.from(aad).toString("base64") };
            const made = (await use(key, "encrypt", { plaintext_b64, ...context })).json as unknown as Sealed;
            const good: Record<string, string> = { ...(parts(made) as Record<string, string>), ...context };
            assert.equal((await use(key, "decrypt", good)).json["plaintext_b64"], plaintext_b64);
            for (const [field, text] of Object.entries(good)) {
              const changed = Buffer.from(text, "base64");
              if (changed.length === 0) continue;
              const at = bit % (changed.length * 8);
              changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
              const body = { ...good, [field]: changed.toString("base64") };
              isRefused(await use(key, "decrypt", body), 400, "Decryption failed");
            }
            isRefused(
              await use(key, "decrypt", { ...good, aad_b64: base64("another") }),
              400,
              "Decryption failed",
            );
          },
        ),
        { numRuns: 25 },
      );
    });

    test("parts that are divided elsewhere do not decrypt", async () => {
      const key = await make();
      const sealed = await encrypted(key);
      const all = ["nonce_b64", "ciphertext_b64", "tag_b64"].map((field) =>
        Buffer.from(sealed[field as "nonce_b64"], "base64"),
      );
      const joined = Buffer.concat(all);
      for (const [nonce, tag] of [
        [11, 16],
        [13, 16],
        [12, 15],
        [12, 12],
        [12, 17],
        [0, 16],
        [12, 0],
      ] as const) {
        const cut = (from: number, to: number): string => joined.subarray(from, to).toString("base64");
        const end = joined.length - tag;
        const body = {
          nonce_b64: cut(0, nonce),
          ciphertext_b64: cut(nonce, end),
          tag_b64: cut(end, joined.length),
        };
        const answer = await use(key, "decrypt", body);
        isRefused(answer, 400, "Decryption failed");
      }
    });
  });

  describe("wrap and unwrap", () => {
    for (const algorithm of ["AES256_GCM", "CHACHA20_POLY1305"]) {
      test(`${algorithm}: 0, 16, 24, 32, 48 and 64 bytes`, async () => {
        const key = await make(algorithm);
        for (const size of [0, 16, 24, 32, 48, 64]) {
          const key_material_b64 = Buffer.alloc(size, 7).toString("base64");
          const wrapped = await use(key, "wrap", { key_material_b64, aad_b64: base64("for b") });
          assert.equal(wrapped.status, 200, wrapped.text);
          const { wrapped_key_b64, nonce_b64, tag_b64, aad_b64, ...rest } = wrapped.json;
          assert.deepEqual(rest, { kid: key.id, version: 1, alg: algorithm });
          const body = { wrapped_key_b64, nonce_b64, tag_b64 };
          const opened = await use(key, "unwrap", { ...body, aad_b64 });
          assert.deepEqual([opened.status, opened.json], [200, { key_material_b64 }]);
          isRefused(await use(key, "unwrap", body), 400, "Decryption failed");
        }
      });
    }

    test("RSA keys do not wrap: 400", async () => {
      const key = await make("RSA2048");
      const text = "Key wrapping only supported for AES256_GCM and CHACHA20_POLY1305";
      isRefused(await use(key, "wrap", { key_material_b64: PLAINTEXT }), 400, text);
      const body = { wrapped_key_b64: PLAINTEXT, nonce_b64: PLAINTEXT, tag_b64: PLAINTEXT };
      isRefused(await use(key, "unwrap", body), 400, text);
    });

    test("what was wrapped before a rotation unwraps", async () => {
      const key = await make();
      const { json } = await use(key, "wrap", { key_material_b64: PLAINTEXT });
      await use(key, "rotate");
      const { wrapped_key_b64, nonce_b64, tag_b64 } = json;
      const opened = await use(key, "unwrap", { wrapped_key_b64, nonce_b64, tag_b64 });
      assert.equal(opened.json["key_material_b64"], PLAINTEXT);
    });
  });

  describe("versions", () => {
    const versions = async (key: ShownKey): Promise<Record<string, unknown>[]> =>
      (await ask("GET", `/kms/key_version?key_id=${key.id}`)).json as unknown as Record<string, unknown>[];

    for (const path of ["/kms/key_version", "/kms/KeyVersion"]) {
      test(`${path}: listed and shown by id, without material`, async () => {
        const key = await make();
        await use(key, "rotate");
        const answer = await ask("GET", `${path}?key_id=${key.id}`);
        const list = answer.json as unknown as Record<string, unknown>[];
        assert.deepEqual(
          list.map(({ key_id, version, status }) => ({ key_id, version, status })),
          [1, 2].map((version) => ({ key_id: key.id, version, status: "active" })),
        );
        for (const one of list)
          assert.deepEqual((await ask("GET", `${path}/${String(one["id"])}`)).json, one);
        const second = await ask("GET", `${path}?key_id=${key.id}&version=2&status=active`);
        assert.deepEqual(second.json, [list[1]]);
        assert.equal(((await ask("GET", path)).json as unknown as unknown[]).length > 1, true);
      });
    }

    test("POST with material imports it as the next version, and any other number is 409", async () => {
      const key = await make();
      const material = Buffer.alloc(32, 9);
      const body = {
        key_id: key.id,
        version: 2,
        status: "active",
        public_material_b64: material.toString("base64"),
      };
      isRefused(await ask("POST", "/kms/key_version", { ...body, version: 1 }), 409);
      isRefused(await ask("POST", "/kms/key_version", { ...body, version: 3 }), 409);
      const made = await ask("POST", "/kms/key_version", body);
      assert.equal(made.status, 201, made.text);
      assert.ok(!made.text.includes(body.public_material_b64));
      assert.deepEqual({ ...made.json, id: "" }, { id: "", key_id: key.id, version: 2, status: "active" });
      assert.equal((await encrypted(key)).version, 2);
      // The same material in another key opens what it made.
      const twin = await make();
      await ask("POST", "/kms/key_version", { ...body, key_id: twin.id });
      const opened = await use(twin, "decrypt", parts(await encrypted(key)));
      assert.equal(opened.json["plaintext_b64"], PLAINTEXT);
    });

    test("POST without material adds a version with fresh material", async () => {
      const key = await make();
      isRefused(await ask("POST", "/kms/key_version", { key_id: key.id, version: 5 }), 409);
      assert.equal((await ask("POST", "/kms/key_version", { key_id: key.id, version: 2 })).status, 201);
      assert.equal((await versions(key)).length, 2);
    });

    test("material of a wrong length or encoding is refused", async () => {
      const key = await make();
      const body = { key_id: key.id, version: 2 };
      isRefused(
        await ask("POST", "/kms/key_version", { ...body, public_material_b64: "!" }),
        400,
        "Invalid base64 encoding for public_material_b64",
      );
      const short = Buffer.alloc(31).toString("base64");
      isRefused(await ask("POST", "/kms/key_version", { ...body, public_material_b64: short }), 400);
      assert.equal((await versions(key)).length, 1);
    });

    test("PATCH and PUT change nothing: material is 400, another number 409, a missing field 422", async () => {
      const key = await make();
      const [first] = await versions(key);
      const path = `/kms/key_version/${String(first?.["id"])}`;
      assert.deepEqual((await ask("PATCH", path, { status: "active" })).json, first);
      assert.deepEqual((await ask("PUT", path, first)).json, first);
      const public_material_b64 = Buffer.alloc(32).toString("base64");
      isRefused(await ask("PATCH", path, { public_material_b64 }), 400);
      isRefused(await ask("PUT", path, { ...first, public_material_b64 }), 400);
      isRefused(await ask("PATCH", path, { version: 2 }), 409);
      isInvalid(await ask("PUT", path, { key_id: key.id, version: 1 }), ["body", "status"], "missing");
      assert.deepEqual((await ask("PATCH", "/kms/key_version", [{ ...first }])).json, [first]);
      assert.deepEqual((await ask("PUT", "/kms/KeyVersion", [first])).json, [first]);
    });

    test("DELETE takes an older version out of use; the primary one is 409", async () => {
      const key = await make();
      const sealed = await encrypted(key);
      await use(key, "rotate");
      const [first, second] = (await versions(key)).map(({ id }) => String(id));
      isRefused(await ask("DELETE", `/kms/key_version/${second ?? ""}`), 409);
      const gone = await ask("DELETE", `/kms/key_version/${first ?? ""}`);
      assert.deepEqual([gone.status, gone.json], [200, { deleted: 1 }]);
      isRefused(await ask("GET", `/kms/key_version/${first ?? ""}`), 404, "KeyVersion not found");
      isRefused(await use(key, "decrypt", parts(sealed)), 400, "Decryption failed");
      assert.equal((await versions(key)).length, 1);
      await encrypted(key);
    });

    test("DELETE of the collection needs a non-empty array, and spares all where one is primary", async () => {
      const key = await make();
      await use(key, "rotate");
      const ids = (await versions(key)).map(({ id }) => id);
      for (const body of [[], undefined])
        assert.equal((await ask("DELETE", "/kms/key_version", body)).status, 422);
      isRefused(await ask("DELETE", "/kms/key_version", ids), 409);
      assert.equal((await versions(key)).length, 2);
      assert.deepEqual((await ask("DELETE", "/kms/key_version", [ids[0]])).json, { deleted: 1 });
    });

    test("an id that is no version's is 404", async () => {
      const key = await make();
      for (const id of [NOWHERE, key.id, `${key.id.slice(0, 28)}000000ff`])
        isRefused(await ask("GET", `/kms/key_version/${id}`), 404, "KeyVersion not found");
    });
  });

  describe("errors", () => {
    test("an unknown key is 404 Key not found, on every route that takes one", async () => {
      for (const [method, path, body] of [
        ["GET", "", undefined],
        ["PATCH", "", {}],
        ["PUT", "", { name: "x", status: "enabled" }],
        ["DELETE", "", undefined],
        ["POST", "/encrypt", { plaintext_b64: PLAINTEXT }],
        ["POST", "/decrypt", { ciphertext_b64: PLAINTEXT }],
        ["POST", "/wrap", { key_material_b64: PLAINTEXT }],
        ["POST", "/unwrap", { wrapped_key_b64: "", nonce_b64: "", tag_b64: "" }],
        ["POST", "/rotate", undefined],
      ] as const)
        isRefused(await ask(method, `/kms/Key/${NOWHERE}${path}`, body), 404, "Key not found");
    });

    test("a bad UUID is 422, on every route that takes one", async () => {
      for (const path of ["/kms/Key/x", "/kms/key/x", "/kms/key_version/x", "/kms/KeyVersion/x"])
        isInvalid(await ask("GET", path), ["path", "id"], "uuid_parsing");
    });

    test("missing and ill-typed fields are 422 with loc, msg and type, and never their values", async () => {
      isInvalid(await ask("POST", "/kms/Key", { algorithm: "AES256_GCM" }), ["body", "name"], "missing");
      isInvalid(await ask("POST", "/kms/Key", { name: fresh() }), ["body", "algorithm"], "missing");
      isInvalid(
        await ask("POST", "/kms/Key", { name: 5, algorithm: "AES256_GCM" }),
        ["body", "name"],
        "string_type",
      );
      const canary = "canary-4711";
      for (const body of [
        { name: fresh(), algorithm: canary },
        { name: fresh(), algorithm: "AES256_GCM", [canary]: 1 },
        { name: { [canary]: canary }, algorithm: "AES256_GCM" },
        [canary],
        canary,
      ]) {
        const answer = await ask("POST", "/kms/Key", body);
        assert.equal(answer.status, 422, answer.text);
        assert.ok(!answer.text.includes(canary), answer.text);
      }
      isInvalid(
        await ask("POST", "/kms/Key", [{ name: fresh(), algorithm: "AES256_GCM" }, { name: fresh() }]),
        ["body", 1, "algorithm"],
        "missing",
      );
      isInvalid(await ask("POST", "/kms/Key", undefined, { raw: "{" }), ["body", 0], "json_invalid");
      isInvalid(await ask("POST", "/kms/Key"), ["body"], "missing");
    });

    test("unknown paths and methods below /kms and /system answer in its shape", async () => {
      isRefused(await ask("GET", "/kms/nothing"), 404, "Not Found");
      isRefused(await ask("GET", "/system/nothing"), 404, "Not Found");
      const put = await ask("PUT", "/system/healthz");
      isRefused(put, 405, "Method Not Allowed");
      assert.equal(put.headers.get("allow"), "GET");
    });

    test("idempotency keys hold for each item of an array", async () => {
      const headers = { "idempotency-key": "once" };
      const body = [fresh(), fresh()].map((name) => ({ name, algorithm: "AES256_GCM" }));
      const first = await ask("POST", "/kms/Key", body, { headers });
      const again = await ask("POST", "/kms/Key", body, { headers });
      assert.deepEqual([again.status, again.text], [201, first.text]);
      assert.equal(again.headers.get("idempotency-replayed"), "true");
      assert.equal(first.headers.get("idempotency-replayed"), null);
    });
  });

  describe("the same keys as the native API's", () => {
    test("a native key is shown by its native name, and used here", async () => {
      const name = fresh();
      const { json: native } = await ask("POST", "/v1/keys", { name, type: "chacha20-poly1305" });
      const key = (await ask("GET", `/kms/Key/${String(native["id"])}`)).json as unknown as ShownKey;
      assert.deepEqual(key, {
        id: native["id"],
        name,
        algorithm: "CHACHA20_POLY1305",
        status: "enabled",
        primary_version: 1,
      });
      const { json } = await ask("POST", `/v1/encrypt/${name}`, { plaintext_b64: PLAINTEXT, aad: "c" });
      const data = Buffer.from(String(json["data_b64"]), "base64");
      const opened = await use(key, "decrypt", {
        nonce_b64: json["nonce_b64"],
        ciphertext_b64: data.subarray(0, -16).toString("base64"),
        tag_b64: data.subarray(-16).toString("base64"),
        aad_b64: base64("c"),
        version: json["version"],
      });
      assert.equal(opened.json["plaintext_b64"], PLAINTEXT);
    });

    test("a key made here is used natively, by its name where that is a native one, and by its id", async () => {
      const plain = await make();
      const odd = await make("AES256_GCM", `Odd name ${++last}!`);
      for (const [key, handles] of [
        [plain, [plain.name, plain.id]],
        [odd, [odd.id]],
      ] as const) {
        const sealed = await encrypted(key);
        const version = Buffer.alloc(4);
        version.writeUInt32BE(sealed.version);
        const ciphertext = Buffer.concat([
          version,
          ...[sealed.nonce_b64, sealed.ciphertext_b64, sealed.tag_b64].map((text) =>
            Buffer.from(text, "base64"),
          ),
        ]).toString("base64");
        for (const handle of handles) {
          const opened = await ask("POST", `/v1/decrypt/${handle}`, { ciphertext });
          assert.equal(opened.json["plaintext_b64"], PLAINTEXT, opened.text);
        }
      }
      assert.match(String((await ask("GET", `/v1/keys/${odd.id}`)).json["name"]), /^auto-kms-[0-9a-f]{32}$/);
    });

    test("keys of types that Auto KMS does not know are not there", async () => {
      for (const body of [{ type: "ed25519" }, { type: "rsa-2048", purpose: "sign" }, { type: "xaes-256" }]) {
        const name = fresh();
        const { json } = await ask("POST", "/v1/keys", { name, ...body });
        isRefused(await ask("GET", `/kms/Key/${String(json["id"])}`), 404, "Key not found");
        isRefused(await use({ id: String(json["id"]) }, "encrypt", { plaintext_b64: PLAINTEXT }), 404);
        assert.deepEqual((await ask("GET", `/kms/Key?name=${name}`)).json, []);
      }
    });
  });
});

describe("auto-kms in server mode", () => {
  const service = serviceFor(() => startServer({ KEYSTEAD_FACADES: "auto-kms" }));

  test("asks for a token, but for its health", async () => {
    const answer = await service().request("GET", "/kms/Key");
    isRefused(answer, 401, "Not authenticated");
    assert.equal(answer.headers.get("www-authenticate"), "Bearer");
    isRefused(await service().request("GET", "/kms/Key", undefined, { token: "kst_wrong" }), 401);
    assert.equal((await service().request("GET", "/system/healthz")).status, 200);
  });

  test("allows what the caller's roles allow: 403 for the rest", async () => {
    const token = await service().token("reader");
    isRefused(
      await service().request("POST", "/kms/Key", { name: "x", algorithm: "AES256_GCM" }, { token }),
      403,
      "Forbidden",
    );
    assert.deepEqual((await service().request("GET", "/kms/Key", undefined, { token })).json, []);
  });

  test("another project's key looks like one that does not exist, on every route", async () => {
    const admin = await service().token("admin", { project: "*" });
    await service().request("POST", "/v1/projects", { name: "other" }, { token: admin });
    const made = await service().request(
      "POST",
      "/kms/Key",
      { name: "theirs", algorithm: "AES256_GCM" },
      { token: admin, project: "other" },
    );
    const id = String(made.json["id"]);
    const token = await service().token("admin");
    const versionId = `${id.slice(0, 28)}00000001`;
    for (const [method, path, body] of [
      ["GET", `/kms/Key/{}`, undefined],
      ["PATCH", `/kms/Key/{}`, { status: "disabled" }],
      ["PUT", `/kms/Key/{}`, { name: "x", status: "enabled" }],
      ["DELETE", `/kms/Key/{}`, undefined],
      ["POST", `/kms/Key/{}/encrypt`, { plaintext_b64: PLAINTEXT }],
      ["POST", `/kms/Key/{}/decrypt`, { ciphertext_b64: PLAINTEXT, nonce_b64: "", tag_b64: "" }],
      ["POST", `/kms/Key/{}/wrap`, { key_material_b64: PLAINTEXT }],
      ["POST", `/kms/Key/{}/unwrap`, { wrapped_key_b64: "", nonce_b64: "", tag_b64: "" }],
      ["POST", `/kms/Key/{}/rotate`, undefined],
      ["GET", `/kms/key_version?key_id={}`, undefined],
      ["GET", `/kms/key_version/{v}`, undefined],
      ["DELETE", `/kms/key_version/{v}`, undefined],
    ] as const) {
      const of = (keyId: string, version: string): Promise<Answer> =>
        service().request(method, path.replace("{}", keyId).replace("{v}", version), body, { token });
      const theirs = await of(id, versionId);
      const absent = await of(NOWHERE, NOWHERE);
      assert.deepEqual([theirs.status, theirs.text], [absent.status, absent.text], path);
      assert.notEqual(theirs.status, 200, path);
    }
    for (const [method, body] of [
      ["DELETE", [id]],
      ["PATCH", [{ id, status: "disabled" }]],
    ] as const)
      isRefused(await service().request(method, "/kms/Key", body, { token }), 404, "Key not found");
    assert.deepEqual((await service().request("GET", "/kms/Key", undefined, { token })).json, []);
    isRefused(await service().request("GET", "/kms/Key", undefined, { token, project: "other" }), 404);
    const mine = await service().request(
      "POST",
      "/kms/Key",
      { name: "theirs", algorithm: "AES256_GCM" },
      { token },
    );
    assert.equal(mine.status, 201, "a name is one project's");
  });

  test("a rename takes the right on both names, and gives no right that was not there", async () => {
    const admin = await service().token("admin");
    const token = await service().token("admin", { pattern: "team-*" });
    const make = async (name: string): Promise<string> =>
      String(
        (await service().request("POST", "/kms/Key", { name, algorithm: "AES256_GCM" }, { token: admin }))
          .json["id"],
      );
    const [mine, theirs] = [await make("team-a"), await make("payroll")];
    const rename = (id: string, name: string): Promise<Answer> =>
      service().request("PATCH", `/kms/Key/${id}`, { name }, { token });
    isRefused(await rename(theirs, "team-b"), 403);
    isRefused(await rename(mine, "payroll-2"), 403);
    isRefused(await rename(mine, "Team Ä"), 403);
    assert.equal((await rename(mine, "team-c")).status, 200);
  });

  test("a list by name finds that key alone, among those that are not shown", async () => {
    const token = await service().token("admin");
    for (let at = 0; at < 30; at++)
      await service().request("POST", "/v1/keys", { name: `mac-${at}`, type: "hmac-256" }, { token });
    for (const name of ["mad", "mac-1x", "Mad Ä"])
      await service().request("POST", "/kms/Key", { name, algorithm: "AES256_GCM" }, { token });
    const named = async (name: string): Promise<unknown> =>
      (
        (await service().request("GET", `/kms/Key?name=${encodeURIComponent(name)}`, undefined, { token }))
          .json as unknown as ShownKey[]
      ).map((key) => key.name);
    for (const name of ["mad", "mac-1x", "Mad Ä"]) assert.deepEqual(await named(name), [name]);
    for (const name of ["mac-1", "mac", "ma", "Mad", "", "~", "zzz"])
      assert.deepEqual(await named(name), [], name);
  });

  test("a name and a status are changed together or not at all", async () => {
    const admin = await service().token("admin", { project: "*" });
    const statements = [
      { effect: "allow", scopes: ["kms:create_key", "kms:read_key", "kms:update_key", "kms:encrypt"] },
    ];
    const role = await service().request(
      "POST",
      "/v1/roles",
      { name: "keeper", statements },
      { token: admin },
    );
    assert.equal(role.status, 201, role.text);
    const token = await service().token("keeper");
    const ask = (method: string, path: string, body?: unknown, headers = {}): Promise<Answer> =>
      service().request(method, path, body, { token, headers });
    const off = await ask("POST", "/kms/Key", { name: "off", algorithm: "AES256_GCM", status: "disabled" });
    assert.deepEqual([off.status, off.json["status"]], [201, "disabled"], off.text);
    const sealed = await ask("POST", `/kms/Key/${String(off.json["id"])}/encrypt`, {
      plaintext_b64: PLAINTEXT,
    });
    isRefused(sealed, 403, "Key is disabled");
    const on = await ask("POST", "/kms/Key", { name: "on", algorithm: "AES256_GCM" });
    const path = `/kms/Key/${String(on.json["id"])}`;
    for (const method of ["PATCH", "PUT"])
      isRefused(await ask(method, path, { name: "renamed", status: "disabled" }), 403);
    assert.deepEqual((await ask("GET", path)).json, on.json);
    assert.equal((await ask("PUT", path, { name: "on-2", status: "enabled" })).status, 200);
    const both = { name: "on-3", status: "disabled" };
    const options = { token: admin, headers: { "x-request-id": "both-1" } };
    const changed = await service().request("PATCH", path, both, options);
    assert.deepEqual([changed.json["name"], changed.json["status"]], ["on-3", "disabled"], changed.text);
    assert.deepEqual(
      service()
        .auditEntries()
        .filter((entry) => entry["request"] === "both-1" && entry["action"] !== "key.get")
        .map((entry) => [entry["action"], entry["details"]]),
      [["key.update", { name: "on-3", state: "disabled" }]],
    );
  });

  test("each item of an array has its own audit entry; what does not fit is recorded too", async () => {
    const token = await service().token("admin");
    const headers = { "x-request-id": "bulk-1" };
    await service().request(
      "POST",
      "/kms/Key",
      [
        { name: "bulk-a", algorithm: "AES256_GCM" },
        { name: "bulk-b", algorithm: "AES256_GCM" },
      ],
      { token, headers },
    );
    await service().request("POST", "/kms/Key", { name: 1 }, { token, headers: { "x-request-id": "bad-1" } });
    const entries = service().auditEntries();
    assert.deepEqual(
      entries
        .filter((entry) => entry["request"] === "bulk-1")
        .map((entry) => [entry["action"], entry["resource"], entry["outcome"]]),
      [
        ["key.create", "key:bulk-a", "ok"],
        ["key.create", "key:bulk-b", "ok"],
      ],
    );
    assert.deepEqual(
      entries
        .filter((entry) => entry["request"] === "bad-1")
        .map((entry) => [entry["action"], entry["decision"], entry["outcome"]]),
      [["key.create", "deny", "invalid_body"]],
    );
  });
});

test("policy.explain knows the operations of a facade that is on", async () => {
  const asked = { action: "key.import_version" };
  await using on = await startDev();
  const explained = await on.request("POST", "/v1/can", asked);
  assert.equal(explained.json["scope"], "kms:import_key", explained.text);
  await using off = await startDev({ KEYSTEAD_FACADES: "none" });
  assert.equal((await off.request("POST", "/v1/can", asked)).status, 400);
});
