/**
 * Idempotency keys at the facades: every row that takes one is asked twice under one, and what failed half-way is finished
 * under it.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { autoKms } from "../../src/facades/auto-kms/auto-kms.ts";
import { goKms } from "../../src/facades/go-kms/go-kms.ts";
import { miniKms } from "../../src/facades/mini-kms/mini-kms.ts";
import { rowKey } from "../../src/http/facade/facade.ts";
import { serviceFor, startServer, type Answer, type RequestOptions } from "../harness.ts";
import { GoKmsService, PASSWORD, type SignedUp } from "./go-kms-service.ts";

/** One request of a row. `is` tells what its second answer is where that is not the first once more. */
interface Sample {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly is?: "secret" | "nothing to do";
}

describe("under one idempotency key", () => {
  const service = serviceFor(() => startServer({ KEYSTEAD_FACADES: "auto-kms,mini-kms,go-kms" }));
  let token = "";
  let clients: GoKmsService | undefined;
  let last = 0;
  const fresh = (): string => `key-${++last}`;
  before(async () => {
    clients = await GoKmsService.of(service());
    token = await service().token("admin", { project: "*" });
  });
  const ask = (method: string, path: string, body?: unknown, options: RequestOptions = {}): Promise<Answer> =>
    service().request(method, path, body, { token, ...options });
  const under = (key: string): RequestOptions => ({ headers: { "idempotency-key": key } });
  const made = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await ask("POST", path, body);
    assert.ok(answer.status < 300, answer.text);
    return answer.json;
  };
  const key = async (name = fresh()): Promise<string> =>
    String((await made("/kms/Key", { name, algorithm: "AES256_GCM" }))["id"]);
  /** The id of a key's first version, which is not its primary one. */
  const version = async (): Promise<string> => {
    const id = await key();
    assert.equal((await ask("POST", `/kms/Key/${id}/rotate`)).status, 201);
    return `${id.slice(0, -8)}00000001`;
  };
  const kid = async (): Promise<string> => String((await made("/key/generate", { alg: "ed25519" }))["kid"]);
  const credential = {
    contexts: [],
    expanded_types: [],
    issuer_id: "did:example:issuer",
    subject_ids: [],
    schema_ids: [],
    proof_types: [],
    cred_value: { a: 1 },
  };
  const goKmsService = (): GoKmsService => {
    assert.ok(clients);
    return clients;
  };
  const client = (): Promise<SignedUp> => goKmsService().client();
  const reference = async ({ token: theirs }: SignedUp): Promise<string> => {
    const keyReference = fresh();
    const answer = await ask("POST", "/keys/actions/generate", { keyReference }, { token: theirs });
    assert.equal(answer.status, 200, answer.text);
    return keyReference;
  };

  const samples: Readonly<Record<string, () => Promise<Sample>>> = {
    "POST /kms/Key": async () => ({
      method: "POST",
      path: "/kms/Key",
      body: [
        { name: fresh(), algorithm: "AES256_GCM", status: "disabled" },
        { name: fresh(), algorithm: "AES256_GCM" },
      ],
    }),
    "PATCH /kms/Key/{id}": async () => ({
      method: "PATCH",
      path: `/kms/Key/${await key()}`,
      body: { name: fresh(), status: "disabled" },
    }),
    "PUT /kms/Key/{id}": async () => ({
      method: "PUT",
      path: `/kms/Key/${await key()}`,
      body: { name: `${fresh()} ${fresh()}`, status: "enabled" },
    }),
    "DELETE /kms/Key/{id}": async () => ({ method: "DELETE", path: `/kms/Key/${await key()}` }),
    "PATCH /kms/Key": async () => ({
      method: "PATCH",
      path: "/kms/Key",
      body: [
        { id: await key(), status: "disabled" },
        { id: await key(), name: fresh() },
      ],
    }),
    "PUT /kms/Key": async () => ({
      method: "PUT",
      path: "/kms/Key",
      body: [
        { id: await key(), name: fresh(), status: "disabled" },
        { id: await key(), name: fresh(), status: "enabled" },
      ],
    }),
    "DELETE /kms/Key": async () => ({
      method: "DELETE",
      path: "/kms/Key",
      body: [await key(), { id: await key() }],
    }),
    "POST /kms/Key/{id}/rotate": async () => ({ method: "POST", path: `/kms/Key/${await key()}/rotate` }),
    "POST /kms/key_version": async () => ({
      method: "POST",
      path: "/kms/key_version",
      body: [
        { key_id: await key(), version: 2 },
        { key_id: await key(), version: 2, public_material_b64: Buffer.alloc(32, 7).toString("base64") },
      ],
    }),
    "DELETE /kms/key_version/{id}": async () => ({
      method: "DELETE",
      path: `/kms/key_version/${await version()}`,
    }),
    "DELETE /kms/key_version": async () => ({
      method: "DELETE",
      path: "/kms/key_version",
      body: [await version(), await version()],
    }),
    "POST /profile": async () => ({ method: "POST", path: "/profile", body: { name: fresh() } }),
    "DELETE /profile/{name}": async () => {
      const name = fresh();
      await made("/profile", { name });
      return { method: "DELETE", path: `/profile/${name}` };
    },
    "POST /key/generate": async () => ({ method: "POST", path: "/key/generate", body: { alg: "p256" } }),
    "POST /key/{kid}/associate": async () => ({
      method: "POST",
      path: `/key/${await kid()}/associate`,
      body: { alias: `did:example:${fresh()}` },
    }),
    "DELETE /key/{kid}": async () => ({ method: "DELETE", path: `/key/${await kid()}` }),
    "POST /vc-holder/store": async () => ({ method: "POST", path: "/vc-holder/store", body: credential }),
    "DELETE /vc-holder/credential/record/{record_id}": async () => {
      const { record_id: id } = await made("/vc-holder/store", credential);
      return { method: "DELETE", path: `/vc-holder/credential/record/${String(id)}` };
    },
    "POST /auth/signup/generate": async () => ({
      method: "POST",
      path: "/auth/signup/generate",
      body: { clientname: fresh() },
      is: "secret",
    }),
    "POST /auth/signup": async () => ({
      method: "POST",
      path: "/auth/signup",
      body: { token: await goKmsService().signupToken(fresh()), password: PASSWORD },
      is: "secret",
    }),
    "POST /auth/login": async () => ({
      method: "POST",
      path: "/auth/login",
      body: { clientname: (await client()).name, password: PASSWORD },
      is: "secret",
    }),
    "POST /keys/actions/generate": async () => ({
      method: "POST",
      path: "/keys/actions/generate",
      body: { keyReference: fresh() },
      token: (await client()).token,
      is: "secret",
    }),
    "POST /keys/{keyReference}/actions/rotate": async () => {
      const whose = await client();
      const path = `/keys/${await reference(whose)}/actions/rotate`;
      return { method: "POST", path, token: whose.token, is: "secret" };
    },
    "DELETE /keys/{keyReference}/actions/delete": async () => {
      const whose = await client();
      return { method: "DELETE", path: `/keys/${await reference(whose)}/actions/delete`, token: whose.token };
    },
    "POST /clients/{id}/role": async () => ({
      method: "POST",
      path: `/clients/${await goKmsService().numberOf((await client()).name)}/role`,
      body: { role: "admin" },
    }),
    "DELETE /clients/{id}": async () => ({
      method: "DELETE",
      path: `/clients/${await goKmsService().numberOf((await client()).name)}`,
    }),
  };

  test("every row that changes something has a sample", () => {
    const rows = [autoKms, miniKms, goKms].flatMap(({ routes }) =>
      routes.filter(({ operation }) => operation?.replay !== undefined).map(rowKey),
    );
    assert.deepEqual(Object.keys(samples).sort(), rows.sort());
  });

  for (const [row, sample] of Object.entries(samples)) {
    test(`${row} twice does it once, and says so`, async () => {
      const { method, path, body, token: whose = token, is } = await sample();
      const options = { ...under(`twice-${++last}`), token: whose };
      const first = await ask(method, path, body, options);
      assert.ok(first.status < 300, first.text);
      assert.equal(first.headers.get("idempotency-replayed"), null);
      const again = await ask(method, path, body, options);
      if (is === "secret") {
        assert.equal(again.status, 409, again.text);
        assert.match(again.text, /shown once/);
        return;
      }
      assert.deepEqual([again.status, again.text], [first.status, first.text]);
      assert.equal(again.headers.get("idempotency-replayed"), "true");
    });
  }

  test("an array that failed half-way is finished when it comes again", async () => {
    const [a, b] = [await key(), await key()];
    const [taken, free] = [fresh(), fresh()];
    const holder = await key(taken);
    const body = [
      { id: a, name: free },
      { id: b, name: taken },
    ];
    const options = under(`finish-${++last}`);
    assert.equal((await ask("PATCH", "/kms/Key", body, options)).status, 409);
    assert.equal((await ask("GET", `/kms/Key/${a}`)).json["name"], free);
    assert.equal((await ask("DELETE", `/kms/Key/${holder}`)).status, 200);
    const again = await ask("PATCH", "/kms/Key", body, options);
    assert.equal(again.status, 200, again.text);
    assert.deepEqual(
      (again.json as unknown as { name: string }[]).map(({ name }) => name),
      [free, taken],
    );
  });

  test("a change that came again undoes nothing that was changed since", async () => {
    const id = await key();
    const options = under(`since-${++last}`);
    const body = { name: fresh(), status: "disabled" };
    assert.equal((await ask("PATCH", `/kms/Key/${id}`, body, options)).status, 200);
    assert.equal((await ask("PATCH", `/kms/Key/${id}`, { status: "enabled" })).status, 200);
    const again = await ask("PATCH", `/kms/Key/${id}`, body, options);
    assert.deepEqual([again.status, again.json["status"]], [200, "enabled"]);
  });

  test("a deletion that came again leaves what has the name since", async () => {
    const whose = await client();
    const keyReference = await reference(whose);
    const options = { ...under(`freed-${++last}`), token: whose.token };
    const path = `/keys/${keyReference}/actions/delete`;
    assert.equal((await ask("DELETE", path, undefined, options)).status, 204);
    const generate = await ask("POST", "/keys/actions/generate", { keyReference }, { token: whose.token });
    assert.equal(generate.status, 200);
    assert.equal((await ask("DELETE", path, undefined, options)).status, 204);
    assert.equal((await goKmsService().get(whose, keyReference)).status, 200);
  });

  test("what was never there is not there under any key", async () => {
    const nowhere = "7b0c8f6e-0a54-4a3c-9d0e-1d6a0f4a7c11";
    const whose = await client();
    for (const path of [
      `/kms/Key/${nowhere}`,
      `/kms/key_version/${nowhere}`,
      `/key/${nowhere}`,
      "/vc-holder/credential/record/none",
    ])
      assert.equal((await ask("DELETE", path, undefined, under("never"))).status, 404, path);
    const options = { ...under("never"), token: whose.token };
    assert.equal((await ask("DELETE", "/keys/none/actions/delete", undefined, options)).status, 404);
  });
});
