/**
 * An open-loop load: requests leave at a fixed rate whatever the answers do, and a latency counts from the moment a request
 * was due, so that a stall shows in every request that it delayed.
 */
import { connect, type Socket } from "node:net";

export interface PacedResult {
  readonly sent: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** One whole POST request with a JSON body, as text. */
export function requestText(token: string, path: string, body: string): string {
  return [
    `POST ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "",
    body,
  ].join("\r\n");
}

/** A line of figures for people. */
export function latencyLine(name: string, { p50Ms, p99Ms, maxMs, failed }: PacedResult): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return `${name.padEnd(34)}p50 ${ms(p50Ms)}  p99 ${ms(p99Ms)}  max ${ms(maxMs)}  ${failed} failed`;
}

/**
 * @param request one whole HTTP/1.1 request, keep-alive
 * @param perSecond the rate
 * @param connections how many connections share it; a request waits for a free one
 */
export async function pacedLoad(
  port: number,
  request: string,
  perSecond: number,
  connections: number,
  seconds: number,
): Promise<PacedResult> {
  const bytes = Buffer.from(request);
  const latencies: number[] = [];
  const due: number[] = [];
  const idle: Connection[] = [];
  let failed = 0;
  let open = 0;

  const dispatch = (): void => {
    while (idle.length > 0 && due.length > 0) {
      const connection = idle.pop();
      const at = due.shift();
      if (connection !== undefined && at !== undefined) connection.send(bytes, at);
    }
  };
  for (let i = 0; i < connections; i++) {
    const connection = new Connection(port, (dueAt, ok) => {
      latencies.push(performance.now() - dueAt);
      if (!ok) failed++;
      idle.push(connection);
      dispatch();
    });
    await connection.ready;
    idle.push(connection);
    open++;
  }
  const start = performance.now();
  const total = Math.floor(perSecond * seconds);
  let issued = 0;
  while (issued < total) {
    const now = performance.now();
    const target = Math.min(total, Math.floor(((now - start) / 1000) * perSecond));
    for (; issued < target; issued++) due.push(start + (issued / perSecond) * 1000);
    dispatch();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const deadline = performance.now() + 10_000;
  while (idle.length < open && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 5));
  for (const connection of idle) connection.end();
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN;
  return { sent: issued, failed, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: latencies.at(-1) ?? NaN };
}

class Connection {
  readonly ready: Promise<void>;
  readonly #socket: Socket;
  #dueAt = 0;
  #received = "";

  constructor(port: number, onAnswer: (dueAt: number, ok: boolean) => void) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.ready = new Promise((resolve, reject) => {
      this.#socket.once("connect", resolve);
      this.#socket.once("error", reject);
    });
    this.#socket.setEncoding("latin1").on("data", (text) => {
      this.#received += String(text);
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? 0);
      if (this.#received.length < end + 4 + length) return;
      const ok = this.#received.startsWith("HTTP/1.1 200");
      this.#received = "";
      onAnswer(this.#dueAt, ok);
    });
  }

  send(request: Buffer, dueAt: number): void {
    this.#dueAt = dueAt;
    this.#socket.write(request);
  }

  end(): void {
    this.#socket.destroy();
  }
}
