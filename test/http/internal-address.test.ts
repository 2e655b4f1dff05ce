/** The second address, which only internal networks reach: key export is there and nowhere else, and all else is too. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { makeCertificate, replaceCertificate, tlsSettings } from "../certificates.ts";
import { until } from "../audit/test-auditor.ts";
import { startServer, type TestService } from "../harness.ts";
import { serialOf } from "./tls-client.ts";
import { freePort } from "../server-process.ts";

const bothAddresses = async (): Promise<{ settings: Record<string, string>; internal: number }> => {
  const internal = await freePort();
  return { settings: { KEYSTEAD_INTERNAL_ADDR: `127.0.0.1:${internal}` }, internal };
};

describe("the internal address", () => {
  test("is where keys are exported, each time as CRITICAL, and the main one knows no such path", async () => {
    const { settings, internal } = await bothAddresses();
    await using service = await startServer(settings);
    const token = await service.token("exporter", { kind: "service" });
    await service.request("POST", "/v1/keys", { name: "dek" }, { token });
    const ask = (port: number, method: string, path: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(method === "POST" ? { body: "{}" } : {}),
      });
    const exports = (): unknown[] =>
      service
        .auditEntries()
        .filter(({ action }) => action === "key.export")
        .map(({ severity, outcome }) => [severity, outcome]);
    const ways = [
      ["GET", "/v1/export/dek"],
      ["POST", "/v1/keys/dek/export"],
    ] as const;
    for (const [method, path] of ways) {
      const answer = await ask(service.port, method, path);
      assert.equal(answer.status, 404, path);
      await answer.text();
    }
    assert.deepEqual(exports(), [
      ["CRITICAL", "route_not_found"],
      ["CRITICAL", "route_not_found"],
    ]);
    for (const [method, path] of ways) {
      const answer = await ask(internal, method, path);
      assert.equal(answer.status, 200, path);
      assert.match(await answer.text(), /material_b64":/);
    }
    assert.deepEqual(exports().slice(2), [
      ["CRITICAL", "ok"],
      ["CRITICAL", "ok"],
    ]);
    // Whatever else is served is served there as well.
    for (const port of [service.port, internal])
      for (const path of ["/v1/keys/dek", "/health", "/metrics", "/v1/whoami"])
        assert.equal((await ask(port, "GET", path)).status, 200, `${port} ${path}`);
    const refused = await fetch(`http://127.0.0.1:${internal}/v1/export/dek`);
    assert.equal(refused.status, 401);
  });

  test("speaks TLS as the main one does, and takes a new certificate with it", async () => {
    const { settings, internal } = await bothAddresses();
    const files = makeCertificate("ecdsa", 0x11);
    await using service: TestService = await startServer({ ...settings, ...tlsSettings(files) });
    const serials = (): Promise<string[]> => Promise.all([serialOf(service.port), serialOf(internal)]);
    assert.deepEqual(await serials(), ["11", "11"]);
    replaceCertificate(files, makeCertificate("ecdsa", 0x22));
    service.keystead.reloadTls();
    // For a while some connections still meet the old one.
    const renewed = new Set<number>();
    await until(async () => {
      for (const [at, serial] of (await serials()).entries()) if (serial === "22") renewed.add(at);
      return renewed.size === 2;
    });
  });
});
