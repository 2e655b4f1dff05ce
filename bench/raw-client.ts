/**
 * A keep-alive HTTP/1.1 connection that sends requests given as bytes and reads no more of an answer than its status and
 * its end. Bun's own sockets: the load must cost less than what it loads.
 */
import type { Socket } from "bun";

interface Waiting {
  readonly onAnswer: (status: number) => void;
}

const HEAD_END = "\r\n\r\n";
/** An answer's head is shorter than this. */
const HEAD_BYTES_MAX = 1024;

export class RawClient {
  private socket: Socket<RawClient> | undefined;
  private waiting: Waiting["onAnswer"] | undefined;
  private status = 0;
  /** What is still to come of the answer; 0 between two answers. */
  private bytesLeft = 0;

  /** Connects to a server on this machine. */
  static async connect(port: number): Promise<RawClient> {
    const client = new RawClient();
    client.socket = await Bun.connect<RawClient>({
      hostname: "127.0.0.1",
      port,
      data: client,
      socket: {
        data: (socket, bytes) => {
          socket.data.take(bytes);
        },
        close: ({ data }) => {
          data.answered(0);
        },
        error: ({ data }) => {
          data.answered(0);
        },
      },
    });
    return client;
  }

  /** Sends a request; one at a time. `onAnswer` is told its status, 0 where the connection is lost. */
  send(request: Uint8Array, onAnswer: (status: number) => void): void {
    this.waiting = onAnswer;
    this.socket?.write(request);
  }

  /** Sends a request and waits for its status. */
  request(request: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      this.send(request, resolve);
    });
  }

  close(): void {
    this.waiting = undefined;
    this.socket?.end();
  }

  private take(bytes: Buffer): void {
    if (this.bytesLeft === 0) {
      const head = bytes.toString("latin1", 0, HEAD_BYTES_MAX);
      const end = head.indexOf(HEAD_END) + HEAD_END.length;
      const length = /content-length: (\d+)/i.exec(head);
      this.status = Number(head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));
      this.bytesLeft = end + Number(length?.[1] ?? 0);
    }
    this.bytesLeft -= bytes.length;
    if (this.bytesLeft <= 0) this.answered(this.status);
  }

  private answered(status: number): void {
    this.bytesLeft = 0;
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.(status);
  }
}
