/**
 * Every route of the native API, enumerated from its table, against every kind of bad input.
 * The canary stands wherever a value can stand: it must come back nowhere.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { errorRegistry } from "../../src/errors.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import type { AnyNativeRoute } from "../../src/http/native/native-route.ts";
import { serviceFor, startDev, type Answer, type RequestOptions } from "../harness.ts";

const CANARY = "canary-5c1b0e";
const UUID = "00000000-0000-4000-8000-000000000000";

interface Sample {
  /** A path with its parameters filled in, and a body that the route takes. */
  readonly path: string;
  readonly body?: Record<string, unknown>;
  /** Fields that must come. */
  readonly required?: readonly string[];
  /** Fields that hold a list of texts, any texts. */
  readonly lists?: readonly string[];
  /** Base64 fields, the bytes that they may hold at most, and the rest of a body for them. */
  readonly base64?: Readonly<
    Record<string, { readonly bytesMax: number; readonly body: Record<string, unknown> }>
  >;
  readonly notFound?: string;
}

const KIB = 1024;
const digest = Buffer.alloc(32, 1).toString("base64");
const some = Buffer.from("some bytes").toString("base64");

const samples: Record<string, Sample> = {
  "key.create": { path: "/v1/keys", body: { name: "fresh", type: "aes-256" }, required: ["name"] },
  "key.import": {
    path: "/v1/keys/fresh/import",
    body: { type: "aes-256", format: "raw", material_b64: digest },
    required: ["type", "format"],
    base64: { material_b64: { bytesMax: 32 * KIB, body: { type: "aes-256", format: "raw" } } },
  },
  "key.list": { path: "/v1/keys" },
  "key.get": { path: "/v1/keys/absent", notFound: "key_not_found" },
  "key.rotate": { path: "/v1/keys/absent/rotate", body: {}, notFound: "key_not_found" },
  "key.revoke": { path: "/v1/keys/absent/revoke", body: {}, notFound: "key_not_found" },
  "key.encrypt": {
    path: "/v1/encrypt/absent",
    body: { plaintext: "x" },
    base64: {
      plaintext_b64: { bytesMax: 512 * KIB, body: {} },
      aad_b64: { bytesMax: 64 * KIB, body: { plaintext: "x" } },
    },
    notFound: "key_not_found",
  },
  "key.decrypt": {
    path: "/v1/decrypt/absent",
    body: { ciphertext: some },
    required: ["ciphertext"],
    base64: {
      ciphertext: { bytesMax: 512 * KIB + 128, body: {} },
      aad_b64: { bytesMax: 64 * KIB, body: { ciphertext: some } },
    },
    notFound: "key_not_found",
  },
  "key.sign": {
    path: "/v1/keys/absent/sign",
    body: { digest_b64: digest },
    base64: { digest_b64: { bytesMax: 64, body: {} }, message_b64: { bytesMax: 512 * KIB, body: {} } },
    notFound: "key_not_found",
  },
  "key.verify": {
    path: "/v1/keys/absent/verify",
    body: { digest_b64: digest, signature_b64: some },
    required: ["signature_b64"],
    base64: {
      digest_b64: { bytesMax: 64, body: { signature_b64: some } },
      signature_b64: { bytesMax: 8 * KIB, body: { digest_b64: digest } },
    },
    notFound: "key_not_found",
  },
  "key.export GET": { path: "/v1/export/absent", notFound: "key_not_found" },
  "key.export": { path: "/v1/keys/absent/export", body: {}, notFound: "key_not_found" },
  "key.public": { path: "/v1/keys/absent/public-key", notFound: "key_not_found" },
  "key.update": { path: "/v1/keys/absent", body: { min_decryption_version: 1 }, notFound: "key_not_found" },
  "key.enable": { path: "/v1/keys/absent/enable", body: {}, notFound: "key_not_found" },
  "key.disable": { path: "/v1/keys/absent/disable", body: { version: 1 }, notFound: "key_not_found" },
  "key.schedule_deletion": {
    path: "/v1/keys/absent/schedule-deletion",
    body: { days: 7 },
    notFound: "key_not_found",
  },
  "key.cancel_deletion": { path: "/v1/keys/absent/cancel-deletion", body: {}, notFound: "key_not_found" },
  "key.reencrypt": {
    path: "/v1/keys/absent/reencrypt",
    body: { ciphertext: some },
    required: ["ciphertext"],
    base64: { ciphertext: { bytesMax: 512 * KIB + 128, body: {} } },
    notFound: "key_not_found",
  },
  "key.generate_data_key": {
    path: "/v1/keys/absent/data-key",
    body: { bytes: 32 },
    notFound: "key_not_found",
  },
  "key.mac": {
    path: "/v1/keys/absent/mac",
    body: { message: "x" },
    base64: { message_b64: { bytesMax: 512 * KIB, body: {} } },
    notFound: "key_not_found",
  },
  "key.verify_mac": {
    path: "/v1/keys/absent/verify-mac",
    body: { message: "x", mac_b64: some },
    required: ["mac_b64"],
    base64: { mac_b64: { bytesMax: 64, body: { message: "x" } } },
    notFound: "key_not_found",
  },
  "key.encapsulate": { path: "/v1/keys/absent/encapsulate", body: {}, notFound: "key_not_found" },
  "key.decapsulate": {
    path: "/v1/keys/absent/decapsulate",
    body: { ciphertext: some },
    required: ["ciphertext"],
    base64: { ciphertext: { bytesMax: 4 * KIB, body: {} } },
    notFound: "key_not_found",
  },
  "key.agree": {
    path: "/v1/keys/absent/agree",
    body: { peer_public_key_b64: some },
    required: ["peer_public_key_b64"],
    base64: {
      peer_public_key_b64: { bytesMax: KIB, body: {} },
      salt_b64: { bytesMax: KIB, body: { peer_public_key_b64: some } },
      info_b64: { bytesMax: 4 * KIB, body: { peer_public_key_b64: some } },
    },
    notFound: "key_not_found",
  },
  "key.encrypt_batch": batch("encrypt", { plaintext: "x" }),
  "key.decrypt_batch": batch("decrypt", { ciphertext: some }),
  "key.reencrypt_batch": batch("reencrypt", { ciphertext: some }),
  "key.sign_batch": batch("sign", { message: "x" }),
  "key.verify_batch": batch("verify", { message: "x", signature_b64: some }),
  "key.mac_batch": batch("mac", { message: "x" }),
  "key.verify_mac_batch": batch("verify-mac", { message: "x", mac_b64: some }),
  "random.generate": { path: "/v1/random", body: { bytes: 32 } },
  "secret.put": {
    path: "/v1/secrets",
    body: { name: "fresh", value: "x" },
    required: ["name"],
    base64: { value_b64: { bytesMax: 512 * KIB, body: { name: "fresh" } } },
  },
  "secret.get": { path: "/v1/secrets/absent", notFound: "secret_not_found" },
  "secret.list": { path: "/v1/secrets" },
  "secret.delete": { path: "/v1/secrets/absent", notFound: "secret_not_found" },
  "project.create": { path: "/v1/projects", body: { name: "fresh" }, required: ["name"] },
  "project.list": { path: "/v1/projects" },
  "project.schedule_deletion": {
    path: "/v1/projects/absent/schedule-deletion",
    body: { days: 7 },
    notFound: "project_not_found",
  },
  "project.cancel_deletion": {
    path: "/v1/projects/absent/cancel-deletion",
    body: {},
    notFound: "project_not_found",
  },
  "account.create": {
    path: "/v1/accounts",
    body: { name: "fresh", kind: "service" },
    required: ["name", "kind"],
  },
  "account.list": { path: "/v1/accounts" },
  "account.get": { path: "/v1/accounts/absent", notFound: "account_not_found" },
  "account.bind": {
    path: "/v1/accounts/absent/bindings",
    body: { role: "reader", project: "default" },
    required: ["role", "project"],
    notFound: "account_not_found",
  },
  "account.unbind": { path: `/v1/accounts/absent/bindings/${UUID}`, notFound: "account_not_found" },
  "token.create": {
    path: "/v1/accounts/absent/tokens",
    body: { ttl_seconds: 60 },
    notFound: "account_not_found",
  },
  "token.list": { path: "/v1/accounts/absent/tokens", notFound: "account_not_found" },
  "token.revoke": { path: `/v1/accounts/absent/tokens/${UUID}`, notFound: "account_not_found" },
  "jwt.revoke": {
    path: "/v1/jwt-revocations",
    body: { sub: "x", issued_before: 1 },
    required: ["sub", "issued_before"],
  },
  "caller.whoami": { path: "/v1/whoami" },
  "account.disable": { path: "/v1/accounts/absent/disable", body: {}, notFound: "account_not_found" },
  "account.enable": { path: "/v1/accounts/absent/enable", body: {}, notFound: "account_not_found" },
  "account.delete": { path: "/v1/accounts/absent", notFound: "account_not_found" },
  "password.set": {
    path: "/v1/accounts/absent/password",
    body: { password: "correct horse battery", current_password: "x" },
    required: ["password"],
    notFound: "account_not_found",
  },
  "session.list": { path: "/v1/accounts/absent/sessions", notFound: "account_not_found" },
  "session.revoke": { path: `/v1/accounts/absent/sessions/${UUID}`, notFound: "account_not_found" },
  "login.create": {
    path: "/v1/login",
    body: { account: "nobody", password: "correct horse battery" },
    required: ["account", "password"],
  },
  "login.refresh": { path: "/v1/login/refresh", body: { refresh_token: "x" }, required: ["refresh_token"] },
  "login.revoke": { path: "/v1/logout", body: {} },
  "signup.create": {
    path: "/v1/signups",
    body: { name: "fresh", kind: "service", ttl_seconds: 60 },
    required: ["name", "kind"],
  },
  "signup.list": { path: "/v1/signups" },
  "signup.revoke": { path: `/v1/signups/${UUID}`, notFound: "signup_not_found" },
  "signup.redeem": {
    path: "/v1/signup",
    body: { token: "x", password: "correct horse battery" },
    required: ["token", "password"],
  },
  "login_key.rotate": { path: "/v1/login-keys/rotate", body: {} },
  "role.create": {
    path: "/v1/roles",
    body: { name: "fresh", description: "x", statements: [{ effect: "allow", scopes: ["kms:encrypt"] }] },
    required: ["name", "statements"],
  },
  "role.list": { path: "/v1/roles" },
  "role.get": { path: "/v1/roles/absent", notFound: "role_not_found" },
  "role.update": { path: "/v1/roles/absent", body: { description: "x" }, notFound: "role_not_found" },
  "role.delete": { path: "/v1/roles/absent", notFound: "role_not_found" },
  "policy.explain": { path: "/v1/can", body: { action: "key.encrypt" }, required: ["action"] },
  "issuer.create": {
    path: "/v1/issuers",
    body: {
      name: "fresh",
      issuer: "https://issuer.example.com",
      audiences: ["keystead"],
      rules: [],
      algorithms: ["ES256"],
      key_source: { from: "discovery" },
      subject_claim: "sub",
      max_lifetime_seconds: 3600,
    },
    required: ["name", "issuer", "audiences", "rules"],
    lists: ["audiences"],
  },
  "issuer.list": { path: "/v1/issuers" },
  "issuer.get": { path: "/v1/issuers/absent", notFound: "issuer_not_found" },
  "issuer.update": {
    path: "/v1/issuers/absent",
    body: { max_lifetime_seconds: 3600 },
    notFound: "issuer_not_found",
  },
  "issuer.delete": { path: "/v1/issuers/absent", notFound: "issuer_not_found" },
  "barrier.status": { path: "/v1/barrier" },
  "barrier.rotate": { path: "/v1/barrier/rotate", body: {} },
};

/** The sample of a route: by its operation, and by its method where the operation has two. */
const sampleName = ({ operation, method }: AnyNativeRoute): string =>
  `${operation.id} ${method}` in samples ? `${operation.id} ${method}` : operation.id;

function batch(use: string, item: Record<string, unknown>): Sample {
  return {
    path: `/v1/keys/absent/${use}/batch`,
    body: { items: [item] },
    required: ["items"],
    notFound: "key_not_found",
  };
}

describe("bad input on every route of the native API", () => {
  const service = serviceFor(() => startDev());
  let exporter = "";
  before(async () => {
    exporter = await service().token("exporter", { kind: "service" });
  });

  test("has a sample for each route", () => {
    assert.deepEqual(Object.keys(samples).sort(), nativeRoutes.map(sampleName).sort());
  });

  for (const route of nativeRoutes) {
    const id = sampleName(route);
    const sample = samples[id];
    if (sample === undefined) continue;
    const { path, body, required = [], lists = [], base64 = {}, notFound } = sample;
    const send = (sent: unknown, options: RequestOptions = {}, at = path): Promise<Answer> =>
      service().request(
        route.method,
        at,
        route.method === "GET" || route.method === "DELETE" ? undefined : sent,
        {
          ...(route.operation.id === "key.export" ? { token: exporter } : {}),
          ...options,
        },
      );

    describe(id, () => {
      if (notFound !== undefined) {
        test("answers what is not there with 404 and its own code", async () => {
          assertProblem(await send(body), notFound);
        });
      }
      if (path.includes("/absent")) {
        test("refuses names that are not canonical", async () => {
          for (const name of [`-${CANARY}`, `.${CANARY}`, `${CANARY}!`, CANARY.repeat(30), `${CANARY}~x`]) {
            assertProblem(await send(body, {}, path.replace("absent", name)), "invalid_name");
          }
        });
      }
      test("refuses a query that it does not take", async () => {
        assertProblem(await send(body, {}, `${path}?${CANARY}=1`), "unknown_field");
      });
      test("refuses a project that is no name, and answers an absent one as such", async () => {
        assertProblem(await send(body, { project: `${CANARY} X` }), "invalid_header");
        if (route.operation.inProject)
          assertProblem(await send(body, { project: CANARY }), "project_not_found");
      });
      if (body === undefined) return;

      test("refuses what is no JSON object", async () => {
        for (const raw of [`{"${CANARY}"`, CANARY, `{"a":1}{"${CANARY}":2}`, `\ufeff{}`]) {
          assertProblem(await send(undefined, { raw }), "invalid_json");
        }
        for (const raw of [`"${CANARY}"`, "[]", "null", "7"])
          assertProblem(await send(undefined, { raw }), "invalid_body");
        assertProblem(await send(undefined, { raw: new Uint8Array([0x22, 0xff, 0x22]) }), "invalid_json");
      });
      test("refuses a field that it does not know, without naming it", async () => {
        assertProblem(await send({ ...body, [CANARY]: 1 }), "unknown_field");
        const raw = `{"__proto__":1,${JSON.stringify(body).slice(1)}`.replace(",}", "}");
        assertProblem(await send(undefined, { raw }), "unknown_field");
      });
      const inner = Object.entries(body).filter(
        ([name, value]) => typeof value === "object" && !Array.isArray(value) && name !== "labels",
      );
      for (const [name, value] of inner) {
        test(`refuses a field that it does not know in ${name}, without naming it`, async () => {
          const nested = { ...(value as object), [CANARY]: 1 };
          assertProblem(await send({ ...body, [name]: nested }), "unknown_field");
        });
      }
      test("refuses what is nested deeply", async () => {
        const deep = `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`;
        assertProblem(await send(undefined, { raw: deep }), "too_deep");
        assertProblem(await send({ ...body, [CANARY]: [[[[[[CANARY]]]]]] }), "unknown_field");
      });
      test("refuses a body over its size, before it is parsed", async () => {
        const raw = JSON.stringify({ ...body, [CANARY]: "x".repeat(route.bodyBytesMax ?? 64 * KIB) });
        assertProblem(await send(undefined, { raw }), "payload_too_large");
      });
      test("refuses a body that is not application/json", async () => {
        for (const type of [
          "text/plain",
          "application/x-www-form-urlencoded",
          "application/json; charset=latin1",
          CANARY,
        ]) {
          const answer = await send(undefined, { raw: "{}", headers: { "content-type": type } });
          assertProblem(answer, "unsupported_media_type");
        }
      });
      if (Object.keys(body).length > 0) {
        test("refuses each field in a wrong type", async () => {
          for (const field of Object.keys(body)) {
            for (const wrong of [
              null,
              true,
              lists.includes(field) ? [7] : [CANARY],
              { [CANARY]: 1 },
              typeof body[field] === "number" ? CANARY : 7,
            ]) {
              const answer = await send({ ...body, [field]: wrong });
              assertProblem(answer, "invalid_body");
              assert.equal(answer.json["field"], field);
            }
          }
        });
      }
      for (const field of required) {
        test(`refuses a body without ${field}`, async () => {
          const rest = Object.fromEntries(Object.entries(body).filter(([name]) => name !== field));
          assertProblem(await send(rest), "invalid_body");
        });
      }
      for (const [field, { bytesMax, body: rest }] of Object.entries(base64)) {
        test(`refuses ${field} that is not canonical base64 or too long`, async () => {
          for (const bad of [CANARY, "YQ", "YR==", "YQ==\n", " YQ==", "YQ==YQ==", "_-8=", "\u0130Q=="]) {
            assertProblem(await send({ ...rest, [field]: bad }), "invalid_encoding");
          }
          const long = Buffer.alloc(bytesMax + 3).toString("base64");
          assertProblem(await send({ ...rest, [field]: long }), "payload_too_large");
        });
      }
    });
  }

  test("leaves the server unharmed and its log without input", async () => {
    assert.equal((await service().request("GET", "/health")).status, 200);
    for (const line of service().logLines) assert.ok(!line.includes(CANARY));
  });

  test("answers a wrong method with 405 and the methods that the path takes", async () => {
    for (const route of nativeRoutes) {
      const answer = await service().request("PUT", samples[sampleName(route)]?.path ?? "");
      assertProblem(answer, "method_not_allowed");
      assert.ok(answer.headers.get("allow")?.includes(route.method));
    }
  });
});

describe("wrong key states and uses", () => {
  const service = serviceFor(() => startDev());
  before(async () => {
    for (const type of ["aes-256", "xaes-256", "rsa-2048", "ecdsa-p256"]) {
      assert.equal((await service().request("POST", "/v1/keys", { name: type, type })).status, 201);
      assert.equal((await service().request("POST", "/v1/keys", { name: `gone-${type}`, type })).status, 201);
      assert.equal((await service().request("POST", `/v1/keys/gone-${type}/revoke`)).status, 200);
    }
  });
  const uses: Record<
    string,
    { path: (name: string) => string; body: Record<string, unknown>; purpose: string }
  > = {
    encrypt: { path: (name) => `/v1/encrypt/${name}`, body: { plaintext: "x" }, purpose: "encrypt" },
    decrypt: { path: (name) => `/v1/decrypt/${name}`, body: { ciphertext: some }, purpose: "encrypt" },
    sign: { path: (name) => `/v1/keys/${name}/sign`, body: { message: "x" }, purpose: "sign" },
    verify: {
      path: (name) => `/v1/keys/${name}/verify`,
      body: { message: "x", signature_b64: some },
      purpose: "sign",
    },
  };
  for (const type of ["aes-256", "xaes-256", "rsa-2048", "ecdsa-p256"]) {
    const purpose = type.endsWith("aes-256") ? "encrypt" : "sign";
    for (const [use, row] of Object.entries(uses)) {
      test(`refuses to ${use} with a revoked ${type} key`, async () => {
        assertProblem(await service().request("POST", row.path(`gone-${type}`), row.body), "key_revoked");
      });
      if (row.purpose !== purpose) {
        test(`refuses to ${use} with a ${type} key`, async () => {
          assertProblem(await service().request("POST", row.path(type), row.body), "key_usage");
        });
      }
    }
    test(`refuses to rotate a revoked ${type} key`, async () => {
      assertProblem(await service().request("POST", `/v1/keys/gone-${type}/rotate`), "key_revoked");
    });
  }
  test("says the same of every ciphertext that does not open", async () => {
    const sealed = await service().request("POST", "/v1/encrypt/aes-256", { plaintext: "x", aad: "right" });
    const good = Buffer.from(String(sealed.json["ciphertext"]), "base64");
    const unknownVersion = Buffer.from(good);
    unknownVersion.writeUInt32BE(9);
    const flipped = Buffer.from(good);
    flipped[good.length - 1] = (flipped[good.length - 1] ?? 0) ^ 1;
    const texts = new Set<string>();
    for (const [ciphertext, aad] of [
      [good, "wrong"],
      [unknownVersion, "right"],
      [flipped, "right"],
      [good.subarray(0, 20), "right"],
      [good.subarray(0, 3), "right"],
      [Buffer.alloc(0), "right"],
    ] as const) {
      const answer = await service().request("POST", "/v1/decrypt/aes-256", {
        ciphertext: ciphertext.toString("base64"),
        aad,
      });
      assertProblem(answer, "decryption_failed");
      texts.add(answer.text.replace(/"request_id":"[^"]*"/, ""));
    }
    assert.equal(texts.size, 1);
  });
});

function assertProblem(answer: Answer, code: string): void {
  assert.equal(answer.json["code"], code, answer.text);
  const { status, title } = errorRegistry[code as keyof typeof errorRegistry];
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(answer.json["status"], status);
  assert.equal(answer.json["title"], title);
  assert.ok(String(answer.json["error"]).startsWith(title));
  assert.equal(answer.json["request_id"], answer.headers.get("x-request-id"));
  assert.ok(!answer.text.includes(CANARY), `nothing is echoed: ${answer.text}`);
  assert.ok(!/\bat .*\.ts:|Error:/.test(answer.text), "no stack");
}
