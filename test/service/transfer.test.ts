/** Keys on their way in and out: every type in every format, wrapped and plain, and who may. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import {
  algorithmOf,
  keyTypes,
  purposesOf,
  type KeyPurpose,
  type KeyType,
} from "../../src/crypto/catalogue.ts";
import { type Answer, forEachStore, serviceFor } from "../harness.ts";

let names = 0;
const freshName = (): string => `t-${++names}`;

/** The formats that hold a whole key, written out by hand. */
const wholeFormats = (type: KeyType): readonly string[] =>
  /^(x?aes|x?chacha20|hmac|bls)/.test(type) ? ["raw", "jwk"] : ["pkcs8", "jwk"];

forEachStore(({ startServer }) => {
  describe("transfer of keys", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));
    const admin = lazily(() => service().token("admin", { project: "*" }));
    /** A service that may export, and use what it wraps under. */
    const exporter = lazily(async () => {
      const token = await service().token("exporter", { kind: "service" });
      const made = service()
        .auditEntries()
        .filter(({ resource }) => String(resource).startsWith("account:"));
      const name = String(made.at(-1)?.["resource"]).slice("account:".length);
      await must("POST", `/v1/accounts/${name}/bindings`, { role: "operator", project: "default" });
      return token;
    });

    async function request(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
      return service().request(method, path, body, { token: token ?? (await admin()) });
    }
    async function must(
      method: string,
      path: string,
      body?: unknown,
      token?: string,
    ): Promise<Record<string, unknown>> {
      const answer = await request(method, path, body, token);
      assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
      return answer.json;
    }
    async function code(method: string, path: string, body?: unknown, token?: string): Promise<unknown> {
      const answer = await request(method, path, body, token);
      return answer.status < 300 ? "ok" : answer.json["code"];
    }
    async function exported(name: string, body: object = {}): Promise<Record<string, unknown>> {
      return must("POST", `/v1/keys/${name}/export`, body, await exporter());
    }
    async function create(type: KeyType, purpose: KeyPurpose, exportable = true): Promise<string> {
      const name = freshName();
      await must("POST", "/v1/keys", { name, type, purpose, exportable });
      return name;
    }
    /** Imports what an export gave; the answer's code, or the new key's name. */
    async function imported(
      spec: object,
      given: Record<string, unknown>,
      more: object = {},
    ): Promise<string> {
      const name = freshName();
      const { format, material_b64, wrapped_material_b64, jwk } = given;
      const body = { ...spec, format, material_b64, wrapped_material_b64, jwk, ...more };
      const answer = await request("POST", `/v1/keys/${name}/import`, body);
      return answer.status === 201 ? name : String(answer.json["code"]);
    }
    /** What one key makes, the other takes. */
    async function assertSame(
      one: string,
      other: string,
      purpose: KeyPurpose,
      isCipher: boolean,
    ): Promise<void> {
      if (purpose === "sign") {
        const { signature_b64 } = await must("POST", `/v1/keys/${one}/sign`, { message: "x" });
        const { valid } = await must("POST", `/v1/keys/${other}/verify`, { message: "x", signature_b64 });
        assert.equal(valid, true);
      } else if (purpose === "mac") {
        const { mac_b64 } = await must("POST", `/v1/keys/${one}/mac`, { message: "x" });
        assert.equal((await must("POST", `/v1/keys/${other}/mac`, { message: "x" }))["mac_b64"], mac_b64);
      } else if (purpose === "encapsulate") {
        const made = await must("POST", `/v1/keys/${one}/encapsulate`, {});
        const { ciphertext } = made;
        const opened = await must("POST", `/v1/keys/${other}/decapsulate`, { ciphertext });
        assert.equal(opened["shared_secret_b64"], made["shared_secret_b64"]);
      } else if (purpose === "encrypt" && !isCipher) {
        const { ciphertext } = await must("POST", `/v1/encrypt/${one}`, { plaintext: "x" });
        assert.equal((await must("POST", `/v1/decrypt/${other}`, { ciphertext }))["plaintext"], "x");
      } else if (purpose === "agree") {
        const peer_public_key_b64 = Buffer.alloc(32, 9).toString("base64");
        const agreed = await must("POST", `/v1/keys/${one}/agree`, { peer_public_key_b64 });
        const again = await must("POST", `/v1/keys/${other}/agree`, { peer_public_key_b64 });
        assert.equal(again["shared_secret_b64"], agreed["shared_secret_b64"]);
      } else if (purpose === "show") {
        const shown = await must("GET", `/v1/keys/${one}/public-key`);
        assert.deepEqual(await must("GET", `/v1/keys/${other}/public-key`), shown);
      } else if (purpose === "wrap") {
        const leaf = await create("hmac-256", "mac");
        const wrapped = await exported(leaf, { wrapping_key: one });
        const back = await imported({ type: "hmac-256" }, wrapped, { wrapping_key: other });
        await assertSame(leaf, back, "mac", false);
      }
    }

    for (const type of keyTypes) {
      for (const purpose of purposesOf(type)) {
        test(`${type} to ${purpose}: whatever format it leaves in, it comes back as the same key`, async () => {
          const isCipher = algorithmOf(type, purpose).family === "cipher";
          const source = await create(type, purpose);
          for (const format of wholeFormats(type)) {
            const out = await exported(source, { format });
            assert.equal(out["format"], format);
            const copy = await imported({ type, purpose, exportable: true }, out);
            assert.deepEqual(await exported(copy, { format }), out);
            await assertSame(source, copy, purpose, isCipher);
            if (isCipher) {
              // It encrypts where it is not exportable, and those who have it elsewhere open that.
              const inside = await imported({ type, purpose, exportable: false }, out);
              const { ciphertext } = await must("POST", `/v1/encrypt/${inside}`, { plaintext: "x" });
              assert.equal((await must("POST", `/v1/decrypt/${source}`, { ciphertext }))["plaintext"], "x");
            }
          }
          // In no other format.
          const wrong = wholeFormats(type).includes("raw") ? "pkcs8" : "raw";
          assert.equal(
            await code("POST", `/v1/keys/${source}/export`, { format: wrong }, await exporter()),
            "invalid_body",
          );
        });
      }
    }

    test("wrapped, both ways: under a wrapping key and to an RSA key of the service", async () => {
      const kek = await create("aes-256-kwp", "wrap", false);
      for (const [type, purpose] of [
        ["aes-256", "encrypt"],
        ["hmac-512", "mac"],
        ["ecdsa-p384", "sign"],
        ["rsa-2048", "encrypt"],
        ["ml-kem-768", "encapsulate"],
      ] as const) {
        const source = await create(type, purpose);
        const plain = await exported(source);
        const wrapped = await exported(source, { wrapping_key: kek });
        assert.equal(wrapped["material_b64"], undefined);
        const bytes = Buffer.from(String(wrapped["wrapped_material_b64"]), "base64");
        assert.ok(!bytes.includes(Buffer.from(String(plain["material_b64"]), "base64")));
        const back = await imported({ type, purpose, exportable: true }, wrapped, { wrapping_key: kek });
        assert.deepEqual(await exported(back), plain);
        for (const size of ["rsa-2048", "rsa-3072"] as const) {
          if (size === "rsa-3072" && type !== "hmac-512") continue;
          const taker = await create(size, "encrypt", false);
          const { public_key_pem: pem } = await must("GET", `/v1/keys/${taker}/public-key`);
          const toRsa = await exported(source, { wrapping_public_key_b64: derOf(pem) });
          const arrived = await imported({ type, purpose, exportable: true }, toRsa, { wrapping_key: taker });
          assert.deepEqual(await exported(arrived), plain);
        }
      }
      const leaf = await create("hmac-256", "mac");
      for (const body of [
        { format: "jwk", wrapping_key: kek },
        { wrapping_key: kek, wrapping_public_key_b64: "AAAA" },
      ])
        assert.equal(await code("POST", `/v1/keys/${leaf}/export`, body, await exporter()), "invalid_body");
      const bad = { wrapping_public_key_b64: Buffer.from("no key").toString("base64") };
      assert.equal(
        await code("POST", `/v1/keys/${leaf}/export`, bad, await exporter()),
        "invalid_key_material",
      );
    });

    test("what does not unwrap is one error, whatever is wrong with it", async () => {
      const leaf = await create("hmac-256", "mac");
      const kek = await create("aes-256-kwp", "wrap", false);
      const otherKek = await create("aes-256-kwp", "wrap", false);
      const rsa = await create("rsa-2048", "encrypt", false);
      const { public_key_pem: pem } = await must("GET", `/v1/keys/${rsa}/public-key`);
      const underKek = Buffer.from(
        String((await exported(leaf, { wrapping_key: kek }))["wrapped_material_b64"]),
        "base64",
      );
      const underRsa = Buffer.from(
        String((await exported(leaf, { wrapping_public_key_b64: derOf(pem) }))["wrapped_material_b64"]),
        "base64",
      );
      const flipped = (bytes: Buffer, at: number): Buffer => {
        const copy = Buffer.from(bytes);
        copy[at]! ^= 1;
        return copy;
      };
      const texts = new Set<string>();
      for (const [wrapping_key, bytes] of [
        [kek, flipped(underKek, 0)],
        [kek, flipped(underKek, underKek.length - 1)],
        [kek, underKek.subarray(0, -8)],
        [kek, underKek.subarray(0, -1)],
        [kek, Buffer.concat([underKek, Buffer.alloc(8)])],
        [kek, Buffer.alloc(0)],
        [kek, Buffer.alloc(16)],
        [kek, underRsa],
        [otherKek, underKek],
        [rsa, flipped(underRsa, 3)],
        [rsa, flipped(underRsa, underRsa.length - 1)],
        [rsa, underRsa.subarray(0, 256)],
        [rsa, underRsa.subarray(0, 255)],
        [rsa, Buffer.alloc(0)],
        [rsa, underKek],
      ] as const) {
        const answer = await request("POST", `/v1/keys/${freshName()}/import`, {
          type: "hmac-256",
          format: "raw",
          wrapped_material_b64: bytes.toString("base64"),
          wrapping_key,
        });
        texts.add(JSON.stringify([answer.status, { ...answer.json, request_id: undefined }]));
      }
      assert.equal(texts.size, 1, [...texts].join("\n"));
      assert.ok([...texts].join().includes('"unwrap_failed"'));
    });

    test("a wrapping key of the wrong kind, one that the caller may not use, and a foreign one are refused", async () => {
      const leaf = await create("hmac-256", "mac");
      const kek = await create("aes-256-kwp", "wrap", false);
      const aes = await create("aes-256", "encrypt", false);
      const signing = await create("rsa-2048", "sign", false);
      const { wrapped_material_b64 } = await exported(leaf, { wrapping_key: kek });
      const unwrapping = (wrapping_key: string, token?: string): Promise<unknown> =>
        code(
          "POST",
          `/v1/keys/${freshName()}/import`,
          { type: "hmac-256", format: "raw", wrapped_material_b64, wrapping_key },
          token,
        );
      const wrapping = async (wrapping_key: string, token?: string): Promise<unknown> =>
        code("POST", `/v1/keys/${leaf}/export`, { wrapping_key }, token ?? (await exporter()));
      assert.equal(await wrapping(kek, await service().token("exporter", { kind: "service" })), "ok");
      for (const name of [aes, signing])
        assert.deepEqual([await unwrapping(name), await wrapping(name)], ["key_usage", "key_usage"]);
      assert.deepEqual(
        [await unwrapping("nowhere"), await wrapping("nowhere")],
        ["key_not_found", "key_not_found"],
      );

      const onlyExports = await service().token("exporter", { kind: "service", pattern: leaf });
      const kekId = String((await must("GET", `/v1/keys/${kek}`))["id"]);
      for (const handle of [kek, kekId, "nowhere", "00000000-0000-4000-8000-000000000000"])
        assert.equal(await wrapping(handle, onlyExports), "forbidden", handle);
      const narrow = await service().token("admin", { pattern: "mine-*" });
      for (const handle of [kek, kekId, "nowhere", "00000000-0000-4000-8000-000000000000"]) {
        const body = { type: "hmac-256", format: "raw", wrapped_material_b64, wrapping_key: handle };
        assert.equal(
          await code("POST", `/v1/keys/mine-${freshName()}/import`, body, narrow),
          "forbidden",
          handle,
        );
      }

      await must("POST", "/v1/projects", { name: "elsewhere" });
      const foreign = await service().request(
        "POST",
        "/v1/keys",
        { name: "foreign-kek", type: "aes-256-kwp" },
        { token: await admin(), project: "elsewhere" },
      );
      for (const handle of ["foreign-kek", String(foreign.json["id"])]) {
        assert.equal(await unwrapping(handle), "key_not_found");
        assert.equal(await wrapping(handle), "key_not_found");
      }
    });

    test("material that is empty, of the wrong length or in the wrong format is refused, wrapped or not", async () => {
      for (const type of keyTypes) {
        for (const format of ["raw", "pkcs8", "spki"]) {
          const refused = await code("POST", `/v1/keys/${freshName()}/import`, {
            type,
            format,
            material_b64: "",
          });
          assert.equal(refused, "invalid_key_material", `${type} ${format}`);
        }
        for (const jwk of [{}, { kty: "oct", k: "" }, { kty: "OKP" }, { kty: "RSA", n: "", e: "" }]) {
          const refused = await code("POST", `/v1/keys/${freshName()}/import`, { type, format: "jwk", jwk });
          assert.equal(refused, "invalid_key_material", `${type} ${JSON.stringify(jwk)}`);
        }
      }
      const kek = await create("aes-256-kwp", "wrap", false);
      const short = await create("hmac-256", "mac");
      const wrapped = await exported(short, { wrapping_key: kek });
      const other = await imported(
        { type: "ed25519" },
        { ...wrapped, format: "pkcs8" },
        { wrapping_key: kek },
      );
      assert.equal(other, "invalid_key_material");
      for (const body of [
        { type: "aes-256", format: "raw" },
        { type: "aes-256", format: "jwk", material_b64: "AAAA" },
        { type: "aes-256", format: "raw", jwk: {} },
        { type: "aes-256", format: "raw", material_b64: "AAAA", wrapping_key: kek },
        { type: "aes-256", format: "raw", wrapped_material_b64: "AAAA" },
        { type: "aes-256", format: "jwk", wrapped_material_b64: "AAAA", wrapping_key: kek },
      ])
        assert.equal(
          await code("POST", `/v1/keys/${freshName()}/import`, body),
          "invalid_body",
          JSON.stringify(body),
        );
    });

    for (const [type, purpose] of [
      ["rsa-2048", "sign"],
      ["rsa-2048", "encrypt"],
      ["ecdsa-p256", "sign"],
      ["secp256k1", "sign"],
      ["ed25519", "sign"],
      ["ml-dsa-44", "sign"],
      ["ml-kem-768", "encapsulate"],
      ["x25519", "agree"],
    ] as const) {
      test(`of ${type} to ${purpose}, a public part alone does what needs no more, and nothing else`, async () => {
        const whole = await create(type, purpose);
        const given = await exported(whole, { format: "spki" });
        const part = await imported({ type, purpose, exportable: true }, given);
        assert.equal((await must("GET", `/v1/keys/${part}`))["public_only"], true);
        const refused = async (path: string, body: object): Promise<void> => {
          assert.equal(await code("POST", `/v1/keys/${part}/${path}`, body), "key_public_only", path);
        };
        await refused("rotate", {});
        const exporting = code("POST", `/v1/keys/${part}/export`, { format: "pkcs8" }, await exporter());
        assert.equal(await exporting, "key_public_only");
        assert.deepEqual(await exported(part, { format: "spki" }), given);
        if (purpose === "sign") {
          const { signature_b64 } = await must("POST", `/v1/keys/${whole}/sign`, { message: "x" });
          const { valid } = await must("POST", `/v1/keys/${part}/verify`, { message: "x", signature_b64 });
          assert.equal(valid, true);
          await refused("sign", { message: "x" });
        } else if (purpose === "encrypt") {
          const { ciphertext } = await must("POST", `/v1/encrypt/${part}`, { plaintext: "x" });
          assert.equal((await must("POST", `/v1/decrypt/${whole}`, { ciphertext }))["plaintext"], "x");
          await refused("decrypt", { ciphertext });
          await refused("reencrypt", { ciphertext });
        } else if (purpose === "agree") {
          await refused("agree", { peer_public_key_b64: Buffer.alloc(32, 9).toString("base64") });
        } else {
          const { ciphertext } = await must("POST", `/v1/keys/${part}/encapsulate`, {});
          await must("POST", `/v1/keys/${whole}/decapsulate`, { ciphertext });
          await refused("decapsulate", { ciphertext });
        }
      });
    }

    test("an export is for services that may, of exportable keys, and each try is a CRITICAL entry", async () => {
      const open = await create("aes-256", "encrypt");
      const shut = await create("aes-256", "encrypt", false);
      const person = await service().token("exporter");
      for (const [name, token, outcome] of [
        [open, await exporter(), "ok"],
        [open, person, "forbidden"],
        [open, await admin(), "forbidden"],
        [shut, await exporter(), "key_not_exportable"],
      ] as const) {
        for (const [method, path] of [
          ["POST", `/v1/keys/${name}/export`],
          ["GET", `/v1/export/${name}`],
        ] as const) {
          assert.equal(await code(method, path, method === "POST" ? {} : undefined, token), outcome);
          const entry = service().auditEntries().at(-1);
          assert.deepEqual(
            [
              entry?.["action"],
              entry?.["severity"],
              entry?.["outcome"],
              entry?.["resource"],
              entry?.["decision"],
            ],
            ["key.export", "CRITICAL", outcome, `key:${name}`, outcome === "forbidden" ? "deny" : "allow"],
          );
        }
      }
    });

    test("the older export gives the raw keys of ciphers and of nothing else", async () => {
      for (const [type, purpose] of [
        ["aes-256", "encrypt"],
        ["xaes-256", "encrypt"],
        ["rsa-2048", "encrypt"],
        ["rsa-2048", "sign"],
        ["ed25519", "sign"],
        ["hmac-256", "mac"],
        ["ml-kem-768", "encapsulate"],
        ["aes-256-kwp", "wrap"],
      ] as const) {
        const name = await create(type, purpose);
        const outcome = await code("GET", `/v1/export/${name}`, undefined, await exporter());
        assert.equal(outcome, type === "aes-256" || type === "xaes-256" ? "ok" : "key_usage", type);
      }
    });
  });
});

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** The base64 of a PEM's DER. */
function derOf(pem: unknown): string {
  return String(pem)
    .split("\n")
    .filter((line) => !line.startsWith("-----"))
    .join("");
}
