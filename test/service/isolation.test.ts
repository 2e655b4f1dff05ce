/** Every operation on what belongs to a project, from outside of it. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { type Answer, forEachStore, serviceFor } from "../harness.ts";

const some = Buffer.from("some bytes").toString("base64");
const bodies: Record<string, unknown> = {
  "key.create": { name: "new" },
  "key.import": { type: "aes-256", format: "raw", material_b64: Buffer.alloc(32, 1).toString("base64") },
  "key.rotate": {},
  "key.revoke": {},
  "key.encrypt": { plaintext: "x" },
  "key.decrypt": { ciphertext: some },
  "key.sign": { message: "x" },
  "key.verify": { message: "x", signature_b64: some },
  "key.update": { description: "theirs" },
  "key.reencrypt": { ciphertext: some },
  "key.mac": { message: "x" },
  "key.verify_mac": { message: "x", mac_b64: some },
  "key.decapsulate": { ciphertext: some },
  "key.agree": { peer_public_key_b64: some },
  "key.encrypt_batch": { items: [{ plaintext: "x" }] },
  "key.decrypt_batch": { items: [{ ciphertext: some }] },
  "key.reencrypt_batch": { items: [{ ciphertext: some }] },
  "key.sign_batch": { items: [{ message: "x" }] },
  "key.verify_batch": { items: [{ message: "x", signature_b64: some }] },
  "key.mac_batch": { items: [{ message: "x" }] },
  "key.verify_mac_batch": { items: [{ message: "x", mac_b64: some }] },
  "secret.put": { name: "theirs", value: "x" },
};

forEachStore(({ startServer }) => {
  describe("a caller and a project that it has no part in", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));
    let root = "";
    let outsiders: string[] = [];
    before(async () => {
      root = await service().token("admin", { project: "*" });
      for (const name of ["theirs", "ours"]) {
        assert.equal(
          (await service().request("POST", "/v1/projects", { name }, { token: root })).status,
          201,
        );
      }
      for (const type of ["aes-256", "ecdsa-p256"]) {
        await service().request(
          "POST",
          "/v1/keys",
          { name: `k-${type}`, type },
          { token: root, project: "theirs" },
        );
      }
      await service().request(
        "POST",
        "/v1/secrets",
        { name: "theirs", value: "x" },
        { token: root, project: "theirs" },
      );
      outsiders = [
        await service().token("admin", { project: "ours" }),
        await service().token("operator", { project: "ours", kind: "service" }),
        await service().token("exporter", { project: "ours", kind: "service" }),
      ];
    });

    for (const route of nativeRoutes.filter((row) => row.operation.inProject)) {
      const { id } = route.operation;
      test(`gets the same answer to ${id} for a project that is there and one that is not`, async () => {
        for (const token of outsiders) {
          for (const handle of ["theirs", "k-aes-256", "k-ecdsa-p256", "absent"]) {
            const path = route.path.replace("{name}", handle);
            const at = (project: string): Promise<Answer> =>
              service().request(route.method, path, bodies[id], { token, project });
            const there = await at("theirs");
            const absent = await at("absent");
            assert.equal(there.status, 404);
            assert.equal(there.json["code"], "project_not_found");
            assert.equal(stripped(there), stripped(absent));
          }
        }
      });
    }

    test("does not reach a key of another project by its id or name from its own", async () => {
      const { json } = await service().request("GET", "/v1/keys/k-aes-256", undefined, {
        token: root,
        project: "theirs",
      });
      for (const handle of [String(json["id"]), "k-aes-256"]) {
        const answer = await service().request(
          "POST",
          `/v1/encrypt/${handle}`,
          { plaintext: "x" },
          { token: outsiders[0]!, project: "ours" },
        );
        assert.equal(answer.json["code"], "key_not_found");
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
