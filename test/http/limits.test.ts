import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { startServer, type Answer, type TestService } from "../harness.ts";

const list = (service: TestService, token?: string): Promise<Answer> =>
  service.request("GET", "/v1/keys", undefined, token === undefined ? {} : { token });

describe("rate limits", () => {
  test("tell a caller that asks too often to wait, and nobody else", async () => {
    await using service = await startServer({ KEYSTEAD_RATE_LIMIT: "20" });
    const [busy, calm] = [await service.token("reader"), await service.token("reader")];
    const answers = await Promise.all(Array.from({ length: 60 }, () => list(service, busy)));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 30, `${refused.length} of 60`);
    const [first] = refused;
    assert.equal(first?.json["code"], "rate_limited");
    assert.equal(first.headers.get("retry-after"), "1");
    assert.equal((await list(service, calm)).status, 200);
  });

  test("hold for an address too, before its credentials are looked at", async () => {
    await using service = await startServer({ KEYSTEAD_RATE_LIMIT: "5" });
    const tokens = await Promise.all(Array.from({ length: 10 }, () => service.token("reader")));
    const answers = await Promise.all(
      tokens.flatMap((token) => Array.from({ length: 5 }, () => list(service, token))),
    );
    assert.ok(answers.filter(({ status }) => status === 200).length <= 25);
  });
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
