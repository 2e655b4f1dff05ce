/** Which entries wait for the disk before their answer leaves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../harness.ts";
import { FakeSink } from "./fake-sink.ts";

for (const durability of ["written", "synced"]) {
  test(`with \`${durability}\`, changes and exports are flushed, and what changes nothing ${durability === "synced" ? "too" : "is not"}`, async () => {
    const auditSink = new FakeSink();
    const settings = { KEYSTEAD_AUDIT_DURABILITY: durability, KEYSTEAD_EXPORT_ON_MAIN: "1" };
    await using service = await startServer(settings, { auditSink });
    const token = await service.token("exporter", { kind: "service" });
    const flushes = async (method: string, path: string, body?: object): Promise<number> => {
      const before = auditSink.syncs;
      const answer = await service.request(method, path, body, { token });
      assert.ok(answer.status < 300, answer.text);
      return auditSink.syncs - before;
    };
    assert.equal(await flushes("POST", "/v1/keys", { name: "k" }), 1);
    assert.equal(await flushes("POST", "/v1/keys/k/export", {}), 1);
    assert.equal(await flushes("GET", "/v1/keys/k"), durability === "synced" ? 1 : 0);
  });
}
