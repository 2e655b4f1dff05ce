/** Own roles in a running service: what they allow, deny, and how they come and go. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { serviceFor, startServer, temporaryFolder, type Answer } from "../harness.ts";
import { twoNodes } from "../jobs/nodes.ts";

const allowAll = [{ effect: "allow", scopes: ["kms:encrypt", "kms:list_keys", "kms:read_key"] }];

describe("own roles", () => {
  const service = serviceFor(() => startServer());
  let admin = "";
  let names = 0;
  const call = (method: string, path: string, body?: unknown, token = admin): Promise<Answer> =>
    service().request(method, path, body, { token });
  async function someone(...roles: string[]): Promise<{ name: string; token: string; bindings: string[] }> {
    if (admin === "") admin = await service().token("admin", { project: "*" });
    const name = `someone-${++names}`;
    await call("POST", "/v1/accounts", { name, kind: "service" });
    let bindings: string[] = [];
    for (const role of roles) {
      const answer = await call("POST", `/v1/accounts/${name}/bindings`, { role, project: "default" });
      assert.equal(answer.status, 201, answer.text);
      bindings = (answer.json["bindings"] as { id: string }[]).map(({ id }) => id);
    }
    const { json } = await call("POST", `/v1/accounts/${name}/tokens`, {});
    return { name, token: String(json["token"]), bindings };
  }
  async function role(name: string, statements: unknown = allowAll): Promise<void> {
    if (admin === "") admin = await service().token("admin", { project: "*" });
    const answer = await call("POST", "/v1/roles", { name, statements });
    assert.equal(answer.status, 201, answer.text);
  }
  const encrypt = async (key: string, token: string): Promise<number> =>
    (await call("POST", `/v1/encrypt/${key}`, { plaintext: "x" }, token)).status;

  test("allow what they say, and deny over every other role, from lists too", async () => {
    await role("no-prod", [{ effect: "deny", scopes: ["*"], patterns: ["prod-*"] }]);
    for (const name of ["prod-1", "test-1"]) await call("POST", "/v1/keys", { name });
    const { token } = await someone("operator", "no-prod");
    assert.deepEqual([await encrypt("test-1", token), await encrypt("prod-1", token)], [200, 403]);
    const { json } = await call("GET", "/v1/keys", undefined, token);
    assert.deepEqual(
      (json["keys"] as { name: string }[]).map(({ name }) => name),
      ["test-1"],
    );
    // By its id it is no more there than by its name, and looks like an id that leads nowhere.
    const { json: key } = await call("GET", "/v1/keys/prod-1");
    const byId = await call("GET", `/v1/keys/${String(key["id"])}`, undefined, token);
    const nowhere = await call("GET", "/v1/keys/00000000-0000-4000-8000-000000000000", undefined, token);
    assert.equal(byId.json["code"], "forbidden");
    assert.equal(nowhere.json["code"], "forbidden");
    const { token: outside } = await someone("no-prod");
    assert.equal((await call("GET", "/v1/keys", undefined, outside)).json["code"], "project_not_found");
  });

  test("change for everybody bound to them with the next request", async () => {
    await role("changing");
    await call("POST", "/v1/keys", { name: "k" });
    const { token } = await someone("changing");
    assert.equal(await encrypt("k", token), 200);
    const deny = [...allowAll, { effect: "deny", scopes: ["kms:encrypt"] }];
    assert.equal((await call("PATCH", "/v1/roles/changing", { statements: deny })).status, 200);
    assert.equal(await encrypt("k", token), 403);
    assert.equal((await call("PATCH", "/v1/roles/changing", { statements: allowAll })).status, 200);
    assert.equal(await encrypt("k", token), 200);
  });

  test("are not deleted while an account, an issuer or an open signup names them, and never by chance", async () => {
    await role("used");
    const { name, bindings } = await someone("used");
    assert.equal((await call("DELETE", "/v1/roles/used")).json["code"], "role_in_use");
    await call("DELETE", `/v1/accounts/${name}/bindings/${bindings[0] ?? ""}`);
    const rules = [{ when: [{ claim: "sub", equals: "x" }], bindings: [{ role: "used", project: "*" }] }];
    const issuer = { name: "i", issuer: "https://i.example.com", audiences: ["a"], rules };
    assert.equal((await call("POST", "/v1/issuers", issuer)).status, 201);
    assert.equal((await call("DELETE", "/v1/roles/used")).json["code"], "role_in_use");
    await call("DELETE", "/v1/issuers/i");
    const signup = { name: "invited", kind: "person", bindings: [{ role: "used", project: "default" }] };
    const invited = await call("POST", "/v1/signups", signup);
    assert.equal(invited.status, 201, invited.text);
    assert.equal((await call("DELETE", "/v1/roles/used")).json["code"], "role_in_use");
    await call("DELETE", `/v1/signups/${String(invited.json["id"])}`);
    assert.equal((await call("DELETE", "/v1/roles/used")).status, 204);
    const bound = await call("POST", `/v1/accounts/${name}/bindings`, { role: "used", project: "default" });
    assert.equal(bound.json["code"], "role_not_found");
  });

  test("bound and deleted at the same time are either bound or gone", async () => {
    const { name } = await someone();
    for (let i = 0; i < 20; i++) {
      await role(`race-${i}`);
      const [bound, deleted] = await Promise.all([
        call("POST", `/v1/accounts/${name}/bindings`, { role: `race-${i}`, project: "default" }),
        call("DELETE", `/v1/roles/race-${i}`),
      ]);
      assert.ok(!(bound.status === 201 && deleted.status === 204), `${bound.text} ${deleted.text}`);
    }
  });

  test("have names of their own, and cannot take or change a built-in one's", async () => {
    await role("constructor");
    assert.equal(
      (await call("POST", "/v1/roles", { name: "constructor", statements: allowAll })).status,
      409,
    );
    assert.equal((await call("POST", "/v1/roles", { name: "admin", statements: allowAll })).status, 409);
    assert.equal((await call("PATCH", "/v1/roles/admin", { description: "x" })).status, 400);
    assert.equal((await call("DELETE", "/v1/roles/admin")).status, 400);
    for (const statements of [
      [],
      [{ effect: "allow", scopes: ["*"] }],
      [{ effect: "deny", scopes: ["*", "kms:encrypt"] }],
      [{ effect: "allow", scopes: ["kms:everything"] }],
      [{ effect: "allow", scopes: ["kms:encrypt"], patterns: [] }],
      [{ effect: "allow", scopes: ["kms:encrypt"], patterns: ["a/b"] }],
    ]) {
      const answer = await call("POST", "/v1/roles", { name: "wrong", statements });
      assert.equal(answer.json["field"], "statements", JSON.stringify(statements));
    }
  });

  test("are explained: which binding and which statement decided, for oneself and, to admins, for others", async () => {
    await role("explained", [...allowAll, { effect: "deny", scopes: ["kms:encrypt"], patterns: ["k*"] }]);
    const { name, token, bindings } = await someone("operator", "explained");
    const can = async (body: object, asking = token): Promise<Answer["json"]> =>
      (await call("POST", "/v1/can", body, asking)).json;
    const denied = await can({ action: "key.encrypt", resource: "k" });
    assert.deepEqual([denied["allowed"], denied["verdict"]], [false, "denied"]);
    const [reason, ...more] = denied["reasons"] as {
      binding: { id: string; role: string };
      statement: number;
    }[];
    assert.deepEqual(
      [reason?.binding.id, reason?.binding.role, reason?.statement, more.length],
      [bindings[1], "explained", 2, 0],
    );
    const allowed = await can({ account: name, action: "key.encrypt", resource: "other" }, admin);
    assert.deepEqual([allowed["verdict"], (allowed["reasons"] as unknown[]).length], ["allowed", 2]);
    for (const [body, verdict] of [
      [{ action: "key.rotate", resource: "k" }, "nothing_allows"],
      [{ action: "account.create" }, "nothing_allows"],
      [{ action: "caller.whoami" }, "any_caller"],
      [{ action: "random.generate" }, "any_caller"],
    ] as const)
      assert.equal((await can(body))["verdict"], verdict, body.action);
    assert.equal((await can({ action: "key.nothing" }))["field"], "action");
    // A project and an account of others look like absent ones.
    await call("POST", "/v1/projects", { name: "elsewhere" });
    for (const project of ["elsewhere", "nowhere"])
      assert.equal((await can({ action: "key.get", project }))["code"], "project_not_found");
    const other = await someone("reader");
    for (const account of [other.name, "nobody"])
      assert.equal((await can({ account, action: "key.get" }))["code"], "forbidden");
    const noPart = await can({ account: name, action: "key.get", project: "elsewhere" }, admin);
    assert.equal(noPart["verdict"], "no_part");
    assert.equal((await can({ account: name, action: "key.get" }))["verdict"], "allowed", "oneself by name");
    await call("POST", `/v1/accounts/${name}/disable`, {}, admin);
    const disabled = await can({ account: name, action: "key.encrypt", resource: "other" }, admin);
    assert.deepEqual([disabled["allowed"], disabled["verdict"]], [false, "account_disabled"]);
  });
});

describe("a role's row in the database", () => {
  test("altered, exchanged or taken away denies everything to whoever is bound to it", async () => {
    for (const edit of [
      "update roles set sealed = (select sealed from roles where name = 'wide') where name = 'narrow'",
      "update roles set revision = 9 where name = 'narrow'",
      "delete from roles where name = 'narrow'",
      "update roles set name = 'other' where name = 'narrow'",
    ]) {
      const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
      const before = await startServer(settings);
      const admin = await before.token("admin", { project: "*" });
      const deny = [{ effect: "deny", scopes: ["kms:decrypt"] }];
      for (const [name, statements] of [
        ["wide", allowAll],
        ["narrow", deny],
      ] as const)
        await before.request("POST", "/v1/roles", { name, statements }, { token: admin });
      await before.request("POST", "/v1/keys", { name: "k" }, { token: admin });
      const token = await before.token("operator");
      const { json } = await before.request("GET", "/v1/whoami", undefined, { token });
      const account = String(json["caller"]).split(":")[1] ?? "";
      const binding = { role: "narrow", project: "default" };
      await before.request("POST", `/v1/accounts/${account}/bindings`, binding, { token: admin });
      const encrypts = async (running: typeof before): Promise<number> =>
        (await running.request("POST", "/v1/encrypt/k", { plaintext: "x" }, { token })).status;
      assert.equal(await encrypts(before), 200);
      await before.close();
      const database = new DatabaseSync(join(settings.KEYSTEAD_DATA_PATH, "keystead.db"));
      database.prepare(edit).run();
      database.close();
      await using running = await startServer(settings);
      assert.equal(await encrypts(running), 403, edit);
    }
  });
});

describe("two nodes on one database", () => {
  test("know of a change of the other's roles and issuers within a second", async () => {
    await using both = await twoNodes([Date.now, Date.now]);
    const [first, second] = both.nodes;
    const { roles, issuers } = second.services;
    const knows = async (): Promise<unknown[]> => [
      (await roles.current()).get("shared")?.[0]?.effect,
      (await issuers.current()).get("https://i.example.com")?.enabled,
    ];
    assert.deepEqual(await knows(), [undefined, undefined]);
    const turn = async (change: () => Promise<unknown>, expected: unknown[]): Promise<void> => {
      await change();
      const changed = performance.now();
      let seen = await knows();
      while (!isDeepStrictEqual(seen, expected) && performance.now() - changed < 1000) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        seen = await knows();
      }
      assert.deepEqual(seen, expected);
    };
    const own = first.services;
    const allow = [{ effect: "allow", scopes: ["kms:encrypt"] }] as const;
    const deny = [{ effect: "deny", scopes: ["kms:encrypt"] }] as const;
    const settings = {
      ...{ name: "i", issuer: "https://i.example.com", enabled: true, audiences: ["a"], rules: [] },
      ...{ algorithms: ["ES256"] as const, keySource: { from: "discovery" } as const },
      ...{ subjectClaim: "sub", lifetimeSecondsMax: 60 },
    };
    await turn(async () => {
      await own.roles.create("shared", "", allow, first.commit);
      await own.issuers.create(settings, [], first.commit);
    }, ["allow", true]);
    await turn(async () => {
      await own.roles.update("shared", { statements: deny }, first.commit);
      const before = await own.issuers.byName("i");
      await own.issuers.update(before, { ...before, enabled: false }, [], first.commit);
    }, ["deny", false]);
    await turn(async () => {
      await own.roles.remove("shared", () => Promise.resolve(false), first.commit);
      await own.issuers.remove("i", first.commit);
    }, [undefined, undefined]);
  });
});
