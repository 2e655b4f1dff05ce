/** Mini KMS's contract, line by line, as its clients see it. Keys and signatures are checked without the service. */
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { before, describe, test } from "node:test";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { facades } from "../../src/facades/catalogue.ts";
import {
  serviceFor,
  startDev,
  startServer,
  temporaryFolder,
  type Answer,
  type RequestOptions,
} from "../harness.ts";

interface ShownKey {
  kid: string;
  jwk: Record<string, string>;
  b58?: string;
}

const isProblem = (answer: Answer, status: number, detail?: string): void => {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const { type, status: stated, title, detail: said } = answer.json;
  assert.deepEqual([type, stated, typeof title, typeof said], ["about:blank", status, "string", "string"]);
  if (detail !== undefined) assert.equal(said, detail);
};
const isInvalid = (answer: Answer, loc: readonly (string | number)[], type?: string): void => {
  isProblem(answer, 422);
  const errors = answer.json["errors"] as { loc: unknown; msg: unknown; type: unknown }[];
  for (const one of errors) assert.deepEqual(Object.keys(one).sort(), ["loc", "msg", "type"]);
  const issue = errors.find((one) => JSON.stringify(one.loc) === JSON.stringify(loc));
  assert.ok(issue, answer.text);
  if (type !== undefined) assert.equal(issue.type, type);
};

const asymmetric = [
  ["ed25519", "OKP", "Ed25519", 32],
  ["x25519", "OKP", "X25519", 32],
  ["p256", "EC", "P-256", 33],
  ["p384", "EC", "P-384", 49],
  ["k256", "EC", "secp256k1", 33],
  ["bls12381g1", "OKP", "BLS12381_G1", 48],
  ["bls12381g2", "OKP", "BLS12381_G2", 96],
  ["bls12381g1g2", "OKP", "BLS12381_G1G2", 144],
] as const;
const symmetric = [
  ["a128gcm", "A128GCM"],
  ["a256gcm", "A256GCM"],
  ["a128cbchs256", "A128CBC-HS256"],
  ["a256cbchs512", "A256CBC-HS512"],
  ["a128kw", "A128KW"],
  ["a256kw", "A256KW"],
  ["c20p", "C20P"],
  ["xc20p", "XC20P"],
] as const;
const signing = ["ed25519", "p256", "p384", "k256"] as const;

/** RFC 7638, written anew. */
const thumbprint = (jwk: Record<string, string>): string => {
  const members = jwk["kty"] === "EC" ? ["crv", "kty", "x", "y"] : ["crv", "kty", "x"];
  const text = `{${members.map((one) => `"${one}":"${jwk[one]}"`).join(",")}}`;
  return createHash("sha256").update(text).digest("base64url");
};
/** Base58 with Bitcoin's alphabet, by long division. */
const base58 = (bytes: Uint8Array): string => {
  const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  let number = BigInt(`0x00${Buffer.from(bytes).toString("hex")}`);
  let text = "";
  for (; number > 0n; number /= 58n) text = alphabet.charAt(Number(number % 58n)) + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros === -1 ? bytes.length : zeros) + text;
};
const fromBase64Url = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64url");
const publicBytes = ({ kty, x, y }: Record<string, string>): Buffer =>
  kty === "EC"
    ? Buffer.concat([Buffer.of(2 + ((fromBase64Url(y).at(-1) ?? 0) & 1)), fromBase64Url(x)])
    : fromBase64Url(x);
const isSignatureOf = ({ jwk }: ShownKey, message: Buffer, sig: Buffer): boolean => {
  if (jwk["crv"] === "secp256k1") return secp256k1.verify(sig, message, publicBytes(jwk), { lowS: false });
  const key = createPublicKey({ key: jwk, format: "jwk" });
  if (jwk["crv"] === "Ed25519") return verify(null, message, key, sig);
  const hash = jwk["crv"] === "P-384" ? "sha384" : "sha256";
  return verify(hash, message, { key, dsaEncoding: "ieee-p1363" }, sig);
};

const credential = {
  contexts: ["https://www.w3.org/2018/credentials/v1", "https://example.org/degrees"],
  expanded_types: ["https://www.w3.org/2018/credentials#VerifiableCredential", "https://example.org#Degree"],
  issuer_id: "did:example:university",
  subject_ids: ["did:example:alice"],
  schema_ids: ["https://example.org/schema/degree"],
  proof_types: ["Ed25519Signature2018"],
  cred_value: {
    id: "urn:x:1",
    issuer: "did:example:university",
    credentialSubject: { "grade-1": [1.5, null, true] },
  },
};

describe("mini-kms", () => {
  const service = serviceFor(() => startDev());
  let last = 0;
  const ask = (method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer> =>
    service().request(method, path, body, options);
  const inProfile = (profile: string): RequestOptions => ({ headers: { "x-profile": profile } });
  const freshProfile = (): string => `p-${++last}`;
  const generate = async (alg = "ed25519", options?: RequestOptions): Promise<ShownKey> => {
    const answer = await ask("POST", "/key/generate", { alg }, options);
    assert.equal(answer.status, 200, answer.text);
    return answer.json as unknown as ShownKey;
  };
  const sign = (kid: string, data: string, options?: RequestOptions): Promise<Answer> =>
    ask("POST", "/sign", { kid, data }, options);
  const native = async (
    method: string,
    path: string,
    body?: unknown,
    profile = "default",
  ): Promise<Answer["json"]> => {
    const answer = await ask(method, path, body, { project: `mini-${profile}` });
    assert.ok(answer.status < 300, answer.text);
    return answer.json;
  };
  const signs = async (key: ShownKey, kid = key.kid, options?: RequestOptions): Promise<void> => {
    const message = Buffer.from(`message ${++last}`);
    const { status, json } = await sign(kid, message.toString("base64url"), options);
    assert.equal(status, 200);
    assert.ok(isSignatureOf(key, message, fromBase64Url(String(json["sig"]))));
  };

  describe("profiles", () => {
    test("POST /profile makes one: its name; a taken name is 400", async () => {
      const name = freshProfile();
      const made = await ask("POST", "/profile", { name });
      assert.deepEqual([made.status, made.json], [200, { name }]);
      isProblem(await ask("POST", "/profile", { name }), 400, "A profile of this name exists");
    });

    test("GET /profiles lists their names, and no other project", async () => {
      const name = freshProfile();
      await ask("POST", "/profile", { name });
      await ask("POST", "/v1/projects", { name: `minion-${++last}` });
      const { status, json } = await ask("GET", "/profiles");
      assert.equal(status, 200);
      const names = json["profiles"] as string[];
      assert.deepEqual(Object.keys(json), ["profiles"]);
      assert.ok(
        names.includes(name) && names.every((one) => !one.includes("minion") && !one.startsWith("mini-")),
      );
    });

    test("DELETE /profile/{name} says whether there was one; it is gone at once and its name free", async () => {
      const name = freshProfile();
      const key = await generate("ed25519", inProfile(name));
      const gone = await ask("DELETE", `/profile/${name}`);
      assert.deepEqual([gone.status, gone.json], [200, { success: true }]);
      assert.deepEqual((await ask("DELETE", `/profile/${name}`)).json, { success: false });
      assert.ok(!((await ask("GET", "/profiles")).json["profiles"] as string[]).includes(name));
      isProblem(await ask("GET", `/key/${key.kid}`, undefined, inProfile(name)), 404);
      assert.equal((await ask("POST", "/profile", { name })).status, 200);
      assert.deepEqual((await ask("GET", "/keys", undefined, inProfile(name))).json, []);
    });

    test("a deleted profile comes back by the native API, by its project's id, under its name where that is free", async () => {
      const [free, taken] = [freshProfile(), freshProfile()];
      for (const name of [free, taken]) {
        const key = await generate("ed25519", inProfile(name));
        await ask("DELETE", `/profile/${name}`);
        const { projects } = (await ask("GET", "/v1/projects?limit=1000")).json as unknown as {
          projects: { id: string; name: string; state: string }[];
        };
        const project = projects.find((one) => one.name === `mini-${name}`);
        assert.equal(project?.state, "pending_deletion");
        if (name === taken) await ask("POST", "/profile", { name });
        const kept = await ask("POST", `/v1/projects/${project.id}/cancel-deletion`);
        assert.equal(kept.json["name"], name === taken ? `restored-${project.id}` : `mini-${name}`);
        const shown = await ask("GET", `/key/${key.kid}`, undefined, inProfile(name));
        assert.equal(shown.status, name === taken ? 404 : 200);
      }
    });

    test("X-Profile says which, `default` unless it says; one that is not there is empty, and made by what it keeps", async () => {
      const name = freshProfile();
      const there = inProfile(name);
      assert.deepEqual((await ask("GET", "/keys", undefined, there)).json, []);
      assert.deepEqual((await ask("POST", "/vc-holder/credentials", {}, there)).json, { records: [] });
      isProblem(await ask("GET", "/key?alias=x", undefined, there), 404, "Key not found");
      isProblem(
        await ask("GET", "/vc-holder/credential/record/x", undefined, there),
        404,
        "Record not found",
      );
      assert.ok(!((await ask("GET", "/profiles")).json["profiles"] as string[]).includes(name));
      const key = await generate("ed25519", there);
      assert.ok(((await ask("GET", "/profiles")).json["profiles"] as string[]).includes(name));
      isProblem(await ask("GET", `/key/${key.kid}`), 404);
      const inDefault = await generate();
      assert.deepEqual(
        (await ask("GET", `/key/${inDefault.kid}`, undefined, inProfile("default"))).json,
        inDefault,
      );
    });

    test("many that use a profile first at one moment use one", async () => {
      const name = freshProfile();
      await Promise.all(Array.from({ length: 5 }, () => generate("ed25519", inProfile(name))));
      assert.equal(((await ask("GET", "/keys", undefined, inProfile(name))).json as unknown as []).length, 5);
    });

    test("a name that is no project's is 422, in the header, the path and the body", async () => {
      isInvalid(await ask("GET", "/keys", undefined, inProfile("Alice")), ["header", "x-profile"]);
      isInvalid(await ask("POST", "/profile", { name: "x".repeat(60) }), ["body", "name"]);
      isInvalid(await ask("DELETE", "/profile/Alice"), ["path", "name"]);
      assert.equal((await ask("POST", "/profile", { name: "x".repeat(59) })).status, 200);
    });
  });

  describe("keys", () => {
    for (const [alg, kty, crv, bytes] of asymmetric) {
      for (const spelt of [alg, alg.toUpperCase(), alg.charAt(0).toUpperCase() + alg.slice(1)]) {
        test(`POST /key/generate ${spelt}: kid, public jwk, b58`, async () => {
          const { kid, jwk, b58, ...rest } = await generate(spelt);
          assert.deepEqual(rest, {});
          assert.deepEqual([jwk["kty"], jwk["crv"]], [kty, crv]);
          assert.deepEqual(Object.keys(jwk), kty === "EC" ? ["kty", "crv", "x", "y"] : ["kty", "crv", "x"]);
          assert.equal(kid, thumbprint(jwk));
          assert.equal(publicBytes(jwk).length, bytes);
          assert.equal(b58, base58(publicBytes(jwk)));
          assert.deepEqual((await ask("GET", `/key/${kid}`)).json, { kid, jwk, b58 });
        });
      }
    }
    for (const [alg, jose] of symmetric) {
      test(`POST /key/generate ${alg}: a symmetric key without k and b58`, async () => {
        const key = await generate(alg);
        assert.deepEqual(key, { kid: key.kid, jwk: { kty: "oct", alg: jose, kid: key.kid } });
        assert.deepEqual((await ask("GET", `/key/${key.kid}`)).json, key);
        assert.notEqual((await generate(alg.toUpperCase())).kid, key.kid);
      });
    }

    test("another alg, none, or one field more is 422, without its value", async () => {
      const secret = "p256-canary";
      const answer = await ask("POST", "/key/generate", { alg: secret });
      isInvalid(answer, ["body", "alg"]);
      assert.ok(!answer.text.includes(secret));
      isInvalid(await ask("POST", "/key/generate", {}), ["body", "alg"], "missing");
      isInvalid(await ask("POST", "/key/generate"), ["body"], "missing");
      isInvalid(
        await ask("POST", "/key/generate", { alg: "p256", seed: "x" }),
        ["body", "?"],
        "extra_forbidden",
      );
      isInvalid(await ask("POST", "/key/generate", undefined, { raw: "{" }), ["body", 0], "json_invalid");
    });

    test("the same Idempotency-Key makes one key, also where it makes the profile", async () => {
      const options = { headers: { "x-profile": freshProfile(), "idempotency-key": "once" } };
      const first = await generate("p256", options);
      const again = await ask("POST", "/key/generate", { alg: "p256" }, options);
      assert.deepEqual(again.json, first);
      assert.equal(again.headers.get("idempotency-replayed"), "true");
      isProblem(await ask("POST", "/key/generate", { alg: "p384" }, options), 409);
    });

    test("GET /key/{kid} of an unknown one is 404", async () => {
      for (const kid of ["x", "A".repeat(43), "7b0c8f6e-0a54-4a3c-9d0e-1d6a0f4a7c11"])
        isProblem(await ask("GET", `/key/${kid}`), 404, "Key not found");
    });

    test("GET /keys lists up to 100", async () => {
      const there = inProfile(freshProfile());
      const keys = [await generate("ed25519", there), await generate("a256gcm", there)];
      const sorted = (list: ShownKey[]): ShownKey[] => list.toSorted((a, b) => (a.kid < b.kid ? -1 : 1));
      const list = async (): Promise<ShownKey[]> =>
        (await ask("GET", "/keys", undefined, there)).json as unknown as ShownKey[];
      assert.deepEqual(sorted(await list()), sorted(keys));
      for (let made = 0; made < 100; made++) await generate("ed25519", there);
      assert.equal((await list()).length, 100);
    });

    test("POST /key/{kid}/associate names a key, GET /key?alias= finds it", async () => {
      const key = await generate("k256");
      const alias = `did:example:${++last}#key-1`;
      const named = await ask("POST", `/key/${key.kid}/associate`, { alias });
      assert.deepEqual([named.status, named.json], [200, { alias, kid: key.kid }]);
      assert.equal((await ask("POST", `/key/${key.kid}/associate`, { alias })).status, 200);
      const found = await ask("GET", `/key?alias=${encodeURIComponent(alias)}`);
      assert.deepEqual([found.status, found.json], [200, key]);
      const second = `${alias}-too`;
      await ask("POST", `/key/${key.kid}/associate`, { alias: second });
      for (const one of [alias, second])
        assert.deepEqual((await ask("GET", `/key?alias=${encodeURIComponent(one)}`)).json, key);
    });

    test("an alias that nothing has is 404, one of another key 400, none 422", async () => {
      const [a, b] = [await generate(), await generate("a128kw")];
      const alias = `taken-${++last}`;
      await ask("POST", `/key/${a.kid}/associate`, { alias });
      isProblem(await ask("POST", `/key/${b.kid}/associate`, { alias }), 400, "Another key has this alias");
      assert.deepEqual((await ask("GET", `/key?alias=${alias}`)).json, a);
      isProblem(await ask("GET", "/key?alias=nothing"), 404, "Key not found");
      isProblem(await ask("POST", "/key/unknown/associate", { alias: "x" }), 404, "Key not found");
      isInvalid(await ask("GET", "/key"), ["query", "alias"], "missing");
      isInvalid(
        await ask("POST", `/key/${a.kid}/associate`, { alias: "" }),
        ["body", "alias"],
        "string_too_short",
      );
      isInvalid(await ask("POST", `/key/${a.kid}/associate`, { alias: "a\u0000b" }), ["body", "alias"]);
    });

    test("DELETE /key/{kid} says so; key and aliases are gone at once, and the alias is free", async () => {
      const key = await generate("p384");
      const alias = `gone-${++last}`;
      await ask("POST", `/key/${key.kid}/associate`, { alias });
      const gone = await ask("DELETE", `/key/${key.kid}`);
      assert.deepEqual([gone.status, gone.json], [200, { message: "Key deleted", kid: key.kid }]);
      isProblem(await ask("DELETE", `/key/${key.kid}`), 404, "Key not found");
      isProblem(await ask("GET", `/key/${key.kid}`), 404);
      isProblem(await ask("GET", `/key?alias=${alias}`), 404);
      isProblem(await sign(key.kid, "YQ"), 404, "Key not found");
      const other = await generate();
      assert.equal((await ask("POST", `/key/${other.kid}/associate`, { alias })).status, 200);
    });

    test("a symmetric key is deleted by its kid too", async () => {
      const key = await generate("c20p");
      assert.equal((await ask("DELETE", `/key/${key.kid}`)).json["kid"], key.kid);
      isProblem(await ask("GET", `/key/${key.kid}`), 404);
    });
  });

  describe("POST /sign", () => {
    for (const alg of signing) {
      test(`${alg}: a raw signature that verifies elsewhere`, async () => {
        const key = await generate(alg);
        const message = Buffer.from("hello world");
        const { status, json } = await sign(key.kid, message.toString("base64url"));
        assert.equal(status, 200);
        assert.deepEqual(Object.keys(json), ["sig"]);
        const sig = fromBase64Url(String(json["sig"]));
        assert.equal(sig.toString("base64url"), json["sig"]);
        assert.equal(sig.length, alg === "p384" ? 96 : 64);
        assert.ok(isSignatureOf(key, message, sig));
        assert.ok(!isSignatureOf(key, Buffer.from("hello"), sig));
      });
    }

    test("takes base64url with its padding and without it, of every length", async () => {
      const key = await generate();
      for (let length = 0; length < 6; length++) {
        const message = Buffer.alloc(length, 0xfb);
        const bare = message.toString("base64url");
        for (const data of new Set([bare, bare.padEnd(Math.ceil(bare.length / 4) * 4, "=")])) {
          const { json } = await sign(key.kid, data);
          assert.ok(isSignatureOf(key, message, fromBase64Url(String(json["sig"]))));
        }
      }
    });

    test("refuses everything else as 422, without echoing it", async () => {
      const { kid } = await generate();
      for (const data of [
        "+/8",
        "YQ=",
        "YWI==",
        "YWJj=",
        "YWJjZA=",
        "Y",
        "YR",
        "YQ==YQ==",
        "Y Q",
        "=",
        "ß",
      ]) {
        const answer = await sign(kid, data);
        isInvalid(answer, ["body", "data"]);
        assert.ok(!answer.text.includes(`"${data}"`));
      }
      isInvalid(await ask("POST", "/sign", { kid }), ["body", "data"], "missing");
      isInvalid(await ask("POST", "/sign", { kid, data: 1 }), ["body", "data"], "string_type");
    });

    test("404 for an unknown kid, 400 for each key that cannot sign", async () => {
      isProblem(await sign("unknown", "YQ"), 404, "Key not found");
      const algs = [...asymmetric.map(([alg]) => alg), ...symmetric.map(([alg]) => alg)];
      for (const alg of algs.filter((one) => !(signing as readonly string[]).includes(one)))
        isProblem(await sign((await generate(alg)).kid, "YQ"), 400, "A key of this type does not sign");
    });

    test("400 for a key that is disabled or revoked natively", async () => {
      for (const action of ["disable", "revoke"]) {
        const key = await generate();
        const { keys } = (await native("GET", "/v1/keys?limit=1000")) as {
          keys: { id: string; name: string }[];
        };
        for (const { id } of keys) {
          const { jwk } = await ask("GET", `/v1/keys/${id}/public-key`, undefined, {
            project: "mini-default",
          }).then(({ json }) => json as { jwk?: Record<string, string> });
          if (jwk?.["x"] === key.jwk["x"]) await native("POST", `/v1/keys/${id}/${action}`, {});
        }
        isProblem(await sign(key.kid, "YQ"), 400);
        assert.deepEqual((await ask("GET", `/key/${key.kid}`)).json, key);
      }
    });
  });

  describe("the same keys as the native API's", () => {
    const publicOf = (name: string, profile: string, version?: number): Promise<Answer["json"]> =>
      native(
        "GET",
        `/v1/keys/${name}/public-key${version === undefined ? "" : `?version=${version}`}`,
        undefined,
        profile,
      );

    for (const [type, kty] of [
      ["ecdsa-p256", "EC"],
      ["ed25519", "OKP"],
      ["secp256k1", "EC"],
      ["x25519", "OKP"],
    ] as const) {
      test(`a native ${type} key is found by the thumbprint of its public key, and listed`, async () => {
        const profile = freshProfile();
        await ask("POST", "/profile", { name: profile });
        await native("POST", "/v1/keys", { name: "orders", type }, profile);
        const jwk = (await publicOf("orders", profile))["jwk"] as Record<string, string>;
        const { json } = await ask("GET", `/key/${thumbprint(jwk)}`, undefined, inProfile(profile));
        assert.deepEqual([json["kid"], json["jwk"]], [thumbprint(jwk), jwk]);
        assert.equal(jwk["kty"], kty);
        assert.deepEqual((await ask("GET", "/keys", undefined, inProfile(profile))).json, [json]);
        if (type !== "x25519") await signs(json as unknown as ShownKey, undefined, inProfile(profile));
      });
    }

    test("after a rotation each kid names its own version, and signs with it; an alias stays with its version", async () => {
      const profile = freshProfile();
      const there = inProfile(profile);
      await ask("POST", "/profile", { name: profile });
      await native("POST", "/v1/keys", { name: "orders", type: "ecdsa-p256" }, profile);
      const [first] = (await ask("GET", "/keys", undefined, there)).json as unknown as [ShownKey];
      await ask("POST", `/key/${first.kid}/associate`, { alias: "did:x#1" }, there);
      await native("POST", "/v1/keys/orders/rotate", {}, profile);
      const [second, ...others] = (await ask("GET", "/keys", undefined, there)).json as unknown as [ShownKey];
      assert.deepEqual(others, []);
      assert.notEqual(second.kid, first.kid);
      assert.equal(
        second.kid,
        thumbprint((await publicOf("orders", profile))["jwk"] as Record<string, string>),
      );
      for (const key of [first, second]) {
        assert.deepEqual((await ask("GET", `/key/${key.kid}`, undefined, there)).json, key);
        await signs(key, key.kid, there);
      }
      assert.deepEqual((await ask("GET", "/key?alias=did:x%231", undefined, there)).json, first);
      await ask("POST", `/key/${second.kid}/associate`, { alias: "did:x#1" }, there);
      assert.deepEqual((await ask("GET", "/key?alias=did:x%231", undefined, there)).json, second);
      await native("PATCH", "/v1/keys/orders", { min_encryption_version: 2 }, profile);
      isProblem(await sign(first.kid, "YQ", there), 400);
      await signs(second, second.kid, there);
      await ask("DELETE", `/key/${first.kid}`, undefined, there);
      for (const key of [first, second])
        isProblem(await ask("GET", `/key/${key.kid}`, undefined, there), 404);
    });

    test("a key that came in twice answers to its kid once: the second goes by its id, until the first is gone", async () => {
      const profile = freshProfile();
      const there = inProfile(profile);
      await ask("POST", "/profile", { name: profile });
      const jwk = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
      const d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
      const add = (name: string): Promise<Answer["json"]> =>
        native(
          "POST",
          `/v1/keys/${name}/import`,
          { type: "ed25519", format: "jwk", jwk: { ...jwk, d } },
          profile,
        );
      const ids: string[] = [];
      for (const { id } of await Promise.all([add("a"), add("b")])) ids.push(String(id));
      const shown = (await ask("GET", "/keys", undefined, there)).json as unknown as ShownKey[];
      const kids = shown.map(({ kid }) => kid);
      assert.ok(kids.includes(thumbprint(jwk)) && kids.some((kid) => ids.includes(kid)), String(kids));
      for (const key of shown) await signs(key, key.kid, there);
    });

    test("a key made here signs natively; deleted here, it can be kept natively and has its names again", async () => {
      const profile = freshProfile();
      const there = inProfile(profile);
      const key = await generate("ed25519", there);
      await ask("POST", `/key/${key.kid}/associate`, { alias: "did:x#1" }, there);
      const { keys } = (await native("GET", "/v1/keys", undefined, profile)) as { keys: { id: string }[] };
      const id = keys[0]?.id ?? "";
      const { signature_b64: signature } = await native(
        "POST",
        `/v1/keys/${id}/sign`,
        { message: "x" },
        profile,
      );
      assert.ok(isSignatureOf(key, Buffer.from("x"), Buffer.from(String(signature), "base64")));
      await ask("DELETE", `/key/${key.kid}`, undefined, there);
      await native("POST", `/v1/keys/${id}/cancel-deletion`, {}, profile);
      assert.deepEqual((await ask("GET", `/key/${key.kid}`, undefined, there)).json, key);
      assert.deepEqual((await ask("GET", "/key?alias=did:x%231", undefined, there)).json, key);
    });

    test("keys of types that Mini KMS does not know are not there", async () => {
      const profile = freshProfile();
      await ask("POST", "/profile", { name: profile });
      const { id } = await native("POST", "/v1/keys", { name: "mac", type: "hmac-256" }, profile);
      assert.deepEqual((await ask("GET", "/keys", undefined, inProfile(profile))).json, []);
      isProblem(await ask("GET", `/key/${String(id)}`, undefined, inProfile(profile)), 404);
      isProblem(await sign(String(id), "YQ", inProfile(profile)), 404);
      isProblem(await ask("DELETE", `/key/${String(id)}`, undefined, inProfile(profile)), 404);
    });
  });

  describe("the holder's store", () => {
    const store = async (extra: object = {}, options?: RequestOptions): Promise<string> => {
      const answer = await ask("POST", "/vc-holder/store", { ...credential, ...extra }, options);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(Object.keys(answer.json), ["record_id"]);
      return String(answer.json["record_id"]);
    };
    const search = async (asked: object, options?: RequestOptions): Promise<string[]> => {
      const answer = await ask("POST", "/vc-holder/credentials", asked, options);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(Object.keys(answer.json), ["records"]);
      return (answer.json["records"] as { record_id: string }[]).map(({ record_id: id }) => id);
    };

    test("keeps a record as it came, and shows it by its record id", async () => {
      const recordId = await store({ cred_tags: { a: "1" } });
      const shown = await ask("GET", `/vc-holder/credential/record/${recordId}`);
      assert.equal(shown.status, 200);
      const expected = { ...credential, given_id: null, cred_tags: { a: "1" }, record_id: recordId };
      assert.deepEqual(shown.json, expected);
      isProblem(await ask("GET", "/vc-holder/credential/record/unknown"), 404, "Record not found");
    });

    test("takes a record id of the client's, once: 400", async () => {
      const record_id = `urn:record:${++last}`;
      assert.equal(await store({ record_id }), record_id);
      const again = await ask("POST", "/vc-holder/store", { ...credential, record_id });
      isProblem(again, 400, "A record of this id exists");
      assert.equal((await ask("GET", `/vc-holder/credential/record/${record_id}`)).status, 200);
    });

    test("finds by the given id: 404 where none has it, 400 where two have", async () => {
      const given_id = `urn:uuid:${++last}`;
      const path = `/vc-holder/credential/given/${given_id}`;
      isProblem(await ask("GET", path), 404, "Record not found");
      const record_id = await store({ given_id });
      const { status, json } = await ask("GET", path);
      assert.deepEqual([status, json["record_id"], json["given_id"]], [200, record_id, given_id]);
      const second = await store({ given_id });
      isProblem(await ask("GET", path), 400, "More than one record has this given id");
      assert.deepEqual(await search({ given_id }), [record_id, second]);
      await ask("DELETE", `/vc-holder/credential/record/${second}`);
      assert.equal((await ask("GET", path)).json["record_id"], record_id);
    });

    test("DELETE removes a record; then it is 404", async () => {
      const record_id = await store();
      const path = `/vc-holder/credential/record/${record_id}`;
      const gone = await ask("DELETE", path);
      assert.deepEqual([gone.status, gone.json], [200, null]);
      for (const method of ["DELETE", "GET"]) isProblem(await ask(method, path), 404, "Record not found");
      assert.equal(await store({ record_id }), record_id);
    });

    test("searches by each field: all that is asked for has to be there", async () => {
      const there = inProfile(freshProfile());
      const one = await store({ cred_tags: { level: "1" }, given_id: "urn:1" }, there);
      const two = await store(
        { contexts: ["c"], expanded_types: ["t"], issuer_id: "i", subject_ids: ["s", "s2"], schema_ids: ["m"], proof_types: ["p"] },
        there,
      ); // prettier-ignore
      assert.deepEqual(await search({}, there), [one, two]);
      const asked: [object, string[]][] = [
        [{ contexts: ["c"] }, [two]],
        [{ contexts: [credential.contexts[1]] }, [one]],
        [{ contexts: [...credential.contexts, "c"] }, []],
        [{ types: ["t"] }, [two]],
        [{ types: credential.expanded_types }, [one]],
        [{ issuer_id: "i" }, [two]],
        [{ subject_ids: ["s2", "s"] }, [two]],
        [{ subject_ids: ["s", "x"] }, []],
        [{ schema_ids: ["m"] }, [two]],
        [{ proof_types: ["p"] }, [two]],
        [{ given_id: "urn:1" }, [one]],
        [{ given_id: "urn:2" }, []],
        [{ tag_query: { level: "1" } }, [one]],
        [{ tag_query: { level: "1" }, issuer_id: "i" }, []],
        [{ contexts: [], issuer_id: null, tag_query: null }, [one, two]],
      ];
      for (const [query, expected] of asked)
        assert.deepEqual(await search(query, there), expected, JSON.stringify(query));
    });

    test("searches by tag queries", async () => {
      const there = inProfile(freshProfile());
      const ids: string[] = [];
      for (const cred_tags of [{ n: "1", kind: "a" }, { n: "2", kind: "b" }, { n: "3" }, {}])
        ids.push(await store({ cred_tags }, there));
      const asked: [object, number[]][] = [
        [{ n: "1" }, [0]],
        [{ n: "1", kind: "b" }, []],
        [{ $and: [{ n: { $gte: "1" } }, { kind: "b" }] }, [1]],
        [{ $or: [{ n: "1" }, { n: "3" }] }, [0, 2]],
        [{ $not: { n: "1" } }, [1, 2, 3]],
        [{ n: { $in: ["2", "3", "9"] } }, [1, 2]],
        [{ $exist: ["kind"] }, [0, 1]],
        [{ $not: { $exist: ["n", "kind"] } }, [2, 3]],
        [{ n: { $neq: "1" } }, [1, 2]],
        [{ n: { $gt: "1" } }, [1, 2]],
        [{ n: { $lt: "2" } }, [0]],
        [{ n: { $lte: "2" } }, [0, 1]],
        [{ kind: { $like: "_" } }, [0, 1]],
      ];
      for (const [tag_query, expected] of asked)
        assert.deepEqual(
          await search({ tag_query }, there),
          expected.map((at) => ids[at]),
          JSON.stringify(tag_query),
        );
      for (const tag_query of [{ $what: 1 }, { n: 1 }, [], "n"])
        isInvalid(await ask("POST", "/vc-holder/credentials", { tag_query }, there), ["body", "tag_query"]);
    });

    test("gives 10 records unless asked, at most 50, after an offset, in the order in which they came", async () => {
      const there = inProfile(freshProfile());
      const ids: string[] = [];
      for (let at = 0; at < 55; at++) ids.push(await store({ cred_tags: { odd: String(at % 2) } }, there));
      assert.deepEqual(await search({}, there), ids.slice(0, 10));
      assert.deepEqual(await search({ limit: 50 }, there), ids.slice(0, 50));
      assert.deepEqual(await search({ offset: 53 }, there), ids.slice(53));
      assert.deepEqual(await search({ offset: 55 }, there), []);
      const odd = ids.filter((_, at) => at % 2 === 1);
      assert.deepEqual(
        await search({ tag_query: { odd: "1" }, offset: 20, limit: 3 }, there),
        odd.slice(20, 23),
      );
      for (const [field, value] of [
        ["limit", 51],
        ["limit", 0],
        ["offset", -1],
        ["limit", "10"],
      ] as const)
        isInvalid(await ask("POST", "/vc-holder/credentials", { [field]: value }, there), ["body", field]);
    });

    test("what does not fit is 422 with its place", async () => {
      const without: Partial<typeof credential> = { ...credential };
      delete without.issuer_id;
      isInvalid(await ask("POST", "/vc-holder/store", without), ["body", "issuer_id"], "missing");
      const bad: [object, (string | number)[]][] = [
        [{ contexts: "c" }, ["body", "contexts"]],
        [{ contexts: [1] }, ["body", "contexts", 0]],
        [{ cred_value: [] }, ["body", "cred_value"]],
        [{ cred_value: { n: 12345678901234567000 } }, ["body", "cred_value"]],
        [{ cred_value: { n: [Number.MAX_SAFE_INTEGER + 1] } }, ["body", "cred_value"]],
        [{ cred_tags: { "born 1980": 1 } }, ["body", "cred_tags", "?"]],
        [{ cred_tags: { issuer_id: 1 } }, ["body", "cred_tags", "?"]],
        [{ cred_tags: { ["t".repeat(600)]: "" } }, ["body", "cred_tags", "?"]],
        [{ record_id: "" }, ["body", "record_id"]],
        [{ contexts: Array.from({ length: 65 }, () => "c") }, ["body", "contexts"]],
        [{ more: 1 }, ["body", "?"]],
      ];
      for (const [extra, loc] of bad)
        isInvalid(await ask("POST", "/vc-holder/store", { ...credential, ...extra }), loc);
      const huge = { ...credential, cred_value: { text: "x".repeat(512 * 1024) } };
      isProblem(await ask("POST", "/vc-holder/store", huge), 413);
    });

    test("the description lets a profile be chosen on every row about keys and records", async () => {
      const { json } = await ask("GET", "/openapi.json");
      const paths = json["paths"] as Record<string, Record<string, { parameters: { name: string }[] }>>;
      for (const path of ["/key/generate", "/keys", "/sign", "/vc-holder/store"])
        for (const { parameters } of Object.values(paths[path] ?? {}))
          assert.ok(
            parameters.some(({ name }) => name === "X-Profile"),
            path,
          );
    });

    test("whatever record_id is taken, the record is shown and deleted by it", async () => {
      const plain = "aZ09-._~!$&'()*+,;=:@";
      const taken = ["did:example:1", "urn:uuid:7b0c8f6e", "...", ".a", plain];
      const refused = [
        "a b",
        "a/b",
        "é",
        "a%b",
        "a?b",
        "a#b",
        ".",
        "..",
        "a\\b",
        'a"b',
        "a|b",
        "<a>",
        "a\nb",
      ];
      for (const recordId of taken) {
        const stored = await store({ record_id: recordId });
        assert.equal(stored, recordId);
        const path = `/vc-holder/credential/record/${recordId}`;
        assert.equal((await ask("GET", path)).json["record_id"], recordId, recordId);
        assert.equal((await ask("DELETE", path)).status, 200, recordId);
        isProblem(await ask("GET", path), 404);
      }
      for (const recordId of refused)
        isInvalid(await ask("POST", "/vc-holder/store", { ...credential, record_id: recordId }), [
          "body",
          "record_id",
        ]);
    });

    test("the same Idempotency-Key keeps one record", async () => {
      const options = { headers: { "x-profile": freshProfile(), "idempotency-key": "one" } };
      assert.equal(await store({}, options), await store({}, options));
      assert.equal((await search({}, options)).length, 1);
    });
  });

  test("unknown paths and methods below its own answer in its shape", async () => {
    for (const path of ["/vc-holder/x", "/key/a/b", "/profile/a/b"]) isProblem(await ask("GET", path), 404);
    for (const path of ["/keys", "/sign", "/profile", "/profiles", "/key/x", "/vc-holder/store"]) {
      const answer = await ask("PATCH", path, {});
      isProblem(answer, 405);
      assert.ok(answer.headers.get("allow"));
    }
    isInvalid(await ask("GET", "/keys?x=1"), ["query", "?"], "extra_forbidden");
    isProblem(
      await ask("POST", "/sign", undefined, { raw: "{}", headers: { "content-type": "text/plain" } }),
      415,
    );
  });
});

describe("mini-kms in server mode", () => {
  const service = serviceFor(() => startServer({ KEYSTEAD_FACADES: "mini-kms" }));
  const ask = (
    method: string,
    path: string,
    body: unknown,
    token?: string,
    profile = "theirs",
  ): Promise<Answer> =>
    service().request(method, path, body, {
      ...(token === undefined ? {} : { token }),
      headers: { "x-profile": profile },
    });
  let root = "";
  let theirs: ShownKey;
  let record = "";
  before(async () => {
    root = await service().token("admin", { project: "*" });
    for (const profile of ["ours", "theirs"])
      theirs = (await ask("POST", "/key/generate", { alg: "ed25519" }, root, profile))
        .json as unknown as ShownKey;
    await ask("POST", `/key/${theirs.kid}/associate`, { alias: "theirs" }, root);
    const stored = await ask("POST", "/vc-holder/store", { ...credential, given_id: "given" }, root);
    record = String(stored.json["record_id"]);
  });

  const bodies: Record<string, () => unknown> = {
    "POST /profile": () => ({ name: "theirs" }),
    "POST /key/generate": () => ({ alg: "ed25519" }),
    "POST /key/{kid}/associate": () => ({ alias: "x" }),
    "POST /sign": () => ({ kid: theirs.kid, data: "YQ" }),
    "POST /vc-holder/store": () => credential,
    "POST /vc-holder/credentials": () => ({}),
  };
  const requests = facades["mini-kms"].routes.map(({ method, path }) => ({
    title: `${method} ${path}`,
    method,
    path: (): string =>
      path
        .replace("{kid}", theirs.kid)
        .replace("{record_id}", record)
        .replace("{given_id}", "given")
        .replace("{name}", "theirs") + (path === "/key" ? "?alias=theirs" : ""),
    body: (): unknown => bodies[`${method} ${path}`]?.(),
  }));

  for (const { title, method, path, body } of requests) {
    test(`${title} asks for a token: 401`, async () => {
      const answer = await ask(method, path(), body());
      isProblem(answer, 401);
      assert.equal(answer.headers.get("www-authenticate"), "Bearer");
    });

    if (!title.includes("/profile")) {
      test(`${title}: another's profile looks like one that is not there, and its ids lead nowhere in one's own`, async () => {
        const token = await service().token("admin", { project: "mini-ours" });
        const foreign = await ask(method, path(), body(), token, "theirs");
        const absent = await ask(method, path(), body(), token, "absent");
        assert.deepEqual([foreign.status, foreign.text], [absent.status, absent.text]);
        if (foreign.status === 200) assert.match(foreign.text, /^(\[\]|\{"records":\[\]\})$/);
        else isProblem(foreign, 404);
        const reaches = path() !== title.split(" ")[1] || title.endsWith("/sign");
        if (reaches) isProblem(await ask(method, path(), body(), token, "ours"), 404);
      });
    }
  }

  test("a profile is made by whoever may make projects; to others it is 404, and 403 to ask for it", async () => {
    const token = await service().token("admin", { project: "mini-ours" });
    isProblem(await ask("POST", "/key/generate", { alg: "p256" }, token, "new"), 404, "Profile not found");
    isProblem(await ask("POST", "/profile", { name: "new" }, token), 403);
    isProblem(await ask("DELETE", "/profile/ours", undefined, token), 403);
    isProblem(await ask("DELETE", "/profile/absent", undefined, token), 403);
    assert.deepEqual((await ask("GET", "/profiles", undefined, token)).json, { profiles: ["ours"] });
    assert.equal((await ask("POST", "/key/generate", { alg: "p256" }, root, "new")).status, 200);
  });

  test("allows what the caller's roles allow: 403 for the rest", async () => {
    const signer = await service().token("signer", { project: "mini-theirs" });
    assert.equal((await ask("POST", "/sign", { kid: theirs.kid, data: "YQ" }, signer)).status, 200);
    isProblem(await ask("POST", "/key/generate", { alg: "p256" }, signer), 403);
    isProblem(await ask("GET", "/keys", undefined, signer), 403);
    isProblem(await ask("POST", "/vc-holder/credentials", {}, signer), 403);
    isProblem(await ask("POST", "/vc-holder/store", credential, signer), 403);
    const operator = await service().token("operator", { project: "mini-theirs" });
    assert.equal((await ask("GET", "/keys", undefined, operator)).status, 200);
    assert.equal((await ask("POST", "/vc-holder/store", credential, operator)).status, 200);
    isProblem(await ask("DELETE", `/key/${theirs.kid}`, undefined, operator), 403);
    isProblem(await ask("POST", `/key/${theirs.kid}/associate`, { alias: "y" }, operator), 403);
    const pattern = await service().token("operator", { project: "mini-theirs", pattern: "app-*" });
    for (const { method, path, body, title } of requests)
      if (title.includes("vc-holder")) isProblem(await ask(method, path(), body(), pattern), 403);
    assert.deepEqual((await ask("GET", "/keys", undefined, pattern)).json, []);
    isProblem(await ask("POST", "/sign", { kid: theirs.kid, data: "YQ" }, pattern), 403);
    isProblem(await ask("POST", "/sign", { kid: "unknown", data: "YQ" }, pattern), 403);
  });

  test("every call has its audit entry, and none says what a credential or an alias holds", async () => {
    const canary = "did:canary:alice";
    const body = {
      ...credential,
      issuer_id: canary,
      record_id: canary,
      given_id: canary,
      cred_tags: { [canary]: canary },
    };
    await ask("POST", "/vc-holder/store", body, root);
    await ask("GET", `/vc-holder/credential/record/${canary}`, undefined, root);
    await ask("GET", `/vc-holder/credential/given/${canary}`, undefined, root);
    await ask("POST", "/vc-holder/credentials", { given_id: canary }, root);
    await ask("POST", `/key/${theirs.kid}/associate`, { alias: canary }, root);
    await ask("DELETE", `/vc-holder/credential/record/${canary}`, undefined, root);
    const entries = service().auditEntries().slice(-7);
    assert.deepEqual(
      entries.map(({ action, outcome, project }) => [action, outcome, project]),
      [
        "credential.store",
        "credential.get",
        "credential.get",
        "credential.search",
        "key.get",
        "key.add_alias",
        "credential.delete",
      ].map((action) => [action, "ok", "mini-theirs"]),
    );
    assert.equal(new Set([0, 1, 2, 6].map((at) => entries[at]?.["resource"])).size, 1);
    assert.ok(!JSON.stringify(service().auditEntries()).includes("canary"));
    await ask("POST", "/sign", { kid: theirs.kid, data: "?" }, root);
    const refused = service().auditEntries().at(-1);
    assert.deepEqual([refused?.["action"], refused?.["outcome"]], ["key.sign", "invalid_body"]);
  });

  test("the policy explains the operations that only facades have", async () => {
    let token = await service().token("operator", { project: "mini-theirs" });
    const explained = async (action: string): Promise<unknown> => {
      const asked = { action, project: "mini-theirs" };
      return (await service().request("POST", "/v1/can", asked, { token })).json["allowed"];
    };
    assert.deepEqual([await explained("credential.store"), await explained("key.add_alias")], [true, false]);
    token = await service().token("operator", { project: "mini-theirs", pattern: "app-*" });
    assert.equal(await explained("credential.store"), false);
  });
});

describe("a profile whose window has passed", () => {
  test("goes with its keys and records, each with an entry, and not what came under its name meanwhile", async () => {
    let clock = Date.now();
    await using service = await startServer({ KEYSTEAD_FACADES: "mini-kms" }, { now: () => clock });
    const token = await service.token("admin", { project: "*" });
    const generate = async (): Promise<string> =>
      String((await service.request("POST", "/key/generate", { alg: "p256" }, { token })).json["kid"]);
    await generate();
    for (let made = 0; made < 3; made++)
      await service.request("POST", "/vc-holder/store", credential, { token });
    assert.deepEqual((await service.request("DELETE", "/profile/default", undefined, { token })).json, {
      success: true,
    });
    const kid = await generate();
    clock += 31 * 86_400_000;
    await service.keystead.runJobs();
    const done = service.auditEntries().filter(({ caller }) => caller === "system:keystead");
    assert.deepEqual(
      done.map(({ action, project }) => [action, project]).slice(-5),
      ["key.destroy", ...Array.from({ length: 3 }, () => "credential.delete"), "project.destroy"].map(
        (action) => [action, "mini-default"],
      ),
    );
    const { services } = service.keystead;
    const gone = String(done.at(-1)?.["resource"]);
    assert.equal(gone, "project:mini-default");
    assert.equal((await service.request("GET", `/key/${kid}`, undefined, { token })).status, 200);
    assert.ok(await services.projects.byName("mini-default"));
  });
});

describe("a data path", () => {
  test("keeps keys and records over a restart, none of it in clear", async () => {
    const { readdirSync, readFileSync } = await import("node:fs");
    const { join } = await import("node:path");
    const folder = temporaryFolder();
    const settings = { KEYSTEAD_FACADES: "mini-kms", KEYSTEAD_DATA_PATH: join(folder, "data") };
    const canary = "did:canary:bob";
    let key: ShownKey;
    let token: string;
    {
      await using service = await startServer(settings);
      token = await service.token("admin", { project: "*" });
      key = (await service.request("POST", "/key/generate", { alg: "p256" }, { token }))
        .json as unknown as ShownKey;
      await service.request("POST", `/key/${key.kid}/associate`, { alias: canary }, { token });
      const body = { ...credential, issuer_id: canary, record_id: canary, cred_tags: { a: canary } };
      assert.equal((await service.request("POST", "/vc-holder/store", body, { token })).status, 200);
    }
    {
      await using service = await startServer(settings);
      const shown = await service.request("GET", `/key?alias=${canary}`, undefined, { token });
      assert.deepEqual(shown.json, key);
      const record = await service.request("GET", `/vc-holder/credential/record/${canary}`, undefined, {
        token,
      });
      assert.equal(record.json["issuer_id"], canary);
    }
    for (const file of readdirSync(join(folder, "data")))
      assert.ok(!readFileSync(join(folder, "data", file)).includes("canary"), file);
  });
});
