import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFor, startDev } from "../harness.ts";

describe("/metrics", () => {
  const service = serviceFor(() => startDev());
  const value = async (series: string): Promise<number> => {
    const { text } = await service().request("GET", "/metrics");
    const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? NaN);
  };

  test("counts requests, their durations and operations, by pattern and outcome", async () => {
    await service().request("POST", "/v1/keys", { name: "named" });
    for (let i = 0; i < 3; i++) await service().request("POST", "/v1/encrypt/named", { plaintext: "x" });
    await service().request("POST", "/v1/encrypt/absent", { plaintext: "x" });
    const route = 'method="POST",path="/v1/encrypt/{name}"';
    assert.equal(await value(`keystead_http_requests_total{${route},status="200"}`), 3);
    assert.equal(await value(`keystead_http_requests_total{${route},status="404"}`), 1);
    assert.equal(await value(`keystead_http_request_duration_seconds_count{${route}}`), 4);
    assert.equal(await value(`keystead_http_request_duration_seconds_bucket{le="+Inf",${route}}`), 4);
    assert.ok((await value(`keystead_http_request_duration_seconds_sum{${route}}`)) > 0);
    assert.equal(await value('keystead_operations_total{operation="key.encrypt",status="ok"}'), 3);
    assert.equal(await value('keystead_operations_total{operation="key.encrypt",status="key_not_found"}'), 1);
  });

  test("shows caches, audit, queues and the loop's delay", async () => {
    assert.ok((await value('keystead_cache_entries{cache="keys"}')) > 0);
    assert.ok((await value('keystead_cache_hits_total{cache="keys"}')) > 0);
    assert.ok((await value("keystead_audit_entries")) > 0);
    assert.equal(await value("keystead_audit_available"), 1);
    assert.equal(await value("keystead_audit_queue_entries"), 0);
    assert.equal(await value("keystead_storage_queue_calls"), 0);
    assert.ok((await value("keystead_event_loop_delay_max_seconds")) >= 0);
    assert.ok((await value("keystead_process_resident_memory_bytes")) > 1e6);
  });

  test("names no key, project, account or address, however much is asked for", async () => {
    await service().request("POST", "/v1/projects", { name: "hush-project" });
    await service().request("POST", "/v1/accounts", { name: "hush-account", kind: "service" });
    for (const path of ["/v1/keys/hush-key", "/hush-path", "/v1/secrets/hush-secret?version=1"])
      await service().request("GET", path);
    const { text } = await service().request("GET", "/metrics");
    assert.ok(!text.includes("hush") && !text.includes("127.0.0.1"));
  });
});
