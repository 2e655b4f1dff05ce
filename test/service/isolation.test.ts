/** Every operation on what belongs to a project, from outside of it. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { type Answer, forEachStore, serviceFor } from "../harness.ts";
import { prepareSamples, sampleCalls, type SampleRun } from "./sample-calls.ts";

/** An id and a name that nothing has. */
const absent = { id: "00000000-0000-4000-8000-000000000000", name: "absent-1" };

forEachStore(({ startServer }) => {
  describe("a caller and a project that it has no part in", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));
    let root = "";
    let outsiders: string[] = [];
    let samples: SampleRun;
    before(async () => {
      root = await service().token("admin", { project: "*" });
      for (const name of ["theirs", "ours"]) {
        assert.equal(
          (await service().request("POST", "/v1/projects", { name }, { token: root })).status,
          201,
        );
      }
      samples = await prepareSamples(service(), "theirs");
      outsiders = [
        await service().token("admin", { project: "ours" }),
        await service().token("operator", { project: "ours", kind: "service" }),
        await service().token("exporter", { project: "ours", kind: "service" }),
      ];
    });

    for (const route of nativeRoutes.filter((row) => row.operation.inProject)) {
      const { id } = route.operation;
      test(`gets the same answer to ${id} for a project that is there and one that is not`, async () => {
        const sample = await sampleCalls[id]!(samples);
        for (const token of outsiders) {
          const { params = {}, body } = sample;
          for (const handle of [...Object.values(params), absent.name]) {
            const path = route.path.replace("{name}", handle);
            const at = (project: string): Promise<Answer> =>
              service().request(route.method, path, body, { token, project });
            const there = await at("theirs");
            assert.equal(there.status, 404);
            assert.equal(there.json["code"], "project_not_found");
            assert.equal(stripped(there), stripped(await at("absent")));
          }
        }
      });

      // What makes or lists things names nothing that could be another's.
      if (!route.path.includes("{name}") || id === "key.import") continue;
      test(`gets the same answer to ${id} in its own project for what is another's and what is not there`, async () => {
        const sample = await sampleCalls[id]!(samples);
        const { name = "" } = sample.params ?? {};
        const kind = id.startsWith("secret.") ? "secrets" : "keys";
        const listed = await samples.make("GET", `/v1/${kind}?limit=1000`, undefined, root);
        const things = listed[kind] as { id?: string; name: string }[];
        const foreign = things.find((thing) => thing.name === name);
        assert.ok(foreign, "the sample is there");
        const handles: (readonly [string, string])[] = [[name, absent.name]];
        if (foreign.id !== undefined) handles.push([foreign.id, absent.id]);
        for (const token of outsiders) {
          for (const [theirs, nobodys] of handles) {
            const ask = async (handle: string): Promise<readonly [number, string]> => {
              const path = route.path.replace("{name}", handle);
              const answer = await service().request(route.method, path, sample.body, {
                token,
                project: "ours",
              });
              return [answer.status, stripped(answer).replaceAll(handle, "handle")];
            };
            const answered = await ask(theirs);
            assert.ok(answered[0] === 404 || answered[0] === 403, `${answered[0]}`);
            assert.deepEqual(answered, await ask(nobodys));
          }
        }
      });
    }

    test("does not re-encrypt to a key of another project, by its id or its name", async () => {
      const theirs = await samples.make("POST", "/v1/keys", { name: "target" }, root);
      const ours = { token: outsiders[0]!, project: "ours" };
      await service().request("POST", "/v1/keys", { name: "source" }, ours);
      const { json } = await service().request("POST", "/v1/encrypt/source", { plaintext: "x" }, ours);
      const { ciphertext } = json;
      for (const [path, body] of [
        ["/v1/keys/source/reencrypt", { ciphertext }],
        ["/v1/keys/source/reencrypt/batch", { items: [{ ciphertext }] }],
      ] as const) {
        const ask = async (to_key: string): Promise<readonly [number, string]> => {
          const answer = await service().request("POST", path, { ...body, to_key }, ours);
          return [answer.status, stripped(answer).replaceAll(to_key, "handle")];
        };
        for (const [there, nowhere] of [
          ["target", absent.name],
          [String(theirs["id"]), absent.id],
        ] as const) {
          const answered = await ask(there);
          assert.equal(answered[0], 404, answered[1]);
          assert.deepEqual(answered, await ask(nowhere));
        }
      }
    });

    test("sees only its own projects", async () => {
      const { json } = await service().request("GET", "/v1/projects", undefined, { token: outsiders[0]! });
      assert.deepEqual(
        (json["projects"] as { name: string }[]).map(({ name }) => name),
        ["ours"],
      );
    });

    test("cannot make accounts, bindings, tokens, projects or barrier keys as a project's admin", async () => {
      for (const [path, body] of [
        ["/v1/accounts", { name: "mine", kind: "service" }],
        ["/v1/accounts/test-1/bindings", { role: "admin", project: "*" }],
        ["/v1/accounts/test-1/tokens", {}],
        ["/v1/projects", { name: "mine" }],
        ["/v1/roles", { name: "mine", statements: [{ effect: "allow", scopes: ["kms:encrypt"] }] }],
        [
          "/v1/issuers",
          { name: "mine", issuer: "https://mine.example.com", audiences: ["keystead"], rules: [] },
        ],
        ["/v1/jwt-revocations", { sub: "x", issued_before: 1 }],
        ["/v1/barrier/rotate", {}],
      ] as const) {
        assert.equal((await service().request("POST", path, body, { token: outsiders[0]! })).status, 403);
      }
    });

    test("with a name pattern, reaches only the names that match and lists no others", async () => {
      const token = await service().token("admin", { project: "ours", pattern: "app-*" });
      const options = { token, project: "ours" };
      assert.equal((await service().request("POST", "/v1/keys", { name: "app-1" }, options)).status, 201);
      assert.equal((await service().request("POST", "/v1/keys", { name: "other" }, options)).status, 403);
      await service().request("POST", "/v1/keys", { name: "other" }, { token: root, project: "ours" });
      assert.equal(
        (await service().request("POST", "/v1/encrypt/other", { plaintext: "x" }, options)).status,
        403,
      );
      const { json } = await service().request("GET", "/v1/keys", undefined, options);
      assert.deepEqual(
        (json["keys"] as { name: string }[]).map(({ name }) => name),
        ["app-1"],
      );
    });
  });
});

function stripped(answer: Answer): string {
  return answer.text.replace(/"request_id":"[^"]*"/, "");
}
