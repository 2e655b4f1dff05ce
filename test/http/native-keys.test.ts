import assert from "node:assert/strict";
import {
  createDecipheriv,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from "node:crypto";
import { describe, test } from "node:test";
import { forEachStore, serviceFor } from "../harness.ts";

forEachStore(({ startDev }) => {
  describe("keys over HTTP", () => {
    const service = serviceFor(() => startDev());
    const create = async (name: string, type: string): Promise<void> => {
      assert.equal((await service().request("POST", "/v1/keys", { name, type })).status, 201);
    };

    for (const type of ["aes-256", "xaes-256"]) {
      test(`encrypts and decrypts with ${type}, before and after a rotation`, async () => {
        await create(type, type);
        const first = await service().request("POST", `/v1/encrypt/${type}`, {
          plaintext: "hello",
          aad: "context",
        });
        assert.equal(first.json["version"], 1);
        assert.equal((await service().request("POST", `/v1/keys/${type}/rotate`)).json["latest_version"], 2);
        const second = await service().request("POST", `/v1/keys/${type}/encrypt`, {
          plaintext_b64: "aGVsbG8=",
          aad_b64: "Y29udGV4dA==",
        });
        assert.equal(second.json["version"], 2);
        for (const [version, { json }] of [first, second].entries()) {
          const opened = await service().request("POST", `/v1/decrypt/${type}`, {
            ciphertext: json["ciphertext"],
            aad: "context",
          });
          assert.deepEqual(opened.json, {
            plaintext: "hello",
            plaintext_b64: "aGVsbG8=",
            version: version + 1,
          });
        }
      });
    }

    test("makes ciphertexts in BunKMS's layout: version, nonce, AES-256-GCM data with its tag", async () => {
      const key = Buffer.alloc(32, 7);
      const imported = { type: "aes-256", format: "raw", material_b64: key.toString("base64") };
      assert.equal((await service().request("POST", "/v1/keys/layout/import", imported)).status, 201);
      const { json } = await service().request("POST", "/v1/encrypt/layout", {
        plaintext: "hello",
        aad: "a",
      });
      const bytes = Buffer.from(String(json["ciphertext"]), "base64");
      assert.equal(bytes.readUInt32BE(0), 1);
      assert.equal(bytes.subarray(4, 16).toString("base64"), json["nonce_b64"]);
      assert.equal(bytes.subarray(16).toString("base64"), json["data_b64"]);
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(4, 16), { authTagLength: 16 });
      decipher.setAAD(Buffer.from("a")).setAuthTag(bytes.subarray(-16));
      assert.equal(
        Buffer.concat([decipher.update(bytes.subarray(16, -16)), decipher.final()]).toString(),
        "hello",
      );
    });

    test("keeps bytes that are no text, and the empty plaintext", async () => {
      await create("binary", "aes-256");
      for (const plaintext of [Buffer.from([0xff, 0, 0xfe]), Buffer.alloc(0), Buffer.alloc(512 * 1024, 3)]) {
        const { json } = await service().request("POST", "/v1/encrypt/binary", {
          plaintext_b64: plaintext.toString("base64"),
        });
        const opened = await service().request("POST", "/v1/decrypt/binary", {
          ciphertext: json["ciphertext"],
        });
        assert.equal(opened.json["plaintext_b64"], plaintext.toString("base64"));
        assert.equal("plaintext" in opened.json, plaintext[0] !== 0xff);
      }
    });

    for (const type of ["rsa-2048", "ecdsa-p256"]) {
      test(`signs and verifies a message and its digest with ${type}`, async () => {
        await create(type, type);
        const digest_b64 = createHash("sha256").update("hello").digest("base64");
        for (const signed of [{ digest_b64 }, { message: "hello" }]) {
          const made = await service().request("POST", `/v1/keys/${type}/sign`, signed);
          assert.equal(made.status, 200);
          for (const checked of [{ digest_b64 }, { message: "hello" }, { message_b64: "aGVsbG8=" }]) {
            const body = { ...checked, signature_b64: made.json["signature_b64"] };
            assert.deepEqual((await service().request("POST", `/v1/keys/${type}/verify`, body)).json, {
              valid: true,
              version: 1,
            });
          }
          const body = { message: "other", signature_b64: made.json["signature_b64"] };
          assert.deepEqual((await service().request("POST", `/v1/keys/${type}/verify`, body)).json, {
            valid: false,
          });
        }
        const before = await service().request("POST", `/v1/keys/${type}/sign`, { message: "hello" });
        await service().request("POST", `/v1/keys/${type}/rotate`);
        const body = { message: "hello", signature_b64: before.json["signature_b64"] };
        assert.deepEqual((await service().request("POST", `/v1/keys/${type}/verify`, body)).json, {
          valid: true,
          version: 1,
        });
      });
    }

    test("imports private keys as PKCS#8 and JWK, and public ones as SPKI that verify and do not sign", async () => {
      for (const [type, pair] of [
        ["rsa-2048", generateKeyPairSync("rsa", { modulusLength: 2048 })],
        ["ecdsa-p256", generateKeyPairSync("ec", { namedCurve: "P-256" })],
      ] as const) {
        const { privateKey } = pair;
        const publicKey = createPublicKey(privateKey);
        const forms = {
          pkcs8: {
            format: "pkcs8",
            material_b64: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
          },
          jwk: { format: "jwk", jwk: privateKey.export({ format: "jwk" }) },
          spki: {
            format: "spki",
            material_b64: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
          },
        };
        for (const [form, body] of Object.entries(forms)) {
          const name = `imported-${type}-${form}`;
          const made = await service().request("POST", `/v1/keys/${name}/import`, { type, ...body });
          assert.equal(made.json["public_only"], form === "spki", made.text);
          const theirs = sign("sha256", Buffer.from("hello"), privateKey).toString("base64");
          const checked = await service().request("POST", `/v1/keys/${name}/verify`, {
            message: "hello",
            signature_b64: theirs,
          });
          assert.equal(checked.json["valid"], true);
          const signed = await service().request("POST", `/v1/keys/${name}/sign`, { message: "hello" });
          if (form === "spki") {
            assert.equal(signed.json["code"], "key_public_only");
            assert.equal(
              (await service().request("POST", `/v1/keys/${name}/rotate`)).json["code"],
              "key_public_only",
            );
          } else {
            const ours = Buffer.from(String(signed.json["signature_b64"]), "base64");
            assert.equal(verify("sha256", Buffer.from("hello"), publicKey, ours), true);
          }
        }
      }
    });

    test("takes a name once, also when many ask at the same time", async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => service().request("POST", "/v1/keys", { name: "once" })),
      );
      assert.equal(answers.filter(({ status }) => status === 201).length, 1);
      assert.equal(answers.filter(({ json }) => json["code"] === "key_exists").length, 19);
    });

    test("makes as many versions as there were concurrent rotations, each with its own material", async () => {
      await create("turning", "aes-256");
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => service().request("POST", "/v1/keys/turning/rotate")),
      );
      assert.deepEqual(
        answers.map(({ json }) => Number(json["latest_version"])).sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, i) => i + 2),
      );
    });

    test("refuses every use of a key from the moment its revocation is acknowledged", async () => {
      await create("leaked", "aes-256");
      const { json } = await service().request("POST", "/v1/encrypt/leaked", { plaintext: "x" });
      const revoked = await service().request("POST", "/v1/keys/leaked/revoke");
      assert.equal(revoked.json["status"], "revoked");
      assert.equal(revoked.json["name"], "leaked");
      assert.equal(
        (await service().request("POST", "/v1/decrypt/leaked", { ciphertext: json["ciphertext"] })).json[
          "code"
        ],
        "key_revoked",
      );
      assert.equal((await service().request("GET", "/v1/keys/leaked")).json["state"], "revoked");
    });

    test("lists keys page by page in the byte order of their names", async () => {
      await service().request("POST", "/v1/projects", { name: "paging" });
      const names = ["B", "a", "a.b", "a-b", "c1", "c10", "c2"];
      for (const name of names) await service().request("POST", "/v1/keys", { name }, { project: "paging" });
      const listed: string[] = [];
      let cursor = "";
      for (;;) {
        const { json } = await service().request("GET", `/v1/keys?limit=2${cursor}`, undefined, {
          project: "paging",
        });
        listed.push(...(json["keys"] as { name: string }[]).map(({ name }) => name));
        if (json["next_cursor"] === undefined) break;
        cursor = `&cursor=${json["next_cursor"] as string}`;
      }
      assert.deepEqual(listed, [...names].sort());
    });

    test("does not take a name in the form of an id", async () => {
      const answer = await service().request("POST", "/v1/keys", {
        name: "00000000-0000-4000-8000-000000000000",
      });
      assert.equal(answer.json["code"], "invalid_name");
    });

    test("repeats a request id of the client's in harmless form, and makes its own otherwise", async () => {
      const given = await service().request("GET", "/v1/keys", undefined, {
        headers: { "x-request-id": "my.id-1" },
      });
      assert.equal(given.headers.get("x-request-id"), "my.id-1");
      for (const bad of ["a b", "x".repeat(65), "é"]) {
        const answer = await service().request("GET", "/v1/keys", undefined, {
          headers: { "x-request-id": bad },
        });
        assert.match(answer.headers.get("x-request-id") ?? "", /^[a-z0-9]+-[a-z0-9]+$/);
      }
    });
  });
}, true);
