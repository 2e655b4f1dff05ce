import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { SignJWT } from "jose";
import { readConfig } from "../../src/config.ts";
import { looksLikeApiToken } from "../../src/identity/api-token.ts";
import { type Answer, forEachStore, serviceFor } from "../harness.ts";

const SECRET = "a-shared-secret-of-at-least-32-bytes";
const now = (): number => Math.floor(Date.now() / 1000);

forEachStore(({ startServer }) => {
  describe("API tokens", () => {
    const service = serviceFor(() => startServer());

    test("are shown once, recognisable, and work until they are revoked, from then on at once not", async () => {
      const admin = await service().token("admin", { project: "*" });
      const send = (method: string, path: string, body?: unknown): Promise<Answer> =>
        service().request(method, path, body, { token: admin });
      assert.equal((await send("POST", "/v1/accounts", { name: "svc", kind: "service" })).status, 201);
      assert.equal(
        (await send("POST", "/v1/accounts", { name: "svc", kind: "service" })).json["code"],
        "account_exists",
      );
      const made = await send("POST", "/v1/accounts/svc/tokens", { label: "ci", ttl_seconds: 60 });
      const token = String(made.json["token"]);
      assert.ok(looksLikeApiToken(token));
      const whoami = (): Promise<Answer> => service().request("GET", "/v1/whoami", undefined, { token });
      assert.equal((await whoami()).json["caller"], "service:svc");
      assert.equal(
        (await service().request("GET", "/v1/keys", undefined, { token })).json["code"],
        "project_not_found",
      );
      const bound = await send("POST", "/v1/accounts/svc/bindings", { role: "reader", project: "default" });
      assert.equal((await service().request("GET", "/v1/keys", undefined, { token })).status, 200);
      const [binding] = bound.json["bindings"] as { id: string }[];
      assert.equal((await send("DELETE", `/v1/accounts/svc/bindings/${binding!.id}`)).status, 204);
      assert.equal(
        (await service().request("GET", "/v1/keys", undefined, { token })).json["code"],
        "project_not_found",
      );
      const listed = await send("GET", "/v1/accounts/svc/tokens");
      assert.ok(!listed.text.includes(token));
      assert.equal((await send("DELETE", `/v1/accounts/svc/tokens/${String(made.json["id"])}`)).status, 204);
      assert.equal((await whoami()).status, 401);
      assert.deepEqual((await send("GET", "/v1/accounts/svc/tokens")).json, { tokens: [] });
    });

    test("expire", async (t) => {
      const token = await service().token("reader");
      assert.equal((await service().request("GET", "/v1/keys", undefined, { token })).status, 200);
      const real = Date.now;
      t.after(() => (Date.now = real));
      Date.now = () => real() + 3601_000;
      const answer = await service().request("GET", "/v1/keys", undefined, { token });
      Date.now = real;
      assert.equal(answer.status, 401);
    });

    test("are refused in every altered form, with the same answer", async () => {
      const token = await service().token("reader");
      const last = token.at(-1) === "0" ? "1" : "0";
      const texts = new Set<string>();
      for (const bad of [
        `${token.slice(0, -1)}${last}`,
        token.slice(0, -1),
        `${token}0`,
        token.toLowerCase(),
        token.replace("kst_", ""),
        "kst_",
        "x",
        `${token} ${token}`,
        "a".repeat(5000),
      ]) {
        const answer = await service().request("GET", "/v1/keys", undefined, { token: bad });
        assert.equal(answer.status, 401);
        texts.add(answer.text.replace(/"request_id":"[^"]*"/, ""));
      }
      for (const authorization of [`Basic ${token}`, token, `Bearer  ${token}`, "Bearer", ""]) {
        const answer = await service().request("GET", "/v1/keys", undefined, { headers: { authorization } });
        assert.equal(answer.status, 401);
        texts.add(answer.text.replace(/"request_id":"[^"]*"/, ""));
      }
      assert.equal(texts.size, 1);
    });

    test("allow export to services only, whatever a person's role says", async () => {
      const exporting = await startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" });
      await using running = exporting;
      const person = await running.token("exporter");
      const serviceToken = await running.token("exporter", { kind: "service" });
      await running.request("POST", "/v1/keys", { name: "dek" }, { token: serviceToken });
      assert.equal(
        (await running.request("GET", "/v1/export/dek", undefined, { token: person })).status,
        403,
      );
      const exported = await running.request("GET", "/v1/export/dek", undefined, { token: serviceToken });
      assert.equal(exported.json["algorithm"], "AES-256-GCM");
      assert.equal(Buffer.from(String(exported.json["key_material_b64"]), "base64").length, 32);
      const plain = await running.request(
        "POST",
        "/v1/keys",
        { name: "plain" },
        { token: await running.token("admin") },
      );
      assert.equal(plain.json["exportable"], false);
      assert.equal(
        (await running.request("GET", "/v1/export/plain", undefined, { token: serviceToken })).json["code"],
        "key_not_exportable",
      );
      const admin = await running.token("admin");
      const encrypted = await running.request(
        "POST",
        "/v1/encrypt/dek",
        { plaintext: "x" },
        { token: admin },
      );
      assert.equal(encrypted.json["code"], "key_exportable");
      await running.request("POST", "/v1/keys/dek/revoke", {}, { token: admin });
      assert.equal(
        (await running.request("GET", "/v1/export/dek", undefined, { token: serviceToken })).json["code"],
        "key_revoked",
      );
    });
  });

  describe("HS256 JWTs", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_JWT_SECRET: SECRET }));
    const jwt = (claims: Record<string, unknown>, secret = SECRET, alg = "HS256"): Promise<string> =>
      new SignJWT(claims).setProtectedHeader({ alg }).sign(Buffer.from(secret));
    const good = (role: string, more: Record<string, unknown> = {}): Promise<string> =>
      jwt({ sub: "alice", role, iat: now(), exp: now() + 60, ...more });
    const status = async (
      token: string,
      method = "GET",
      path = "/v1/keys",
      body?: unknown,
    ): Promise<number> => (await service().request(method, path, body, { token })).status;

    test("grant what their role has: admin over operator over reader", async () => {
      const [admin, operator, reader] = await Promise.all([good("admin"), good("operator"), good("reader")]);
      assert.equal(await status(admin, "POST", "/v1/keys", { name: "jwt-key" }), 201);
      assert.equal(await status(operator, "POST", "/v1/keys", { name: "other" }), 403);
      assert.equal(await status(operator, "POST", "/v1/encrypt/jwt-key", { plaintext: "x" }), 200);
      assert.equal(await status(operator, "POST", "/v1/secrets", { name: "s", value: "x" }), 201);
      assert.equal(await status(reader, "POST", "/v1/encrypt/jwt-key", { plaintext: "x" }), 403);
      assert.equal(await status(reader, "GET", "/v1/secrets/s"), 403);
      assert.equal(await status(reader), 200);
      assert.equal(await status(admin, "POST", "/v1/accounts", { name: "x", kind: "person" }), 403);
    });

    test("are refused unsigned, altered, expired, early, without a claim, or of another algorithm", async () => {
      const token = await good("admin");
      const [header = "", payload = "", signature = ""] = token.split(".");
      const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.`;
      const admin = Buffer.from(
        JSON.stringify({ sub: "eve", role: "admin", iat: now(), exp: now() + 60 }),
      ).toString("base64url");
      const upper = `${Buffer.from('{"alg":"hs256"}').toString("base64url")}.${payload}`;
      const bad = [
        none,
        `${header}.${admin}.${signature}`,
        `${header}.${payload}.${signature.slice(0, -2)}`,
        `${header}.${payload}`,
        `${upper}.${createHmac("sha256", SECRET).update(upper).digest("base64url")}`,
        await jwt({ sub: "a", role: "admin", iat: now(), exp: now() + 60 }, `${SECRET}x`),
        await jwt({ sub: "a", role: "admin", iat: now(), exp: now() + 60 }, SECRET.repeat(2), "HS512"),
        await good("admin", { exp: now() - 1 }),
        await good("admin", { nbf: now() + 60 }),
        await good("admin", { iat: now() + 3600 }),
        await good("owner"),
        await good("admin", { sub: "" }),
        await good("admin", { exp: "never" }),
        await jwt({ sub: "a", role: "admin", iat: now() }),
        await jwt({ sub: "a", role: "admin", exp: now() + 60 }),
        await jwt({ role: "admin", iat: now(), exp: now() + 60 }),
        await jwt({ sub: "a", iat: now(), exp: now() + 60 }),
      ];
      for (const token of bad) assert.equal(await status(token), 401, token);
      assert.equal(await status(token), 200);
    });

    test("are refused after they expire, although their signature is remembered", async () => {
      const token = await good("reader");
      assert.equal(await status(token), 200);
      const real = Date.now;
      try {
        Date.now = () => real() + 61_000;
        assert.equal(await status(token), 401);
      } finally {
        Date.now = real;
      }
    });

    test("are revocable by subject and time of issue", async () => {
      const admin = await service().token("admin", { project: "*" });
      const old = await good("reader", { sub: "bob", iat: now() - 30 });
      const fresh = await good("reader", { sub: "bob" });
      const other = await good("reader", { sub: "carol", iat: now() - 30 });
      assert.equal(await status(old), 200);
      const body = { sub: "bob", issued_before: now() - 10 };
      assert.equal(
        (await service().request("POST", "/v1/jwt-revocations", body, { token: admin })).status,
        204,
      );
      assert.deepEqual([await status(old), await status(fresh), await status(other)], [401, 200, 200]);
      await service().request(
        "POST",
        "/v1/jwt-revocations",
        { sub: "bob", issued_before: 1 },
        { token: admin },
      );
      assert.equal(await status(old), 401, "an earlier time takes nothing back");
    });

    test("act in their one project only", async () => {
      const token = await good("admin");
      await service().request(
        "POST",
        "/v1/projects",
        { name: "other" },
        { token: await service().token("admin", { project: "*" }) },
      );
      const answer = await service().request("GET", "/v1/keys", undefined, { token, project: "other" });
      assert.equal(answer.json["code"], "project_not_found");
    });

    test("need a secret of 32 bytes in server mode", () => {
      const settings = {
        KEYSTEAD_ROOT_KEY: "00".repeat(32),
        KEYSTEAD_DATA_PATH: "/x",
        KEYSTEAD_JWT_SECRET: "short",
      };
      assert.throws(() => readConfig([], settings, "/"), /KEYSTEAD_JWT_SECRET/);
    });
  });
});
