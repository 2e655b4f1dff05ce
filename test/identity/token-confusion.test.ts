/** One kind of token in the place of another, and login tokens that were tampered with: all refused with one answer. */
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { before, describe, test } from "node:test";
import { serviceFor, startServer, type Answer } from "../harness.ts";
import { cheap } from "./cheap-hash.ts";

const PASSWORD = "correct horse battery";
const ISSUER = "https://keys.example.test";
const SECRET = "a-shared-secret-of-at-least-32-bytes";

type Json = Record<string, unknown>;
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (part: string | undefined): Json =>
  JSON.parse(Buffer.from(part ?? "", "base64url").toString("utf8")) as Json;

describe("a token", () => {
  let clock = Date.now();
  const service = serviceFor(() =>
    startServer(
      {
        KEYSTEAD_ISSUER: ISSUER,
        KEYSTEAD_JWT_SECRET: SECRET,
        KEYSTEAD_TRUSTED_PROXIES: "127.0.0.1,::1",
      },
      { now: () => clock, passwordCost: cheap },
    ),
  );
  let admin = "";
  let login: Json = {};
  let signup = "";
  before(async () => {
    admin = await service().token("admin", { project: "*" });
    await asAdmin("POST", "/v1/accounts", { name: "ann", kind: "person" });
    await asAdmin("POST", "/v1/accounts/ann/password", { password: PASSWORD });
    login = (await service().request("POST", "/v1/login", { account: "ann", password: PASSWORD })).json;
    signup = String((await asAdmin("POST", "/v1/signups", { name: "bob", kind: "person" })).json["token"]);
  });
  const asAdmin = (method: string, path: string, body?: unknown): Promise<Answer> =>
    service().request(method, path, body, { token: admin });
  let addresses = 0;
  /** From an address of its own each, since an address that fails often is told to wait. */
  const whoami = (token: string): Promise<Answer> => {
    const headers = { "x-forwarded-for": `10.0.${++addresses >> 8}.${addresses & 255}` };
    return service().request("GET", "/v1/whoami", undefined, { token, headers });
  };
  const parts = (): { header: Json; payload: Json; signature: string; text: string[] } => {
    const text = String(login["token"]).split(".");
    return { header: decode(text[0]), payload: decode(text[1]), signature: text[2] ?? "", text };
  };
  /** The service's own key, as nobody else has it. */
  const ownKey = async (
    purpose: "login" | "signup",
  ): Promise<{ kid: string; sign(text: string): Promise<string> }> => {
    const { id, key } = await service().keystead.services.signingKeys.current(purpose);
    return {
      kid: id,
      sign: async (text) => Buffer.from(await key.sign({ message: Buffer.from(text) })).toString("base64url"),
    };
  };
  const signed = async (
    header: Json,
    payload: Json,
    purpose: "login" | "signup" = "login",
  ): Promise<string> => {
    const text = `${encode(header)}.${encode(payload)}`;
    return `${text}.${await (await ownKey(purpose)).sign(text)}`;
  };
  const foreign = (header: Json, payload: Json, privateKey: KeyObject, digest: string | null): string => {
    const text = `${encode(header)}.${encode(payload)}`;
    const key = digest === null ? privateKey : { key: privateKey, dsaEncoding: "ieee-p1363" as const };
    return `${text}.${sign(digest, Buffer.from(text), key).toString("base64url")}`;
  };

  test("of a login that is signed anew as it is, is good: so what follows is refused for its difference", async () => {
    const { header, payload } = parts();
    assert.equal((await whoami(await signed(header, payload))).status, 200);
  });

  test("of a login is refused with any member of header or payload other than it is", async () => {
    const { header, payload } = parts();
    const time = Math.floor(clock / 1000);
    const bad: [string, string][] = [];
    const add = async (what: string, made: string | Promise<string>): Promise<void> => {
      bad.push([what, await made]);
    };
    await add("other issuer", signed(header, { ...payload, iss: "https://other.test" }));
    await add("no issuer", signed(header, { ...payload, iss: undefined }));
    await add("other audience", signed(header, { ...payload, aud: `${ISSUER}:signup` }));
    await add("audience list", signed(header, { ...payload, aud: [ISSUER] }));
    await add("other account", signed(header, { ...payload, sub: "00000000-0000-4000-8000-000000000000" }));
    await add("other session", signed(header, { ...payload, sid: "00000000-0000-4000-8000-000000000000" }));
    await add("no session", signed(header, { ...payload, sid: undefined }));
    await add("expired", signed(header, { ...payload, exp: time }));
    await add("expiry as text", signed(header, { ...payload, exp: String(time + 60) }));
    await add("no expiry", signed(header, { ...payload, exp: undefined }));
    await add("not yet valid", signed(header, { ...payload, nbf: time + 30 }));
    await add("issued tomorrow", signed(header, { ...payload, iat: time + 3600 }));
    await add("other type", signed({ ...header, typ: "keystead-signup+jwt" }, payload));
    await add("no type", signed({ ...header, typ: undefined }, payload));
    await add("JWT as type", signed({ ...header, typ: "JWT" }, payload));
    await add("type in capitals", signed({ ...header, typ: "Keystead-login+jwt" }, payload));
    await add("unknown key", signed({ ...header, kid: "00000000-0000-4000-8000-000000000000" }, payload));
    await add("no key", signed({ ...header, kid: undefined }, payload));
    await add("crit", signed({ ...header, crit: ["exp"] }, payload));
    await add("b64", signed({ ...header, b64: false }, payload));
    await add("members in another order", signed({ typ: header["typ"], ...header }, payload));
    await add("none", `${encode({ ...header, alg: "none" })}.${encode(payload)}.`);
    await add("none, signed", signed({ ...header, alg: "none" }, payload));
    await add("signup's key", signed(header, payload, "signup"));
    await add(
      "signup's key by its name",
      signed({ ...header, kid: (await ownKey("signup")).kid }, payload, "signup"),
    );
    for (const [what, token] of bad) assert.equal((await whoami(token)).status, 401, what);
  });

  test("of a login is refused with another algorithm, whatever signs it", async () => {
    const { header, payload } = parts();
    const jwks = (await service().request("GET", "/.well-known/jwks.json")).json as {
      keys: { x: string; kid: string }[];
    };
    const [published] = jwks.keys;
    const x = published?.x ?? "";
    const { key } = await service().keystead.services.signingKeys.current("login");
    const secrets = [
      Buffer.from(x, "base64url"),
      Buffer.from(x),
      key.publicKeyDer(),
      Buffer.from(JSON.stringify(key.publicKeyJwk())),
      Buffer.from(SECRET),
    ];
    const tokens: string[] = [];
    for (const secret of secrets) {
      for (const typ of [header["typ"], "JWT"]) {
        const text = `${encode({ ...header, alg: "HS256", typ })}.${encode({ ...payload, role: "admin" })}`;
        tokens.push(`${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`);
      }
    }
    const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    tokens.push(foreign({ ...header, alg: "ES256" }, payload, ec.privateKey, "sha256"));
    const ed = generateKeyPairSync("ed25519");
    const jwk = ed.publicKey.export({ format: "jwk" });
    tokens.push(foreign(header, payload, ed.privateKey, null));
    tokens.push(foreign({ ...header, jwk }, payload, ed.privateKey, null));
    for (const token of tokens) assert.equal((await whoami(token)).status, 401, token);
  });

  test("of a login is refused with a byte of it changed, cut or added, also after it was good", async () => {
    const { text } = parts();
    const token = String(login["token"]);
    assert.equal((await whoami(token)).status, 200);
    const [header = "", payload = "", signature = ""] = text;
    const bad = [
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `${header}.${payload}.${signature}AA`,
      `${header}.${payload}.${signature.slice(0, 10)}${signature[10] === "A" ? "B" : "A"}${signature.slice(11)}`,
      `${header}.${encode({ ...decode(payload), sub: "x" })}.${signature}`,
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `${token}.${signature}`,
      `${header}.${payload}.${signature}=`,
      `.${payload}.${signature}`,
      ` ${token}`,
    ];
    for (const altered of bad) assert.equal((await whoami(altered)).status, 401, altered);
    // The last character of 64 bytes in base64url holds four bits that mean nothing: one spelling of it is good.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const good = Array.from(alphabet).filter((last) => last !== signature.at(-1));
    for (const last of good) {
      assert.equal((await whoami(`${header}.${payload}.${signature.slice(0, -1)}${last}`)).status, 401);
    }
  });

  test("of one kind is none of another: login, refresh, signup, API", async () => {
    const all = {
      login: String(login["token"]),
      refresh: String(login["refresh_token"]),
      signup,
      api: admin,
    };
    for (const [kind, token] of Object.entries(all)) {
      const used = await whoami(token);
      assert.equal(used.status, kind === "login" || kind === "api" ? 200 : 401, kind);
      if (kind !== "refresh") {
        const refreshed = await service().request("POST", "/v1/login/refresh", { refresh_token: token });
        assert.equal(refreshed.status, 401, kind);
      }
      if (kind !== "signup") {
        const redeemed = await service().request("POST", "/v1/signup", { token, password: PASSWORD });
        assert.equal(redeemed.status, 401, kind);
      }
    }
    const { header, payload } = parts();
    const time = Math.floor(clock / 1000);
    const { jti } = decode(signup.split(".")[1]);
    const claims = { iss: ISSUER, aud: `${ISSUER}:signup`, sub: "bob", jti, iat: time, exp: time + 60 };
    const kid = (await ownKey("signup")).kid;
    for (const [token, expected] of [
      [await signed({ ...header, typ: "keystead-signup+jwt" }, claims), 401],
      [
        await signed({ ...header, typ: "keystead-signup+jwt", kid }, { ...claims, aud: ISSUER }, "signup"),
        401,
      ],
      [await signed({ ...header, typ: "keystead-login+jwt", kid }, claims, "signup"), 401],
      [
        await signed({ ...header, typ: "keystead-signup+jwt", kid }, { ...claims, sub: "eve" }, "signup"),
        401,
      ],
      [
        await signed(
          { ...header, typ: "keystead-signup+jwt", kid },
          { ...claims, ...payload, sub: "bob" },
          "signup",
        ),
        401,
      ],
      [await signed({ ...header, typ: "keystead-signup+jwt", kid }, claims, "signup"), 201],
    ] as const) {
      assert.equal(
        (await service().request("POST", "/v1/signup", { token, password: PASSWORD })).status,
        expected,
      );
    }
  });

  test("that a shared secret signs is judged as such where it states another issuer, and not where it states ours", async () => {
    const time = Math.floor(Date.now() / 1000);
    const hs256 = (more: Json): string => {
      const claims = { sub: "alice", role: "reader", iat: time, exp: time + 60, ...more };
      const text = `${encode({ alg: "HS256" })}.${encode(claims)}`;
      return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
    };
    assert.equal((await whoami(hs256({}))).status, 200);
    assert.equal((await whoami(hs256({ iss: "bunkms" }))).status, 200);
    assert.equal((await whoami(hs256({ iss: ISSUER }))).status, 401);
  });

  test("outlives the rotation of its key by its time, and no rotation at once", async () => {
    const again = async (): Promise<string> => {
      const answer = await service().request("POST", "/v1/login", { account: "ann", password: PASSWORD });
      assert.equal(answer.status, 200);
      return String(answer.json["token"]);
    };
    const kidOf = (token: string): unknown => decode(token.split(".")[0])["kid"];
    const published = async (): Promise<string[]> =>
      (await service().request("GET", "/.well-known/jwks.json")).json["keys"] as string[];
    const old = await again();
    const rotated = await asAdmin("POST", "/v1/login-keys/rotate", {});
    assert.equal(rotated.status, 201);
    assert.equal((await published()).length, 2, "the next key is shown before it signs");
    assert.equal(kidOf(await again()), kidOf(old));
    clock += 601_000;
    const fresh = await again();
    assert.equal(kidOf(fresh), rotated.json["kid"]);
    const oldAgain = await signed(decode(old.split(".")[0]), decode(fresh.split(".")[1]));
    assert.equal((await whoami(oldAgain)).status, 401, "signed by another key than it names");
    assert.equal((await whoami(old)).status, 200);
    clock += 3_600_000;
    assert.equal((await published()).length, 1);
    const now = await again();
    assert.equal((await whoami(now)).status, 200);
    assert.equal((await asAdmin("POST", "/v1/login-keys/rotate", { immediately: true })).status, 201);
    assert.equal((await whoami(now)).status, 401);
    assert.equal((await whoami(await again())).status, 200);
  });

  test("is published by its public key alone, which everybody may keep for a while", async () => {
    const answer = await service().request("GET", "/.well-known/jwks.json");
    assert.equal(answer.headers.get("content-type"), "application/jwk-set+json");
    assert.equal(answer.headers.get("cache-control"), "public, max-age=300");
    for (const key of answer.json["keys"] as Json[]) {
      assert.deepEqual(Object.keys(key).sort(), ["alg", "crv", "kid", "kty", "use", "x"]);
    }
  });
});
