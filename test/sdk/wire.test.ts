/** The wire's types are written by hand in the client: here they are held to the service's own description. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import type { z } from "zod";
import * as wire from "../../sdk/wire.ts";
import type { keyAnswer } from "../../src/http/native/shown-key.ts";
import { serviceFor, startDev } from "../harness.ts";

/** Fails to compile where the two are not each other. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Shown = z.output<typeof keyAnswer>;
const sameMembers: Same<keyof wire.Key, keyof Shown> = true;
const sameTypes: [
  Same<wire.Key["type"], Shown["type"]>,
  Same<wire.Key["state"], Shown["state"]>,
  Same<wire.Key["purpose"], Shown["purpose"]>,
  Same<wire.KeyVersion["state"], Shown["versions"][number]["state"]>,
] = [true, true, true, true];

/** The names of all members of a type: fails to compile where one is missing or too many. */
const members =
  <T>() =>
  <K extends readonly (keyof T & string)[]>(
    names: K & ([keyof T] extends [K[number]] ? unknown : never),
  ): readonly string[] =>
    names;

interface Schema {
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
}

describe("the client's lists of names", () => {
  const service = serviceFor(() => startDev());
  let paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  before(async () => {
    const { json } = await service().request("GET", "/openapi.json");
    paths = (json as { paths: typeof paths }).paths;
  });

  const operation = (method: string, path: string): Operation => {
    const found = paths[path]?.[method];
    assert.ok(found, path);
    return found;
  };
  const field = (method: string, path: string, name: string): Schema | undefined =>
    operation(method, path).requestBody?.content["application/json"]?.schema.properties?.[name];
  const query = (path: string, name: string): Schema | undefined =>
    operation("get", path).parameters?.find((parameter) => parameter.name === name)?.schema;
  const answer = (path: string): Schema | undefined =>
    operation("get", path).responses["200"]?.content?.["application/json"]?.schema;

  test("are those of the API's description: types, purposes, states, formats, schemes, roles, kinds", () => {
    const key = answer("/v1/keys/{name}")?.properties;
    const project = answer("/v1/projects")?.properties?.["projects"]?.items?.properties;
    const explanation = operation("post", "/v1/can").responses["200"]?.content?.["application/json"]?.schema;
    const lists: [string, readonly string[], Schema | undefined][] = [
      ["types to make", wire.keyTypes, field("post", "/v1/keys", "type")],
      ["types to import", wire.keyTypes, field("post", "/v1/keys/{name}/import", "type")],
      ["types to list", wire.keyTypes, query("/v1/keys", "type")],
      ["types shown", wire.keyTypes, key?.["type"]],
      ["purposes", wire.keyPurposes, field("post", "/v1/keys", "purpose")],
      ["purposes shown", wire.keyPurposes, key?.["purpose"]],
      ["states to list", wire.keyStates, query("/v1/keys", "state")],
      ["states shown", wire.keyStates, key?.["state"]],
      ["version states", wire.keyVersionStates, key?.["versions"]?.items?.properties?.["state"]],
      ["project states", wire.projectStates, project?.["state"]],
      ["formats to import", wire.keyFormats, field("post", "/v1/keys/{name}/import", "format")],
      ["formats to export", wire.keyFormats, field("post", "/v1/keys/{name}/export", "format")],
      ["schemes", wire.signatureSchemes, field("post", "/v1/keys/{name}/sign", "scheme")],
      ["encodings", wire.signatureEncodings, field("post", "/v1/keys/{name}/sign", "encoding")],
      ["algorithms", wire.issuerAlgorithms, field("post", "/v1/issuers", "algorithms")?.items],
      ["verdicts", wire.policyVerdicts, explanation?.properties?.["verdict"]],
      ["account states", wire.accountStates, answer("/v1/accounts/{name}")?.properties?.["state"]],
      [
        "barrier key states",
        wire.barrierKeyStates,
        answer("/v1/barrier")?.properties?.["keys"]?.items?.properties?.["state"],
      ],
      ["account kinds", wire.accountKinds, field("post", "/v1/accounts", "kind")],
    ];
    for (const [what, ours, theirs] of lists) assert.deepEqual(theirs?.enum, [...ours], what);
    const lengths = field("post", "/v1/keys/{name}/data-key", "bytes");
    const allowed = lengths?.anyOf?.map((one) => one.const);
    assert.deepEqual(allowed, [...wire.dataKeyLengths]);
  });

  test("of built-in roles are those that the service lists", async () => {
    const { json } = await service().request("GET", "/v1/roles");
    const listed = (json["roles"] as wire.Role[]).filter(({ built_in: builtIn }) => builtIn);
    assert.deepEqual(
      listed.map(({ name }) => name),
      [...wire.roleNames],
    );
  });

  test("and a key has the members that the service shows, of the same types", () => {
    assert.equal(sameMembers, true);
    assert.ok(sameTypes.every(Boolean));
  });

  test("and what else the service answers with has the members that the client says", () => {
    const at = (method: string, path: string, status: string): Schema | undefined =>
      operation(method, path).responses[status]?.content?.["application/json"]?.schema;
    const listed = (path: string, name: string): Schema | undefined =>
      answer(path)?.properties?.[name]?.items;
    const version = ["ciphertext", "version"] as const;
    const token = ["id", "label", "created_at", "expires_at"] as const;
    const account = ["id", "name", "kind", "state", "created_at"] as const;
    const answers: [string, readonly string[], Schema | undefined][] = [
      [
        "a key's version",
        members<wire.KeyVersion>()(["version", "created_at", "state"]),
        answer("/v1/keys/{name}")?.properties?.["versions"]?.items,
      ],
      [
        "a revoked key",
        members<wire.KeyRevoked>()(["status", "name", "revoked_at"]),
        at("post", "/v1/keys/{name}/revoke", "200"),
      ],
      [
        "a public key",
        members<wire.PublicKey>()(["version", "public_key_pem", "jwk"]),
        answer("/v1/keys/{name}/public-key"),
      ],
      [
        "what was encrypted",
        members<wire.Encrypted>()(["ciphertext", "version", "nonce_b64", "data_b64"]),
        at("post", "/v1/encrypt/{name}", "200"),
      ],
      [
        "what was re-encrypted",
        members<wire.Ciphered>()(version),
        at("post", "/v1/keys/{name}/reencrypt", "200"),
      ],
      [
        "a verification",
        members<wire.Verified>()(["valid", "version"]),
        at("post", "/v1/keys/{name}/verify", "200"),
      ],
      [
        "a listed secret",
        members<wire.SecretListed>()(["name", "created_at", "updated_at", "latest_version"]),
        listed("/v1/secrets", "secrets"),
      ],
      [
        "a project",
        members<wire.Project>()(["id", "name", "state", "created_at", "deletion_at"]),
        listed("/v1/projects", "projects"),
      ],
      ["a listed account", members<wire.AccountListed>()(account), listed("/v1/accounts", "accounts")],
      ["an account", members<wire.Account>()([...account, "bindings"]), answer("/v1/accounts/{name}")],
      [
        "a binding",
        members<wire.RoleBinding>()(["id", "role", "project", "pattern"]),
        answer("/v1/accounts/{name}")?.properties?.["bindings"]?.items,
      ],
      ["a listed token", members<wire.TokenListed>()(token), listed("/v1/accounts/{name}/tokens", "tokens")],
      [
        "a token",
        members<wire.TokenCreated>()([...token, "token"]),
        at("post", "/v1/accounts/{name}/tokens", "201"),
      ],
      [
        "the caller",
        members<wire.Caller>()([
          "kind",
          "caller",
          "account_id",
          "authenticated_by",
          "expires_at",
          "issuer",
          "subject",
          "bindings",
        ]),
        answer("/v1/whoami"),
      ],
    ];
    for (const [what, ours, theirs] of answers) {
      assert.deepEqual(Object.keys(theirs?.properties ?? {}).sort(), [...ours].sort(), what);
    }
  });
});
