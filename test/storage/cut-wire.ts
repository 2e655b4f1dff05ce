/** A wire to the database that breaks where a test wants it to. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** Stands between the service and the database, and cuts connections in the moment of a commit when told to. */
export class Wire {
  readonly #sockets = new Set<Socket>();
  /** before: the database never hears of the commit; after: it commits, and its answer is lost. */
  cut: "before" | "after" | undefined;
  /** With the cut, all other connections break, and nobody is let in until this is over. */
  away = false;
  #closed = false;
  #port = 0;

  static async to(port: number): Promise<Wire> {
    const wire = new Wire();
    const server = createServer((client) => {
      wire.#join(client, port);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    server.unref();
    wire.#port = (server.address() as AddressInfo).port;
    return wire;
  }

  url(database: string): string {
    const url = new URL(database);
    url.port = String(this.#port);
    return url.href;
  }

  /** The database can be reached again. */
  back(): void {
    this.away = false;
    this.#closed = false;
  }

  #join(client: Socket, port: number): void {
    if (this.#closed) {
      client.destroy();
      return;
    }
    const server = connect(port, "127.0.0.1");
    const end = (): void => {
      for (const socket of [client, server]) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", end).on("close", end);
    }
    let answerLost = false;
    client.on("data", (bytes) => {
      // A simple query (Q), its length, and the text.
      if (this.cut !== undefined && bytes.includes("commit\0")) {
        const { cut } = this;
        this.cut = undefined;
        if (this.away) {
          this.#closed = true;
          for (const socket of this.#sockets) if (socket !== client && socket !== server) socket.destroy();
        }
        if (cut === "before") {
          end();
          return;
        }
        answerLost = true;
      }
      server.write(bytes);
    });
    server.on("data", (bytes) => {
      if (answerLost) end();
      else client.write(bytes);
    });
  }
}
