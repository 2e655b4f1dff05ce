/** What clients see of a service that is told to stop: what is under way, what hangs, what is new. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import type { WireRequest } from "../../src/http/wire.ts";
import { until } from "../audit/test-auditor.ts";
import { FakeSink } from "../audit/fake-sink.ts";
import { startServer, type TestService } from "../harness.ts";

const body = '{"plaintext":"x"}';
const head = (token: string): string =>
  `POST /v1/encrypt/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** A connection that stays open, and what came over it so far. */
class Connection {
  text = "";
  closed = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (chunk) => (this.text += String(chunk)));
    socket.on("error", () => undefined);
    socket.on("close", () => (this.closed = true));
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new Connection(socket);
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Sends the rest of a request; all that came until the body was there, or the connection ended. */
  async ask(rest: string): Promise<string> {
    this.write(rest);
    await until(async () => Promise.resolve(this.closed || this.text.endsWith("}")));
    return this.text;
  }
}

/** Waits until a request is under way, and was admitted: that comes at the end of the turn in which it arrived. */
async function oneInFlight(service: TestService): Promise<void> {
  await until(async () => (await service.request("GET", "/metrics")).text.includes("in_flight 1"));
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe("a service that is told to stop", () => {
  test("answers what is under way, refuses what is asked from then on, and takes no new connection", async () => {
    const auditSink = new FakeSink();
    await using service = await startServer({}, { auditSink });
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    const underWay = await Connection.open(service.port);
    const [begun, asking] = [await Connection.open(service.port), await Connection.open(service.port)];
    begun.write(get("/v1/keys").slice(0, -2));
    asking.write(get("/ready").slice(0, -2));
    // Done but for its entry: it must be answered, and only after that is written.
    auditSink.hold();
    underWay.write(head(token) + body);
    await oneInFlight(service);
    const writes = auditSink.writes;
    const closing = service.close();
    // A listener may end such a connection instead; what it passes on is refused.
    for (const answer of await Promise.all([begun.ask("\r\n"), asking.ask("\r\n")]))
      assert.ok(answer === "" || answer.startsWith("HTTP/1.1 503"), answer);
    for (const [path, wanted] of [
      ["/v1/keys", /"code":"stopping"/],
      ["/ready", /"ready":false/],
    ] as const) {
      const route = service.keystead.routes.find((one) => one.method === "GET" && one.path === path);
      const answer = await route?.handle(wireRequest(path));
      assert.equal(answer?.status, 503);
      assert.match(String(answer.body), wanted);
    }
    assert.equal(underWay.text, "");
    auditSink.release();
    await until(async () => Promise.resolve(/HTTP\/1\.1 200[^]*"ciphertext"/.test(underWay.text)));
    assert.ok(auditSink.writes > writes);
    await closing;
    assert.ok(auditSink.closed && auditSink.syncs > 0, "the log was flushed and closed");
    await assert.rejects(once(connect(service.port, "127.0.0.1"), "connect"));
  });

  test("waits for a request that hangs as long as it says and no longer", async () => {
    await using service = await startServer({}, { graceMs: 200 });
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    const hanging = await Connection.open(service.port);
    hanging.write(head(token) + body.slice(0, 3));
    await oneInFlight(service);
    const asked = performance.now();
    await service.close();
    const took = performance.now() - asked;
    assert.ok(took >= 200 && took < 5000, `${took} ms`);
    await until(async () => Promise.resolve(hanging.closed));
  });
});

/** A request as a listener passes it on. */
function wireRequest(path: string): WireRequest {
  return {
    method: "GET",
    address: "127.0.0.1",
    proxy: undefined,
    internal: false,
    params: {},
    path,
    queryText: "",
    header: () => undefined,
    readBody: () => Promise.resolve(new Uint8Array(0)),
  };
}
