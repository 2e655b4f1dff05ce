import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { forEachStore, serviceFor } from "../harness.ts";

forEachStore(({ startDev }) => {
  describe("secrets over HTTP", () => {
    const service = serviceFor(() => startDev());

    test("keep every byte, as text where they are text", async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      for (const [name, body, text] of [
        ["text", { value: "s3cr3t\n" }, "s3cr3t\n"],
        ["binary", { value_b64: bytes.toString("base64") }, undefined],
        ["empty", { value: "" }, ""],
      ] as const) {
        assert.equal((await service().request("POST", "/v1/secrets", { name, ...body })).status, 201);
        const { json } = await service().request("GET", `/v1/secrets/${name}`);
        const wanted = text === undefined ? bytes : Buffer.from(text);
        assert.equal(json["value_b64"], wanted.toString("base64"));
        assert.equal(json["value"], text);
      }
    });

    test("put again are a new version; the latest is shown unless one is named", async () => {
      for (const value of ["one", "two", "three"])
        await service().request("POST", "/v1/secrets", { name: "v", value });
      const latest = await service().request("GET", "/v1/secrets/v");
      assert.deepEqual([latest.json["value"], latest.json["version"]], ["three", 3]);
      assert.equal((await service().request("GET", "/v1/secrets/v?version=1")).json["value"], "one");
      assert.equal(
        (await service().request("GET", "/v1/secrets/v?version=4")).json["code"],
        "secret_not_found",
      );
      for (const bad of ["0", "-1", "01", "x", "1e3", ""]) {
        assert.equal(
          (await service().request("GET", `/v1/secrets/v?version=${bad}`)).json["code"],
          "invalid_body",
        );
      }
      assert.equal(
        (await service().request("GET", "/v1/secrets/v?version=1&version=2")).json["code"],
        "invalid_body",
      );
    });

    test("put at the same time are as many versions, none lost", async () => {
      const puts = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          service().request("POST", "/v1/secrets", { name: "race", value: `v${i}` }),
        ),
      );
      const values = new Set<unknown>();
      for (const { json } of puts) {
        values.add(
          (await service().request("GET", `/v1/secrets/race?version=${String(json["version"])}`)).json[
            "value"
          ],
        );
      }
      assert.equal(values.size, 20);
    });

    test("are listed by name, never with a value, and are gone when deleted", async () => {
      await service().request("POST", "/v1/projects", { name: "listing" });
      const project = { project: "listing" };
      for (const name of ["b", "a"])
        await service().request("POST", "/v1/secrets", { name, value: "hidden-value" }, project);
      const listed = await service().request("GET", "/v1/secrets", undefined, project);
      assert.deepEqual(
        (listed.json["secrets"] as { name: string }[]).map(({ name }) => name),
        ["a", "b"],
      );
      assert.ok(
        !listed.text.includes("hidden") &&
          !listed.text.includes(Buffer.from("hidden-value").toString("base64")),
      );
      assert.equal((await service().request("DELETE", "/v1/secrets/a", undefined, project)).status, 204);
      assert.equal((await service().request("GET", "/v1/secrets/a", undefined, project)).status, 404);
      assert.equal((await service().request("DELETE", "/v1/secrets/a", undefined, project)).status, 404);
      const again = await service().request("POST", "/v1/secrets", { name: "a", value: "new" }, project);
      assert.equal(again.json["version"], 1);
    });
  });
});
