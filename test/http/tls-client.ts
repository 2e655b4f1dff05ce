/** A client over TLS that keeps its connection and sees which certificate it got. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";

/** A connection that is kept, over which one request goes after the other. */
export class TlsClient {
  readonly #socket: TLSSocket;
  #text = "";
  #wake: () => void = () => undefined;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (chunk) => {
      this.#text += String(chunk);
      this.#wake();
    });
    socket.on("error", () => undefined);
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.#wake();
      });
    }
  }

  /** Trusts the given certificate, or any where there is none. */
  static async open(port: number, trusted?: { readonly certFile: string }): Promise<TlsClient> {
    const trust =
      trusted === undefined ? { rejectUnauthorized: false } : { ca: readFileSync(trusted.certFile, "utf8") };
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ...trust });
    await once(socket, "secureConnect");
    return new TlsClient(socket);
  }

  /** The serial number of the server's certificate. */
  get serial(): string {
    return this.#socket.getPeerCertificate().serialNumber;
  }

  /** One answer; rejects where the connection ends before all of it is there. */
  async ask(path: string): Promise<{ status: number; closing: boolean }> {
    this.#text = "";
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    for (;;) {
      const end = this.#text.indexOf("\r\n\r\n");
      const length = Number(/^content-length: (\d+)/im.exec(this.#text)?.[1] ?? NaN);
      if (end !== -1 && this.#text.length >= end + 4 + length) break;
      if (this.#socket.destroyed || this.#socket.readableEnded) throw new Error("the connection ended");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(this.#text)?.[1]);
    return { status, closing: /^connection: close/im.test(this.#text) };
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The serial number of the certificate that a new connection gets. */
export async function serialOf(port: number): Promise<string> {
  const client = await TlsClient.open(port);
  const { serial } = client;
  client.close();
  return serial;
}
