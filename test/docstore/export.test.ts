/** `GET /v1/export/{name}`, as Bundoc asks for its keys. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFor } from "../harness.ts";
import { startKeyService } from "./store-harness.ts";

describe("the export that Bundoc uses", () => {
  const service = serviceFor(startKeyService);

  test("gives the latest version or an older one, to any service account with the scope and a fitting pattern", async () => {
    const [one, other] = [
      await service().token("exporter", { kind: "service", pattern: "*-dek" }),
      await service().token("exporter", { kind: "service" }),
    ];
    const admin = await service().token("admin");
    const made = await service().request(
      "POST",
      "/v1/keys",
      { name: "a-dek", type: "aes-256" },
      { token: one },
    );
    assert.equal(made.json["exportable"], true);
    const get = (path: string, token: string): ReturnType<ReturnType<typeof service>["request"]> =>
      service().request("GET", `/v1/export/${path}`, undefined, { token });
    const first = await get("a-dek", other);
    assert.deepEqual([first.status, first.json["algorithm"], first.json["version"]], [200, "AES-256-GCM", 1]);
    await service().request("POST", "/v1/keys/a-dek/rotate", {}, { token: admin });
    const second = await get("a-dek", one);
    assert.equal(second.json["version"], 2);
    assert.notEqual(second.json["key_material_b64"], first.json["key_material_b64"]);
    assert.deepEqual((await get("a-dek?version=1", one)).json, first.json);
    assert.equal((await get("a-dek?version=3", one)).status, 404);
    assert.equal((await get("absent-dek", one)).status, 404);
    assert.equal((await get("elsewhere", one)).status, 403);
  });

  test("refuses asymmetric and revoked keys with 400, each with a CRITICAL entry", async () => {
    const exporter = await service().token("exporter", { kind: "service" });
    const admin = await service().token("admin");
    const post = (path: string, body: unknown): ReturnType<ReturnType<typeof service>["request"]> =>
      service().request("POST", path, body, { token: admin });
    await post("/v1/keys", { name: "signer", type: "ed25519", exportable: true });
    await post("/v1/keys", { name: "gone", exportable: true });
    await post("/v1/keys/gone/revoke", {});
    for (const [name, code] of [
      ["signer", "key_usage"],
      ["gone", "key_revoked"],
    ] as const) {
      const answer = await service().request("GET", `/v1/export/${name}`, undefined, { token: exporter });
      assert.deepEqual([answer.status, answer.json["code"]], [400, code]);
      const entry = service()
        .auditEntries()
        .find((candidate) => candidate["resource"] === `key:${name}` && candidate["action"] === "key.export");
      assert.deepEqual([entry?.["severity"], entry?.["outcome"]], ["CRITICAL", code]);
    }
  });
});
