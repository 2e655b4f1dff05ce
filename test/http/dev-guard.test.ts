import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { describe, test } from "node:test";
import { compose } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import { StartRefused } from "../../src/start-refused.ts";
import { serviceFor, startDev, startServer } from "../harness.ts";

describe("dev mode against web pages", () => {
  const service = serviceFor(() => startDev());
  const send = (headers: Record<string, string>, path = "/v1/keys"): Promise<number> =>
    new Promise((resolve, reject) => {
      const { port } = service();
      const sent = httpRequest(
        { port, host: "127.0.0.1", path, headers: { host: `127.0.0.1:${port}`, ...headers } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      sent.on("error", reject).end();
    });

  test("answers clients that name a loopback host", async () => {
    for (const host of ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"])
      assert.equal(await send({ host }), 200);
  });
  test("refuses a host name that leads here by DNS rebinding", async () => {
    for (const host of [
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "169.254.169.254",
    ]) {
      assert.equal(await send({ host }), 403);
      for (const path of ["/health", "/metrics", "/openapi.json"])
        assert.equal(await send({ host }, path), 403);
    }
  });
  test("refuses a foreign origin, and what a browser sends from another site", async () => {
    for (const origin of [
      "https://evil.example",
      "null",
      "http://localhost.evil.example",
      "file://localhost",
    ]) {
      assert.equal(await send({ origin }), 403);
    }
    assert.equal(await send({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(await send({ "sec-fetch-site": "same-site" }), 403);
    assert.equal(await send({ origin: "http://localhost:8080", "sec-fetch-site": "same-origin" }), 200);
  });
  test("refuses a form post, which needs no preflight", async () => {
    const answer = await service().request("POST", "/v1/keys", undefined, {
      raw: '{"name":"x"}',
      headers: { "content-type": "text/plain" },
    });
    assert.equal(answer.status, 415);
  });
  test("refuses to start on an address that others reach", () => {
    for (const addr of ["0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080", "example.com:80"]) {
      assert.throws(() => readConfig([], { KEYSTEAD_DEV: "1", KEYSTEAD_ADDR: addr }, "/"), StartRefused);
    }
  });
  test("checks credentials that are presented", async () => {
    assert.equal((await service().request("GET", "/v1/whoami", undefined, { token: "wrong" })).status, 401);
    assert.equal((await service().request("GET", "/v1/whoami")).json["caller"], "dev:dev");
  });
});

describe("server mode", () => {
  const service = serviceFor(() => startServer());
  test("wants credentials for everything under /v1", async () => {
    for (const [method, path] of [
      ["GET", "/v1/keys"],
      ["POST", "/v1/encrypt/x"],
      ["GET", "/v1/export/x"],
      ["GET", "/v1/whoami"],
    ] as const) {
      const answer = await service().request(
        method,
        path,
        method === "POST" ? { plaintext: "x" } : undefined,
      );
      assert.equal(answer.json["code"], "unauthenticated");
    }
  });
  test("does not start where nobody could log in", async () => {
    const settings = {
      KEYSTEAD_ADDR: "127.0.0.1:0",
      KEYSTEAD_ROOT_KEY: "00".repeat(32),
      KEYSTEAD_DATA_PATH: ":memory:",
      KEYSTEAD_AUDIT_LOG: "/dev/null",
    };
    await assert.rejects(compose(readConfig([], settings, "/")), (error: Error) => {
      assert.ok(error instanceof StartRefused);
      assert.match(error.message, /keystead init.*KEYSTEAD_JWT_SECRET/);
      return true;
    });
  });
});
