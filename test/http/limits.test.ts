import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { nullSink, type AuditSink } from "../../src/audit/audit-sink.ts";
import { plainAddress, UNKNOWN_ADDRESS, type WireRequest } from "../../src/http/wire.ts";
import { until } from "../audit/test-auditor.ts";
import { startServer, type Answer, type TestService } from "../harness.ts";

const list = (service: TestService, token?: string): Promise<Answer> =>
  service.request("GET", "/v1/keys", undefined, token === undefined ? {} : { token });

describe("rate limits", () => {
  test("tell a caller that asks too often to wait, and nobody else", async () => {
    await using service = await startServer({ KEYSTEAD_RATE_LIMIT: "20" });
    const [busy, calm] = [await service.token("reader"), await service.token("reader")];
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 60 }, () => list(service, busy)));
    const refused = answers.filter(({ status }) => status === 429);
    const most = 20 + Math.ceil((performance.now() - startedAt) / 50);
    assert.ok(60 - refused.length <= most, `${60 - refused.length} served, ${most} at most`);
    const [first] = refused;
    assert.equal(first?.json["code"], "rate_limited");
    assert.equal(first.headers.get("retry-after"), "1");
    assert.equal((await list(service, calm)).status, 200);
  });

  test("hold for an address too, before its credentials are looked at", async () => {
    await using service = await startServer({ KEYSTEAD_RATE_LIMIT: "5" });
    const tokens = await Promise.all(Array.from({ length: 10 }, () => service.token("reader")));
    const startedAt = performance.now();
    const answers = await Promise.all(
      tokens.flatMap((token) => Array.from({ length: 5 }, () => list(service, token))),
    );
    // An address has four times the rate of a caller: as many at once, and as many again in each second.
    const most = 20 + Math.ceil((performance.now() - startedAt) / 50);
    const served = answers.filter(({ status }) => status === 200).length;
    assert.ok(served <= most, `${served} served, ${most} at most`);
    assert.ok(served >= 20, `${served} served`);
  });
});

test("requests without credentials are limited, and do not fill the service's own log, while nothing is served", async () => {
  let full = false;
  const sink: AuditSink = {
    ...nullSink,
    write: (bytes) => (full ? Promise.reject(new Error("no space left")) : nullSink.write(bytes)),
  };
  await using service = await startServer({ KEYSTEAD_RATE_LIMIT: "10" }, { auditSink: sink });
  full = true;
  await until(async () => (await list(service)).status === 503);
  service.logLines.length = 0;
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: 200 }, () => list(service)));
  const seconds = Math.ceil((performance.now() - startedAt) / 1000);
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(limited.length >= 200 - 40 * (seconds + 1), `${limited.length} of 200`);
  const failures = service.logLines.filter((line) => line.includes("request failed"));
  assert.ok(failures.length <= seconds, failures.join(""));
});

describe("connections and floods", () => {
  test("many idle connections do no harm", async () => {
    await using service = await startServer();
    const token = await service.token("reader");
    const idle: Socket[] = [];
    try {
      for (let i = 0; i < 1000; i++) {
        const socket = connect(service.port, "127.0.0.1");
        socket.on("error", () => undefined);
        idle.push(socket);
        await once(socket, "connect");
        // Half of a request: the server must not wait for the rest of it at anybody's expense.
        if (i % 2 === 0) socket.write("POST /v1/keys HTTP/1.1\r\nHost: x\r\n");
      }
      for (let i = 0; i < 20; i++) assert.equal((await list(service, token)).status, 200);
    } finally {
      for (const socket of idle) socket.destroy();
    }
  });

  test("a flood without credentials leaves memory bounded and a caller served", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    const flood = async (): Promise<void> => {
      const raw = JSON.stringify({ plaintext: "x".repeat(100_000) });
      await Promise.all(
        Array.from({ length: 100 }, () => service.request("POST", "/v1/encrypt/k", undefined, { raw })),
      );
    };
    await flood();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 5; i++) {
      const [, answer] = await Promise.all([
        flood(),
        service.request("POST", "/v1/encrypt/k", { plaintext: "x" }, { token }),
      ]);
      assert.equal(answer.status, 200);
    }
    assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
  });

  test("a body larger than any operation takes is refused without being read", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    const socket = connect(service.port, "127.0.0.1");
    const head = `POST /v1/encrypt/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
    socket.write(`${head}Content-Length: 1000000000\r\n\r\n{`);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    assert.match(chunk.toString("latin1"), /^HTTP\/1\.1 413/);
    socket.destroy();
  });
});

describe("a client that goes away", () => {
  test("in the middle of its request stands in the audit log with the address that it had", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    const head = `POST /v1/encrypt/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nX-Request-Id: gone\r\n`;
    const socket = connect(service.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(`${head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`);
    // The next one is answered: the service has the first one's head by then.
    await list(service, token);
    socket.resetAndDestroy();
    let entry: Record<string, unknown> | undefined;
    const deadline = performance.now() + 10_000;
    while (entry === undefined && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      entry = service.auditEntries().find(({ request }) => request === "gone");
    }
    assert.deepEqual([entry?.["outcome"], entry?.["address"]], ["body_incomplete", "127.0.0.1"]);
  });

  test("before its address is known is refused, and leaves no audit entry that says so", async () => {
    await using service = await startServer();
    const token = await service.token("reader");
    const route = service.keystead.routes.find(({ method, path }) => method === "GET" && path === "/v1/keys");
    const ask = async (address: string, authorization: string | undefined): Promise<[number, unknown]> => {
      const request: WireRequest = {
        method: "GET",
        address,
        proxy: undefined,
        internal: false,
        params: {},
        path: "/",
        queryText: "",
        header: (name) => (name === "authorization" ? authorization : undefined),
        readBody: () => Promise.resolve(new Uint8Array(0)),
      };
      const response = await route?.handle(request);
      assert.ok(response);
      const { code } = JSON.parse(String(response.body)) as { code?: string };
      return [response.status, code];
    };
    assert.equal(plainAddress(undefined), UNKNOWN_ADDRESS);
    assert.deepEqual(await ask("192.0.2.1", `Bearer ${token}`), [200, undefined]);
    const entries = service.auditEntries().length;
    assert.deepEqual(await ask(UNKNOWN_ADDRESS, `Bearer ${token}`), [400, "body_incomplete"]);
    assert.deepEqual(await ask(UNKNOWN_ADDRESS, undefined), [400, "body_incomplete"]);
    await service.close();
    assert.equal(service.auditEntries().length, entries);
  });
});
