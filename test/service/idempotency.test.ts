/** What a client that sends `Idempotency-Key` can rely on. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { type Answer, forEachStore, serviceFor, type TestService } from "../harness.ts";
import { codeOf, isReplay, post } from "./keyed-request.ts";
import { prepareSamples, sampleCalls, type SampleRun } from "./sample-calls.ts";

const mutations = nativeRoutes.filter(({ operation }) => operation.replay !== undefined);
/** Whose answers hold a secret. */
const secretAnswers = new Set([
  "token.create",
  "login.create",
  "login.refresh",
  "signup.create",
  "signup.redeem",
]);
/** What leaves its caller without credentials. */
const lastCalls = new Set(["login.revoke"]);

/** How many entries of changes there are of an operation: replays are told apart. */
function madeAndReplayed(service: TestService, action: string): [number, number] {
  const entries = service
    .auditEntries()
    .filter((entry) => entry["action"] === action && entry["outcome"] === "ok");
  const replayed = entries.filter((entry) => {
    const details = entry["details"] as Record<string, unknown> | undefined;
    return details?.["replayed"] === 1;
  });
  return [entries.length - replayed.length, replayed.length];
}

forEachStore(({ startServer }) => {
  describe("the same request twice under one key", () => {
    const service = serviceFor(() => startServer());
    let run: SampleRun;
    const commits: string[] = [];
    before(async () => {
      run = await prepareSamples(service());
      const { auditor } = service().keystead.services;
      const commitChange = auditor.commitChange.bind(auditor);
      auditor.commitChange = (facts, ...rest) => {
        commits.push(facts.action);
        return commitChange(facts, ...rest);
      };
    });

    for (const route of mutations) {
      const { id } = route.operation;
      const again = secretAnswers.has(id) ? "refused, since its answer held a secret" : "answered anew";
      test(`is one change, and then ${again}: ${id}`, async () => {
        const call = await sampleCalls[id]!(run);
        const headers = { "idempotency-key": `twice-${id}`, "x-request-id": `first-${id}` };
        commits.length = 0;
        const first = await run.send(route, call, headers);
        assert.equal(first.status, route.status, first.text);
        assert.ok(!isReplay(first));
        const second = await run.send(route, call, { ...headers, "x-request-id": `second-${id}` });
        assert.deepEqual(commits, [id]);
        if (lastCalls.has(id)) {
          assert.equal(second.status, 401);
          return;
        }
        const entry = service()
          .auditEntries()
          .find(({ request }) => request === `second-${id}`)!;
        assert.deepEqual(entry["details"], { replayed: 1 });
        assert.equal(entry["decision"], "allow");
        if (secretAnswers.has(id)) {
          assert.deepEqual(codeOf(second), [409, "idempotency_secret"]);
          assert.equal(entry["outcome"], "idempotency_secret");
          assert.ok(!second.text.includes(String(first.json["token"])));
          return;
        }
        assert.equal(second.status, first.status);
        assert.ok(isReplay(second));
        assert.deepEqual(second.json, first.json);
        assert.equal(entry["outcome"], "ok");
      });
    }

    test("shows the object as it is by then", async () => {
      const sent = { key: "then", token: run.admin };
      await post(service(), "/v1/keys", { name: "then" }, sent);
      await run.make("POST", "/v1/keys/then/rotate", {});
      await run.make("POST", "/v1/keys/then/revoke", {});
      const again = await post(service(), "/v1/keys", { name: "then" }, sent);
      assert.equal(again.status, 201);
      assert.deepEqual([again.json["latest_version"], again.json["state"]], [2, "revoked"]);
    });

    test("shows the version of a secret that it made, not a later one", async () => {
      const sent = { key: "version", token: run.admin };
      const first = await post(service(), "/v1/secrets", { name: "versions", value: "a" }, sent);
      await run.make("POST", "/v1/secrets", { name: "versions", value: "b" });
      const again = await post(service(), "/v1/secrets", { name: "versions", value: "a" }, sent);
      assert.deepEqual(again.json, first.json);
      assert.equal(again.json["version"], 1);
    });

    test("says that the object is gone where it is, also where another has its name", async () => {
      const sent = { key: "gone", token: run.admin };
      const body = { name: "gone", value: "a" };
      await post(service(), "/v1/secrets", body, sent);
      assert.equal(
        (await service().request("DELETE", "/v1/secrets/gone", undefined, { token: run.admin })).status,
        204,
      );
      assert.deepEqual(codeOf(await post(service(), "/v1/secrets", body, sent)), [404, "secret_not_found"]);
      await run.make("POST", "/v1/secrets", body);
      assert.deepEqual(codeOf(await post(service(), "/v1/secrets", body, sent)), [404, "secret_not_found"]);
    });

    test("is the same in other words: text or base64, any order of fields, the key quoted or bare", async () => {
      const { admin: token } = run;
      const first = await post(
        service(),
        "/v1/secrets",
        { name: "words", value: "x" },
        { key: "words", token },
      );
      const base64 = Buffer.from("x").toString("base64");
      const again = await post(
        service(),
        "/v1/secrets",
        { value_b64: base64, name: "words" },
        { key: '"words"', token },
      );
      assert.ok(isReplay(again));
      assert.deepEqual(again.json, first.json);
    });

    test("makes one change, however many come at once", async () => {
      const { admin: token } = run;
      await run.make("POST", "/v1/keys", { name: "many" });
      const [rotated] = madeAndReplayed(service(), "key.rotate");
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => post(service(), "/v1/keys/many/rotate", {}, { key: "many", token })),
      );
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.equal(answers.filter(isReplay).length, 19);
      for (const { json } of answers) assert.equal(json["latest_version"], 2);
      const key = await service().request("GET", "/v1/keys/many", undefined, { token });
      assert.equal(key.json["latest_version"], 2);
      assert.equal(madeAndReplayed(service(), "key.rotate")[0], rotated + 1);
    });

    test("creates one key, however many come at once", async () => {
      const sent = { key: "create-many", token: run.admin };
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => post(service(), "/v1/keys", { name: "create-many" }, sent)),
      );
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
      assert.equal(new Set(answers.map(({ json }) => json["id"])).size, 1);
    });
  });

  describe("a key", () => {
    const service = serviceFor(() => startServer());
    let token = "";
    before(async () => {
      token = await service().token("admin", { project: "*" });
      for (const name of ["other", "rights"]) {
        await service().request("POST", "/v1/projects", { name }, { token });
      }
    });

    test("that was used for another request is refused, and nothing is done", async () => {
      const sent = { key: "mismatch", token };
      await post(service(), "/v1/secrets", { name: "m", value: "a" }, sent);
      for (const body of [
        { name: "m", value: "b" },
        { name: "n", value: "a" },
      ]) {
        assert.deepEqual(codeOf(await post(service(), "/v1/secrets", body, sent)), [
          409,
          "idempotency_mismatch",
        ]);
      }
      for (const name of ["m", "n"]) await service().request("POST", "/v1/keys", { name }, { token });
      await post(service(), "/v1/keys/m/rotate", {}, sent);
      const other = await post(service(), "/v1/keys/n/rotate", {}, sent);
      assert.deepEqual(codeOf(other), [409, "idempotency_mismatch"]);
      const secret = await service().request("GET", "/v1/secrets/m", undefined, { token });
      assert.deepEqual([secret.json["value"], secret.json["version"]], ["a", 1]);
      assert.equal((await service().request("GET", "/v1/secrets/n", undefined, { token })).status, 404);
      assert.equal(
        (await service().request("GET", "/v1/keys/n", undefined, { token })).json["latest_version"],
        1,
      );
    });

    test("counts for its caller and its project only", async () => {
      const own = { key: "own", token };
      const body = { name: "own", value: "x" };
      assert.equal((await post(service(), "/v1/secrets", body, own)).json["version"], 1);
      const elsewhere = await post(service(), "/v1/secrets", body, { ...own, project: "other" });
      assert.ok(!isReplay(elsewhere));
      assert.equal(elsewhere.json["version"], 1);
      const another = await post(service(), "/v1/secrets", body, {
        ...own,
        token: await service().token("operator"),
      });
      assert.ok(!isReplay(another));
      assert.equal(another.json["version"], 2);
    });

    test("counts for another token of the same account", async () => {
      const made = async (): Promise<string> => {
        const answer = await service().request("POST", "/v1/accounts/roaming/tokens", {}, { token });
        return String(answer.json["token"]);
      };
      await service().request("POST", "/v1/accounts", { name: "roaming", kind: "service" }, { token });
      const role = { role: "operator", project: "default" };
      await service().request("POST", "/v1/accounts/roaming/bindings", role, { token });
      const body = { name: "roaming", value: "x" };
      await post(service(), "/v1/secrets", body, { key: "roaming", token: await made() });
      assert.ok(
        isReplay(await post(service(), "/v1/secrets", body, { key: "roaming", token: await made() })),
      );
    });

    test("answers nothing to a caller who may no longer do it", async () => {
      const operator = await service().token("operator", { project: "rights" });
      const me = await service().request("GET", "/v1/whoami", undefined, { token: operator });
      const name = String(me.json["caller"]).replace("person:", "");
      const [role] = me.json["bindings"] as { id: string }[];
      const sent = { key: "rights", token: operator, project: "rights" };
      const body = { name: "rights", value: "x" };
      assert.equal((await post(service(), "/v1/secrets", body, sent)).status, 201);
      // A lesser role stays, so that the project is still there for the caller.
      const bindings = `/v1/accounts/${name}/bindings`;
      await service().request("POST", bindings, { role: "reader", project: "rights" }, { token });
      await service().request("DELETE", `${bindings}/${role!.id}`, undefined, { token });
      assert.deepEqual(codeOf(await post(service(), "/v1/secrets", body, sent)), [403, "forbidden"]);
    });

    test("of a request that failed is free for the next try", async () => {
      const headers = { "idempotency-key": "retry" };
      const remove = (): Promise<Answer> =>
        service().request("DELETE", "/v1/secrets/retry", undefined, { token, headers });
      assert.deepEqual(codeOf(await remove()), [404, "secret_not_found"]);
      await service().request("POST", "/v1/secrets", { name: "retry", value: "x" }, { token });
      const removed = await remove();
      assert.deepEqual([removed.status, isReplay(removed)], [204, false]);
      const again = await remove();
      assert.deepEqual([again.status, isReplay(again)], [204, true]);
    });

    test("of a request that was refused may come with a request that fits", async () => {
      const sent = { key: "mended", token };
      await service().request("POST", "/v1/keys", { name: "taken" }, { token });
      assert.deepEqual(codeOf(await post(service(), "/v1/keys", { name: "taken" }, sent)), [
        400,
        "key_exists",
      ]);
      assert.equal((await post(service(), "/v1/keys", { name: "taken", x: 1 }, sent)).status, 400);
      assert.equal((await post(service(), "/v1/keys", { name: "free" }, sent)).status, 201);
    });

    test("is in no audit entry and no log", async () => {
      const key = "canary-idempotency-5e1b";
      await post(service(), "/v1/secrets", { name: "canary", value: "x" }, { key, token });
      await post(service(), "/v1/secrets", { name: "canary", value: "y" }, { key, token });
      assert.ok(!JSON.stringify(service().auditEntries()).includes(key));
      assert.ok(!service().logLines.join("\n").includes(key));
    });
  });
});
