/** Answers that do not fit into what a connection takes at once, on the listener itself. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import type { Listener, ListenOptions, WireResponse } from "../../src/http/wire.ts";
import { listenBare } from "./bare-listener.ts";

/** More than any socket buffer here takes. */
const LARGE_BYTES = 12_000_000;
const bytes = Buffer.alloc(LARGE_BYTES, "0123456789");
const text = "é".repeat(20_000);

const answer = (status: number, body: WireResponse["body"]): Promise<WireResponse> =>
  Promise.resolve({ status, contentType: "text/plain; charset=utf-8", requestId: "r", body });
const row = (path: string, body: WireResponse["body"]): ListenOptions["routes"][number] => ({
  method: "GET",
  path,
  handle: async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return answer(200, body);
  },
});
let listener: Listener;
before(async () => {
  listener = await listenBare([row("/bytes", bytes), row("/text", text), row("/small", "small")]);
});
after(() => listener.close());

const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${listener.port}${path}`);

describe("a large answer", () => {
  test("arrives as it is, bytes and text", async () => {
    assert.ok(Buffer.from(await (await get("/bytes")).arrayBuffer()).equals(bytes));
    const answered = await get("/text");
    assert.equal(answered.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(await answered.text(), text);
  });

  test("waits for a client that reads slowly, whose connection takes the next one then", async () => {
    const client = new SlowClient(await open());
    for (const path of ["/bytes", "/small", "/bytes"]) {
      const received = await client.get(path);
      assert.ok(received.equals(path === "/bytes" ? bytes : Buffer.from("small")), path);
    }
    client.close();
  });

  test("whose client leaves in its middle harms no other", async () => {
    for (let i = 0; i < 20; i++) {
      const socket = await open();
      socket.write("GET /bytes HTTP/1.1\r\nHost: x\r\n\r\n");
      await once(socket, "data");
      socket.destroy();
    }
    assert.equal(await (await get("/small")).text(), "small");
  });

  test("is no longer than its bytes for a client of HTTP 1.0, which knows no chunks", async () => {
    const socket = await open();
    socket.write("GET /text HTTP/1.0\r\nHost: x\r\n\r\n");
    const parts: Buffer[] = [];
    socket.on("data", (part: Buffer) => parts.push(part));
    await once(socket, "end");
    const received = Buffer.concat(parts);
    assert.ok(received.subarray(received.indexOf("\r\n\r\n") + 4).equals(Buffer.from(text)));
  });
});

async function open(): Promise<Socket> {
  const socket = connect(listener.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** Takes a part, and the next one a turn later; reads both ways of telling a body's end (RFC 9112 §6). */
class SlowClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.pause();
    socket.on("data", (part: Buffer) => {
      this.#received = Buffer.concat([this.#received, part]);
      socket.pause();
      this.#wake();
    });
    socket.on("close", () => {
      this.#wake();
    });
  }

  async get(path: string): Promise<Buffer> {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const head = (await this.#until("\r\n\r\n")).toString("latin1");
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    if (length !== undefined) return this.#take(Number(length));
    const chunks: Buffer[] = [];
    for (;;) {
      const size = parseInt((await this.#until("\r\n")).toString("latin1"), 16);
      const chunk = await this.#take(size);
      await this.#until("\r\n");
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until(mark: string): Promise<Buffer> {
    while (!this.#received.includes(mark)) await this.#read();
    return this.#take(this.#received.indexOf(mark) + mark.length);
  }

  async #take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    for (;;) {
      const part = this.#received.subarray(0, missing);
      this.#received = this.#received.subarray(part.length);
      parts.push(part);
      missing -= part.length;
      if (missing === 0) return Buffer.concat(parts);
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.#socket.destroyed) throw new Error("the connection ended");
    const read = new Promise<void>((resolve) => (this.#wake = resolve));
    this.#socket.resume();
    await read;
  }
}
