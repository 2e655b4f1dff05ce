/** Bodies that are too long or come too slowly, on the listener itself with a limit of a second. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { BODY_SECONDS_MAX, BodyDeadline } from "../../src/http/body-deadline.ts";
import { asKeysteadError } from "../../src/errors.ts";
import type { Listener, ListenOptions, WireRequest, WireResponse } from "../../src/http/wire.ts";
import { listenBare } from "./bare-listener.ts";

const text = (status: number, body: string): WireResponse => ({
  status,
  contentType: "text/plain",
  requestId: "r",
  body,
});

const routes: ListenOptions["routes"] = [
  {
    method: "POST",
    path: "/echo",
    handle: async (request: WireRequest) => {
      try {
        return text(200, Buffer.from(await request.readBody(1000)).toString("latin1"));
      } catch (thrown) {
        return text(asKeysteadError(thrown).status, asKeysteadError(thrown).code);
      }
    },
  },
];

let listener: Listener;
before(async () => {
  listener = await listenBare(routes, { bodySecondsMax: 1 });
});
after(() => listener.close());

describe("a body larger than its route takes", () => {
  /** What is answered to a request whose sender waits for the answer and sends no more. */
  async function answerTo(request: string): Promise<string> {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(request);
    const [answer] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    return answer.toString("latin1");
  }

  test("is refused by its stated length, before it comes", async () => {
    const answer = await answerTo("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(answer, /payload_too_large/);
  });

  test("is refused by its chunks, before the last of them comes", async () => {
    const chunk = `258\r\n${"x".repeat(600)}\r\n`;
    const answer = await answerTo(
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`,
    );
    assert.match(answer, /^HTTP\/1\.1 413 /);
  });

  test("is taken in chunks up to the limit", async () => {
    const chunk = `1f4\r\n${"x".repeat(500)}\r\n`;
    const answer = await answerTo(
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });
});

describe("a body that takes too long", () => {
  test("is given up though its bytes keep coming, is answered as incomplete, and its connection closed", async () => {
    const socket = connect(listener.port, "127.0.0.1");
    let answer = "";
    socket.setEncoding("latin1").on("data", (chunk) => (answer += String(chunk)));
    socket.on("error", () => undefined);
    socket.write("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n");
    const trickle = setInterval(() => socket.write("x"), 50);
    const began = performance.now();
    await once(socket, "close");
    clearInterval(trickle);
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /body_incomplete/);
    assert.match(answer, /^connection: close/im);
    assert.ok(performance.now() - began > 900);
  });

  test("holds up nobody whose body comes in time, in one piece or in two", async () => {
    for (const pieces of [["hello"], ["he", "llo"]]) {
      const socket = connect(listener.port, "127.0.0.1");
      let answer = "";
      socket.setEncoding("latin1").on("data", (chunk) => (answer += String(chunk)));
      socket.write("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n");
      for (const piece of pieces) {
        await new Promise((resolve) => setImmediate(resolve));
        socket.write(piece);
      }
      await once(socket, "close");
      assert.match(answer, /^HTTP\/1\.1 200 /);
      assert.match(answer, /hello$/);
    }
  });
});

describe("the time of bodies", () => {
  test("is 30 seconds and at most one more, and ends with the body", (context) => {
    context.mock.timers.enable({ apis: ["setInterval"] });
    const deadline = new BodyDeadline();
    const late: string[] = [];
    const first = deadline.begin(() => late.push("first"));
    deadline.begin(() => late.push("second"));
    context.mock.timers.tick(10_000);
    deadline.begin(() => late.push("third"));
    deadline.end(first);
    context.mock.timers.tick((BODY_SECONDS_MAX - 10) * 1000);
    assert.deepEqual(late, []);
    context.mock.timers.tick(1000);
    assert.deepEqual(late, ["second"]);
    context.mock.timers.tick(10_000);
    assert.deepEqual(late, ["second", "third"]);
  });
});
