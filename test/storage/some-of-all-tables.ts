/**
 * Two of everything that has sealed rows, and what is asked about them: a test edits or rewraps the rows in between.
 * Invariant: an answer to a question says what was found, never when, so that it is the same until something changes.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { ComposeOptions } from "../../src/compose.ts";
import type { TableName } from "../../src/storage/schema.ts";
import type { Answer, RequestOptions, TestService } from "../harness.ts";
import { cheap } from "../identity/cheap-hash.ts";

const JWT_SECRET = "a-shared-secret-of-at-least-32-bytes";
const GO_PASSWORD = "Correct-horse-9";
/** Of a request that comes without a token. */
const nobody: RequestOptions = {};
const passwordOf = (who: string): string => `the password of ${who}`;

/** What the service has to be started with. */
export const allTables: { settings: Record<string, string>; options: ComposeOptions } = {
  settings: { KEYSTEAD_FACADES: "mini-kms,go-kms", KEYSTEAD_JWT_SECRET: JWT_SECRET },
  options: { passwordCost: cheap },
};

export interface Question {
  /** All tables whose rows the answer depends on. */
  readonly about: readonly TableName[];
  readonly what: string;
  /** Asking changes something, so that the answer is another one the next time. */
  readonly once?: true;
  ask(at: TestService): Promise<Found>;
}

export interface Found {
  readonly status: number;
  /** What the answer says of the thing; the code of a refusal. */
  readonly shown: string;
}

export interface AllTables {
  readonly admin: string;
  readonly questions: readonly Question[];
  /** Changes one of everything that can change, so that its row has a later revision. */
  change(at: TestService): Promise<void>;
}

/** Makes it all. */
export async function someOfAllTables(service: TestService): Promise<AllTables> {
  const admin = await service.token("admin", { project: "*" });
  const must = async (
    method: string,
    path: string,
    body?: unknown,
    options: RequestOptions = {},
  ): Promise<Answer["json"]> => {
    const answer = await service.request(method, path, body, { token: admin, ...options });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
    return answer.json;
  };
  const questions: Question[] = [];
  const ask = (
    about: readonly TableName[],
    request: readonly [method: string, path: string, body?: unknown, options?: RequestOptions],
    show: (json: Answer["json"]) => unknown = () => "",
    once = false,
  ): void => {
    const [method, path, body, options] = request;
    const isAdmins = options !== nobody && options?.token === undefined;
    const asked: readonly TableName[] = isAdmins ? ["accounts", "tokens", "projects"] : [];
    questions.push({
      about: [...about, ...asked],
      what: `${method} ${path} ${JSON.stringify(body ?? "")}`,
      ...(once ? { once } : {}),
      async ask(at) {
        const { status, json, text } = await at.request(method, path, body, {
          ...(isAdmins ? { token: admin } : {}),
          ...options,
        });
        // Not every facade's refusal is JSON.
        const shown = status < 300 ? JSON.stringify(show(json)) : /"code":"(\w+)"/.exec(text)?.[1];
        return { status, shown: shown ?? "" };
      },
    });
  };

  for (const one of ["a", "b"]) {
    // Projects, keys, their versions, secrets and theirs.
    await must("POST", "/v1/projects", { name: `project-${one}` });
    const inside = { project: `project-${one}` };
    await must("POST", "/v1/keys", { name: `inside-${one}` }, inside);
    ask(["projects", "keys"], ["GET", `/v1/keys/inside-${one}`, undefined, inside], ({ id }) => id);
    await must("POST", "/v1/keys", { name: `key-${one}` });
    const { ciphertext } = await must("POST", `/v1/encrypt/key-${one}`, { plaintext: one });
    ask(["keys"], ["GET", `/v1/keys/key-${one}`], ({ id, state }) => [id, state]);
    ask(
      ["keys", "key_versions"],
      ["POST", `/v1/decrypt/key-${one}`, { ciphertext }],
      (json) => json["plaintext"],
    );
    ask(["keys", "key_versions"], ["POST", `/v1/encrypt/key-${one}`, { plaintext: one }]);
    await must("POST", "/v1/secrets", { name: `secret-${one}`, value: one });
    ask(["secrets", "secret_versions"], ["GET", `/v1/secrets/secret-${one}`], ({ value }) => value);

    // Accounts, roles, API tokens, passwords, sessions.
    const person = `person-${one}`;
    await must("POST", "/v1/accounts", { name: person, kind: "person" });
    const scopes = [one === "a" ? "kms:encrypt" : "kms:decrypt"];
    await must("POST", "/v1/roles", { name: `role-${one}`, statements: [{ effect: "allow", scopes }] });
    await must("POST", `/v1/accounts/${person}/bindings`, { role: `role-${one}`, project: "default" });
    await must("POST", `/v1/accounts/${person}/password`, { password: passwordOf(one) });
    const { token } = await must("POST", `/v1/accounts/${person}/tokens`, {});
    const login = { account: person, password: passwordOf(one) };
    const { token: access, refresh_token } = await must("POST", "/v1/login", login);
    const bearers: readonly (readonly [TableName[], unknown])[] = [
      [["tokens", "accounts"], token],
      [["sessions", "accounts", "signing_keys"], access],
    ];
    for (const [about, bearer] of bearers) {
      const options = { token: String(bearer) };
      ask(about, ["GET", "/v1/whoami", undefined, options], (json) => json["caller"]);
      // One of the two only may do the first, by its role; neither the second.
      const rights: TableName[] = [...about, "roles", "projects"];
      ask([...rights, "keys", "key_versions"], ["POST", "/v1/encrypt/key-b", { plaintext: "x" }, options]);
      ask(rights, ["POST", "/v1/keys", { name: "never" }, options]);
    }
    for (const whose of ["a", "b"]) {
      const tried = { account: person, password: passwordOf(whose) };
      ask(["passwords", "accounts", "signing_keys"], ["POST", "/v1/login", tried, nobody]);
    }
    ask(["roles"], ["GET", `/v1/roles/role-${one}`], ({ name, statements }) => [name, statements]);
    const refresh = { refresh_token };
    ask(
      ["sessions", "accounts", "signing_keys"],
      ["POST", "/v1/login/refresh", refresh, nobody],
      ({ account }) => account,
      true,
    );

    // Signups: one invites a person without rights, the other a service that may read.
    const kind = one === "a" ? "person" : "service";
    const bindings = one === "a" ? [] : [{ role: "reader", project: "default" }];
    const signup = await must("POST", "/v1/signups", { name: `invited-${one}`, kind, bindings });
    const redeemed = { token: signup["token"], password: passwordOf(one) };
    ask(["signups"], ["GET", "/v1/signups"], ({ signups }) =>
      (signups as { name: string; kind: string }[]).map((row) => [row.name, row.kind]).sort(),
    );
    ask(
      ["signups", "signing_keys"],
      ["POST", "/v1/signup", redeemed, nobody],
      ({ account }) => account,
      true,
    );

    // External issuers and revocations of tokens by a shared secret.
    const issuer = `https://${one}.example.com`;
    await must("POST", "/v1/issuers", { name: `issuer-${one}`, issuer, audiences: [one], rules: [] });
    ask(["issuers"], ["GET", `/v1/issuers/issuer-${one}`], (json) => [json["issuer"], json["audiences"]]);
    const issuedBefore = one === "a" ? 1000 : 1_500_000_000;
    await must("POST", "/v1/jwt-revocations", { sub: `subject-${one}`, issued_before: issuedBefore });
    ask(["jwt_revocations"], ["GET", "/v1/whoami", undefined, { token: signedFor(`subject-${one}`) }]);

    // What was sent before under an idempotency key.
    const keyed = { headers: { "idempotency-key": `once-${one}` } };
    await must("POST", "/v1/keys", { name: `keyed-${one}` }, keyed);
    ask(["idempotency", "keys"], ["POST", "/v1/keys", { name: `keyed-${one}` }, keyed], ({ id }) => id);

    // Other names of keys, and a holder's credentials.
    const { kid } = await must("POST", "/key/generate", { alg: "ed25519" });
    ask(["key_aliases", "service_secrets", "keys"], ["GET", `/key/${String(kid)}`], ({ jwk }) => jwk);
    const kept = { ...empty, issuer_id: one, cred_value: { one }, record_id: one, given_id: `given-${one}` };
    await must("POST", "/vc-holder/store", kept);
    ask(
      ["credentials", "credential_values", "service_secrets"],
      ["GET", `/vc-holder/credential/record/${one}`],
      ({ issuer_id, cred_value, given_id }) => [issuer_id, cred_value, given_id],
    );
    ask(
      ["credentials", "credential_values", "service_secrets"],
      ["GET", `/vc-holder/credential/given/given-${one}`],
      ({ issuer_id, cred_value, given_id }) => [issuer_id, cred_value, given_id],
    );

    // Clients with a DEK each under the same reference.
    const { token: invitation } = await must("POST", "/auth/signup/generate", {
      clientname: `client-${one}`,
    });
    const made = await must("POST", "/auth/signup", { token: invitation, password: GO_PASSWORD });
    const asClient = { token: String(made["token"]) };
    await must("POST", "/keys/actions/generate", { keyReference: "ref" }, asClient);
    const loginTables: TableName[] = ["accounts", "sessions", "signing_keys"];
    ask(
      ["clients", "key_aliases", "keys", "key_versions", "projects", "service_secrets", ...loginTables],
      ["GET", "/keys/ref", undefined, asClient],
      ({ decryptWith }) => (decryptWith as { dek: string }).dek,
    );
    const client = { clientname: `client-${one}`, password: GO_PASSWORD };
    ask(["clients", "passwords", "service_secrets", ...loginTables], ["POST", "/auth/login", client, nobody]);
  }

  return {
    admin,
    questions,
    async change(at) {
      const post = async (path: string, body: unknown, method = "POST"): Promise<void> => {
        const answer = await at.request(method, path, body, { token: admin });
        assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
      };
      await post("/v1/projects/project-a/schedule-deletion", {});
      await post("/v1/keys/key-a/disable", {});
      await post("/v1/secrets", { name: "secret-a", value: "later" });
      await post("/v1/roles/role-a", { statements: [{ effect: "deny", scopes: ["kms:encrypt"] }] }, "PATCH");
      await post("/v1/issuers/issuer-a", { audiences: ["later"] }, "PATCH");
      await post("/v1/accounts/person-a/password", { password: "another password" });
      await post("/v1/accounts/person-b/disable", {});
      await post("/v1/jwt-revocations", { sub: "subject-a", issued_before: 1_500_000_000 });
    },
  };
}

const empty = { contexts: [], expanded_types: [], subject_ids: [], schema_ids: [], proof_types: [] };

/** A token of the shared secret, RFC 7519 with HS256. */
function signedFor(sub: string): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub, iat: 1_000_000_000, exp: 4_100_000_000, role: "reader" };
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", JWT_SECRET).update(text).digest("base64url")}`;
}
