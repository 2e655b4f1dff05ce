import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { issuerAlgorithms } from "../../src/identity/issuer.ts";
import { makeCertificate } from "../certificates.ts";
import { serviceFor, startDev, startServer, type Answer, type TestService } from "../harness.ts";
import {
  compact,
  makeSigningKey,
  signToken,
  startIssuer,
  type SigningKey,
  type TestIssuer,
} from "./test-issuer.ts";

const operatorRule = {
  when: [{ claim: "sub", equals: "somebody" }],
  bindings: [{ role: "operator", project: "default", pattern: "app-*" }],
};

/** Registers an issuer. */
async function register(
  service: TestService,
  name: string,
  settings: Record<string, unknown>,
  token?: string,
): Promise<Answer> {
  const body = { name, audiences: ["keystead"], rules: [operatorRule], algorithms: ["ES256"], ...settings };
  const answer = await service.request("POST", "/v1/issuers", body, token === undefined ? {} : { token });
  assert.equal(answer.status, 201, answer.text);
  return answer;
}

let addresses = 0;

/** Each time from another address: refusals of one are limited. */
function whoami(service: TestService, token: string): Promise<Answer> {
  const from = `127.1.${Math.floor(++addresses / 250)}.${1 + (addresses % 250)}`;
  const headers = { "x-forwarded-for": from };
  return service.request("GET", "/v1/whoami", undefined, { token, headers });
}

const behindProxy = { KEYSTEAD_TRUSTED_PROXIES: "127.0.0.1" };

async function refuses(service: TestService, token: string, what: string): Promise<void> {
  const answer = await whoami(service, token);
  assert.equal(answer.json["code"], "unauthenticated", `${what}: ${answer.text}`);
}

describe("a token of an external issuer", () => {
  const service = serviceFor(() =>
    startDev({ ...behindProxy, KEYSTEAD_JWT_SECRET: "0123456789abcdef0123456789abcdef" }),
  );
  let key: SigningKey;
  let issuer: TestIssuer;
  before(async () => {
    key = await makeSigningKey("ES256", "k1");
    issuer = await startIssuer([key]);
    await register(service(), "main", { issuer: issuer.url });
  });
  after(() => issuer.close());

  test("lets its subject in with the role bindings of the rules that fit, and no others", async () => {
    const token = await signToken(key, { iss: issuer.url });
    const { json } = await whoami(service(), token);
    assert.equal(json["kind"], "external");
    assert.equal(json["caller"], "external:main:somebody");
    assert.equal(json["authenticated_by"], "issuer");
    assert.equal(json["issuer"], "main");
    assert.ok(Date.parse(String(json["expires_at"])) > Date.now());
    await service().request("POST", "/v1/keys", { name: "app-1" });
    await service().request("POST", "/v1/keys", { name: "other" });
    const encrypt = (name: string): Promise<Answer> =>
      service().request("POST", `/v1/encrypt/${name}`, { plaintext: "x" }, { token });
    assert.equal((await encrypt("app-1")).status, 200);
    assert.equal((await encrypt("other")).json["code"], "forbidden");
  });

  test("is refused where no rule fits it, like what is no token", async () => {
    const stranger = await whoami(service(), await signToken(key, { iss: issuer.url, sub: "stranger" }));
    const nonsense = await whoami(service(), "nonsense");
    const stripped = ({ text }: Answer): string => text.replace(/"request_id":"[^"]*"/, "");
    assert.equal(stranger.status, 401);
    assert.equal(stripped(stranger), stripped(nonsense));
  });

  test("is refused where its times, audience, subject or issuer are not right", async () => {
    const now = Math.floor(Date.now() / 1000);
    const wrong: [string, Record<string, unknown>][] = [
      ["expired", { iat: now - 600, exp: now - 1 }],
      ["without end", { exp: undefined }],
      ["without a time of issue", { iat: undefined }],
      ["issued in the future", { iat: now + 120, exp: now + 600 }],
      ["not valid yet", { nbf: now + 120 }],
      ["of a life too long", { exp: now + 25 * 3600 }],
      ["with an end that is no number", { exp: String(now + 600) }],
      ["for another audience", { aud: "others" }],
      ["for a longer audience", { aud: "keystead2" }],
      ["for no audience", { aud: undefined }],
      ["for a list of other audiences", { aud: ["a", "b"] }],
      ["without a subject", { sub: undefined }],
      ["with an empty subject", { sub: "" }],
      ["with a long subject", { sub: "s".repeat(257) }],
      ["with a list of subjects", { sub: ["somebody"] }],
      ["of an unknown issuer", { iss: "https://other.example.com" }],
      ["of an issuer with a slash more", { iss: `${issuer.url}/` }],
      ["of no issuer", { iss: undefined }],
    ];
    for (const [what, claims] of wrong)
      await refuses(service(), await signToken(key, { iss: issuer.url, ...claims }), what);
    // The clock may be a minute behind, and one of several audiences suffices.
    const fine = { iss: issuer.url, iat: now + 30, nbf: now + 30, aud: ["others", "keystead"] };
    assert.equal((await whoami(service(), await signToken(key, fine))).status, 200);
  });

  test("is refused with another signature, algorithm, type or key than the issuer's", async () => {
    const good = await signToken(key, { iss: issuer.url });
    const [head = "", body = "", signature = ""] = good.split(".");
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer.url, aud: "keystead", sub: "somebody", iat: now, exp: now + 600 };
    const strangerKey = await makeSigningKey("ES256", "k1");
    const forged: [string, string][] = [
      ["another's key under the same name", await signToken(strangerKey, { iss: issuer.url })],
      ["none", compact({ alg: "none", typ: "JWT" }, claims, new Uint8Array(0))],
      [
        "none with a signature",
        compact({ alg: "none", kid: "k1" }, claims, Buffer.from(signature, "base64url")),
      ],
      ["no signature", `${head}.${body}.`],
      [
        "an altered claim",
        `${head}.${Buffer.from(JSON.stringify({ ...claims, exp: now + 900 })).toString("base64url")}.${signature}`,
      ],
      [
        "an altered signature",
        `${head}.${body}.${signature.slice(0, -2)}${signature.endsWith("AA") ? "BA" : "AA"}`,
      ],
      [
        "an algorithm that the issuer does not use",
        await signToken(await makeSigningKey("RS256", "k1"), { iss: issuer.url }),
      ],
      ["a critical header", await signToken(key, { iss: issuer.url }, { crit: ["b64"], b64: true })],
      ["another type", await signToken(key, { iss: issuer.url }, { typ: "secevent+jwt" })],
      ["a signup's type", await signToken(key, { iss: issuer.url }, { typ: "keystead-signup+jwt" })],
      ["four parts", `${good}.x`],
      [
        "a key of its own in the header",
        await signToken({ ...strangerKey, kid: undefined }, { iss: issuer.url }, { jwk: strangerKey.jwk }),
      ],
    ];
    for (const [what, token] of forged) await refuses(service(), token, what);
    // The issuer's public key as the secret of a shared-secret algorithm, in every form it could be taken in.
    const jwk = key.jwk;
    for (const secret of [
      JSON.stringify(jwk),
      Buffer.concat([
        Buffer.from([4]),
        Buffer.from(jwk.x ?? "", "base64url"),
        Buffer.from(jwk.y ?? "", "base64url"),
      ]),
      Buffer.from(jwk.x ?? "", "base64url"),
    ]) {
      for (const alg of ["HS256", "HS384", "HS512"]) {
        const input = compact({ alg, kid: "k1", typ: "JWT" }, claims, new Uint8Array(0)).slice(0, -1);
        const mac = createHmac(alg.replace("HS", "sha"), secret).update(input).digest("base64url");
        await refuses(service(), `${input}.${mac}`, alg);
      }
    }
    assert.equal((await whoami(service(), good)).status, 200);
  });

  test("is not taken for one of the shared secret, nor the other way round", async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: "somebody", role: "admin", iat: now, exp: now + 60 };
    const mac = (all: object): string => {
      const input = compact({ alg: "HS256", typ: "JWT" }, all, new Uint8Array(0)).slice(0, -1);
      const secret = "0123456789abcdef0123456789abcdef";
      return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
    };
    assert.equal((await whoami(service(), mac(claims))).json["caller"], "jwt:somebody");
    await refuses(
      service(),
      mac({ ...claims, iss: issuer.url, aud: "keystead" }),
      "HS256 that states the issuer",
    );
    await refuses(
      service(),
      await signToken(key, { ...claims, iss: undefined }),
      "the issuer's key without its name",
    );
  });

  test("is refused from one issuer where it states another", async () => {
    const otherKey = await makeSigningKey("ES256", "k1");
    await using other = await startIssuer([otherKey]);
    await register(service(), "other", { issuer: other.url });
    assert.equal((await whoami(service(), await signToken(otherKey, { iss: other.url }))).status, 200);
    await refuses(
      service(),
      await signToken(otherKey, { iss: issuer.url }),
      "other's key, this issuer's name",
    );
    await refuses(service(), await signToken(key, { iss: other.url }), "this issuer's key, other's name");
  });

  test("with a subject of odd characters is told apart in the audit log, and cannot break its lines", async () => {
    await register(service(), "odd", {
      issuer: `${issuer.url}/odd`,
      key_source: { from: "pinned", jwks: { keys: [key.jwk] } },
      rules: [{ when: [{ claim: "ok", equals: true }], bindings: [{ role: "reader", project: "*" }] }],
    });
    const labels = new Set<unknown>();
    const subjects = ["a b", "a%20b", "a\nb", "ä", "a~b", "x".repeat(256), `${"x".repeat(255)}y`, "\ud800"];
    for (const sub of subjects) {
      const answer = await whoami(
        service(),
        await signToken(key, { iss: `${issuer.url}/odd`, sub, ok: true }),
      );
      assert.equal(answer.status, 200, sub);
      const label = String(answer.json["caller"]);
      assert.match(label, /^external:odd:[!-~]{1,96}$/);
      labels.add(label);
    }
    assert.equal(labels.size, subjects.length);
  });
});

describe("every algorithm that an issuer may use", () => {
  const service = serviceFor(() => startDev(behindProxy));
  for (const algorithm of issuerAlgorithms) {
    test(`${algorithm}: the right key verifies, and a key of another sort does not`, async () => {
      const key = await makeSigningKey(algorithm, "k");
      const url = `https://${algorithm.toLowerCase()}.example.com`;
      await register(service(), algorithm.toLowerCase(), {
        issuer: url,
        algorithms: [algorithm],
        key_source: { from: "pinned", jwks: { keys: [key.jwk] } },
      });
      assert.equal((await whoami(service(), await signToken(key, { iss: url }))).status, 200);
      const another = await makeSigningKey(algorithm === "ES256" ? "ES384" : "ES256", "k");
      await refuses(service(), await signToken(another, { iss: url }), algorithm);
    });
  }
});

describe("the tokens that people really bring", () => {
  const service = serviceFor(() => startDev(behindProxy));
  let key: SigningKey;
  let pinned: object;
  before(async () => {
    key = await makeSigningKey("RS256", "k1");
    pinned = { from: "pinned", jwks: { keys: [key.jwk] } };
  });

  test("a GitHub Actions job of one branch gets in, and one of a fork or another branch does not", async () => {
    const iss = "https://token.actions.githubusercontent.com";
    await register(service(), "github", {
      issuer: iss,
      audiences: ["https://kms.example.com"],
      algorithms: ["RS256"],
      key_source: pinned,
      rules: [
        {
          when: [
            { claim: "sub", equals: "repo:acme/api:ref:refs/heads/main" },
            { claim: "repository_id", equals: "74" },
          ],
          bindings: [{ role: "signer", project: "default", pattern: "release-*" }],
        },
        {
          when: [{ claim: "sub", matches: "repo:acme/api:environment:*" }],
          bindings: [{ role: "reader", project: "default" }],
        },
      ],
    });
    const job = (claims: object): Promise<string> =>
      signToken(key, {
        iss,
        aud: "https://kms.example.com",
        sub: "repo:acme/api:ref:refs/heads/main",
        repository: "acme/api",
        repository_id: "74",
        repository_owner: "acme",
        ref: "refs/heads/main",
        workflow: "release",
        jti: "example-id",
        ...claims,
      });
    const roles = async (claims: object): Promise<unknown> => {
      const { json } = await whoami(service(), await job(claims));
      return (json["bindings"] as { role: string }[] | undefined)?.map(({ role }) => role);
    };
    assert.deepEqual(await roles({}), ["signer"]);
    assert.deepEqual(await roles({ sub: "repo:acme/api:environment:prod" }), ["reader"]);
    assert.equal(await roles({ sub: "repo:acme/api:ref:refs/heads/feature" }), undefined);
    assert.equal(await roles({ sub: "repo:mallory/api:ref:refs/heads/main" }), undefined);
    assert.equal(await roles({ repository_id: "75" }), undefined);
    assert.equal(await roles({ repository_id: 74 }), undefined);
    assert.equal(await roles({ sub: "repo:acme/api:pull_request" }), undefined);
  });

  test("a Kubernetes service account gets in by its nested claims", async () => {
    const iss = "https://kubernetes.default.svc.cluster.local";
    await register(service(), "cluster", {
      issuer: iss,
      algorithms: ["RS256"],
      key_source: pinned,
      rules: [
        {
          when: [
            { claim: "/kubernetes.io/namespace", equals: "shop" },
            { claim: "/kubernetes.io/serviceaccount/name", equals: "api" },
          ],
          bindings: [{ role: "operator", project: "default" }],
        },
      ],
    });
    const pod = (namespace: string, name: string): Promise<string> =>
      signToken(
        key,
        {
          iss,
          aud: ["keystead"],
          sub: `system:serviceaccount:${namespace}:${name}`,
          "kubernetes.io": {
            namespace,
            pod: { name: "api-0", uid: "u" },
            serviceaccount: { name, uid: "v" },
          },
        },
        { typ: undefined },
      );
    const { json } = await whoami(service(), await pod("shop", "api"));
    assert.equal(json["caller"], "external:cluster:system:serviceaccount:shop:api");
    await refuses(service(), await pod("shop", "web"), "another service account");
    await refuses(service(), await pod("other", "api"), "another namespace");
  });

  test("people of an OpenID Connect provider get in by group, or as the accounts that their names lead to", async () => {
    const iss = "https://login.example.com/realms/acme";
    await service().request("POST", "/v1/accounts", { name: "alice", kind: "person" });
    await service().request("POST", "/v1/accounts/alice/bindings", { role: "admin", project: "default" });
    await register(service(), "sso", {
      issuer: iss,
      algorithms: ["RS256"],
      key_source: pinned,
      rules: [
        {
          when: [
            { claim: "email_verified", equals: true },
            { claim: "groups", equals: "kms-admins" },
          ],
          account: "{preferred_username}",
        },
        {
          when: [{ claim: "groups", matches: "kms-*" }],
          bindings: [{ role: "reader", project: "default" }],
        },
      ],
    });
    const person = async (claims: object): Promise<Answer["json"]> =>
      (await whoami(service(), await signToken(key, { iss, sub: "f3a1", email_verified: true, ...claims })))
        .json;
    const alice = await person({ preferred_username: "alice", groups: ["staff", "kms-admins"] });
    assert.equal(alice["caller"], "person:alice");
    assert.equal(alice["authenticated_by"], "issuer");
    // Names are neither folded nor trimmed, and what is no account is nobody.
    for (const preferred_username of ["Alice", " alice", "alice\u0000", "bob", "", 7, ["alice"]]) {
      const answer = await person({ preferred_username, groups: ["kms-admins"] });
      assert.notEqual(answer["caller"], "person:alice", String(preferred_username));
    }
    const reader = await person({ preferred_username: "alice", groups: "kms-users" });
    assert.equal(reader["caller"], "external:sso:f3a1");
    assert.deepEqual(
      (reader["bindings"] as { role: string }[]).map(({ role }) => role),
      ["reader"],
    );
    assert.equal((await person({ groups: ["staff"] }))["code"], "unauthenticated");
    // Who is disabled is nobody, and who has the name now is meant: for a token that was seen before and for another.
    const asAlice = { preferred_username: "alice", groups: ["kms-admins"] };
    const seen = await signToken(key, { iss, sub: "f3a1", email_verified: true, ...asAlice });
    const both = async (): Promise<unknown[]> => [
      (await whoami(service(), seen)).json["caller"],
      (await person(asAlice))["caller"],
    ];
    assert.deepEqual(await both(), ["person:alice", "person:alice"]);
    const change = (method: string, path: string, body?: object): Promise<Answer> =>
      service().request(method, `/v1/accounts${path}`, body);
    await change("POST", "/alice/disable", {});
    assert.deepEqual(await both(), [undefined, undefined]);
    await change("POST", "/alice/enable", {});
    assert.deepEqual(await both(), ["person:alice", "person:alice"]);
    await change("DELETE", "/alice");
    assert.deepEqual(await both(), [undefined, undefined]);
    await change("POST", "", { name: "alice", kind: "service" });
    assert.deepEqual(await both(), ["service:alice", "service:alice"]);
    await change("POST", "/alice/bindings", { role: "admin", project: "default" });
    // What the account loses, the token loses.
    const { json } = await service().request("GET", "/v1/accounts/alice");
    const [binding] = json["bindings"] as { id: string }[];
    await service().request("DELETE", `/v1/accounts/alice/bindings/${binding?.id ?? ""}`);
    const later = await person({ preferred_username: "alice", groups: ["staff", "kms-admins"] });
    assert.deepEqual(later["bindings"], []);
  });
});

describe("an issuer", () => {
  const service = serviceFor(() => startDev(behindProxy));
  let key: SigningKey;
  before(async () => {
    key = await makeSigningKey("ES256", "k1");
  });

  test("that is disabled, changed or deleted is so for the next request of a token taken before", async () => {
    await using issuer = await startIssuer([key]);
    await register(service(), "changing", { issuer: issuer.url });
    const token = await signToken(key, { iss: issuer.url });
    const patch = async (body: object): Promise<number> => {
      const answer = await service().request("PATCH", "/v1/issuers/changing", body);
      assert.equal(answer.status, 200, answer.text);
      return (await whoami(service(), token)).status;
    };
    assert.equal((await whoami(service(), token)).status, 200);
    for (const [change, back] of [
      [{ enabled: false }, { enabled: true }],
      [{ audiences: ["others"] }, { audiences: ["keystead"] }],
      [{ algorithms: ["RS256"] }, { algorithms: ["ES256"] }],
      [{ rules: [] }, { rules: [operatorRule] }],
      [{ max_lifetime_seconds: 60 }, { max_lifetime_seconds: 3600 }],
      [{ subject_claim: "email" }, { subject_claim: "sub" }],
      [{ key_source: { from: "url", url: `${issuer.url}/none` } }, { key_source: { from: "discovery" } }],
    ] as const) {
      assert.equal(await patch(change), 401, JSON.stringify(change));
      assert.equal(await patch(back), 200, JSON.stringify(back));
    }
    assert.equal((await service().request("DELETE", "/v1/issuers/changing")).status, 204);
    await refuses(service(), token, "deleted");
  });

  test("is the only one of its name and of its tokens", async () => {
    const settings = {
      issuer: "https://one.example.com",
      key_source: { from: "pinned", jwks: { keys: [key.jwk] } },
    };
    await register(service(), "one", settings);
    for (const [name, issuer] of [
      ["one", "https://two.example.com"],
      ["two", "https://one.example.com"],
    ]) {
      const body = { ...settings, name, issuer, audiences: ["a"], rules: [] };
      const answer = await service().request("POST", "/v1/issuers", body);
      assert.equal(answer.json["code"], "issuer_exists");
    }
  });

  test("is refused with what could not be meant", async () => {
    const { d } = { d: "private" };
    const wrong: [string, object][] = [
      ["issuer", { issuer: "http://plain.example.com" }],
      ["issuer", { issuer: "https://user:secret@example.com" }],
      ["issuer", { issuer: "https://example.com/?x=1" }],
      ["issuer", { issuer: "example.com" }],
      ["algorithms", { algorithms: ["HS256"] }],
      ["algorithms", { algorithms: ["none"] }],
      ["algorithms", { algorithms: [] }],
      ["audiences", { audiences: [] }],
      ["key_source", { key_source: { from: "url", url: "http://10.0.0.1/keys" } }],
      ["key_source", { key_source: { from: "pinned", jwks: { keys: [{ ...key.jwk, d }] } } }],
      ["key_source", { key_source: { from: "pinned", jwks: { keys: [{ kty: "oct", k: "c2VjcmV0" }] } } }],
      ["key_source", { key_source: { from: "pinned", jwks: { keys: [] } } }],
      ["ca_pem", { ca_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }],
      ["rules", { rules: [{ when: [], bindings: operatorRule.bindings }] }],
      ["rules", { rules: [{ when: [{ claim: "sub", matches: "**" }], bindings: operatorRule.bindings }] }],
      ["rules", { rules: [{ when: operatorRule.when, bindings: [] }] }],
      ["rules", { rules: [{ when: operatorRule.when, account: "{a}{b}" }] }],
      ["rules", { rules: [{ ...operatorRule, account: "x" }] }],
      ["subject_claim", { subject_claim: "/" }],
      ["max_lifetime_seconds", { max_lifetime_seconds: 1e9 }],
    ];
    for (const [field, settings] of wrong) {
      const body = {
        name: "wrong",
        issuer: "https://w.example.com",
        audiences: ["a"],
        rules: [],
        ...settings,
      };
      const answer = await service().request("POST", "/v1/issuers", body);
      assert.equal(answer.json["code"], "invalid_body", JSON.stringify(settings));
      assert.equal(answer.json["field"], field, JSON.stringify(settings));
    }
    for (const [binding, code] of [
      [{ role: "no-role", project: "default" }, "role_not_found"],
      [{ role: "reader", project: "no-project" }, "project_not_found"],
    ] as const) {
      const rules = [{ when: operatorRule.when, bindings: [binding] }];
      const body = { name: "wrong", issuer: "https://w.example.com", audiences: ["a"], rules };
      assert.equal((await service().request("POST", "/v1/issuers", body)).json["code"], code);
    }
  });

  test("over TLS is trusted by its own certificate authority where one is given, and by no other", async () => {
    const certificate = makeCertificate("ecdsa", 7);
    await using issuer = await startIssuer([key], certificate);
    await using server = await startServer(behindProxy);
    const admin = await server.token("admin", { project: "*" });
    await register(server, "untrusted", { issuer: issuer.url }, admin);
    const token = await signToken(key, { iss: issuer.url });
    await refuses(server, token, "a certificate that nobody vouches for");
    assert.match(server.logLines.join(""), /the keys of an issuer cannot be fetched.*untrusted/);
    const caPem = readFileSync(certificate.certFile, "utf8");
    const patch = (body: object): Promise<Answer> =>
      server.request("PATCH", "/v1/issuers/untrusted", body, { token: admin });
    assert.equal((await patch({ ca_pem: caPem })).status, 200);
    assert.equal((await whoami(server, token)).status, 200);
    assert.equal((await patch({ ca_pem: null })).status, 200);
    await refuses(server, token, "its own authority taken away");
    // Server mode asks nobody without TLS.
    const plain = { name: "plain", issuer: "http://127.0.0.1:1", audiences: ["a"], rules: [] };
    assert.equal((await server.request("POST", "/v1/issuers", plain, { token: admin })).status, 400);
  });
});
