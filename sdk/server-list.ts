/**
 * The addresses of a service that has several, and which of them to ask.
 * Invariant: one that works is kept, and one that failed is set aside for a while; where all are set aside, the one whose
 * time ends first is asked, so that there is always one to ask.
 */
import { KeysteadInputError } from "./input-error.ts";

const ASIDE_MS = 10_000;

export interface Server {
  /** What paths are appended to. */
  readonly base: string;
  /** What may be named in errors. */
  readonly origin: string;
}

interface Listed extends Server {
  asideUntil: number;
}

export class ServerList {
  readonly #servers: readonly Listed[];
  #current: Listed;

  /** @throws KeysteadInputError for an address that is none, or no address at all */
  constructor(urls: readonly string[]) {
    this.#servers = urls.map((text) => {
      const url = readUrl(text);
      return { base: url.origin + url.pathname.replace(/\/+$/, ""), origin: url.origin, asideUntil: 0 };
    });
    const [first] = this.#servers;
    if (first === undefined) throw new KeysteadInputError("invalid_url", "There is no server to ask");
    this.#current = first;
  }

  /** The server to ask now. */
  get current(): Server {
    return this.#current;
  }

  /** Says that a server failed. Whether another one, which has not, is now to be asked. */
  setAside(failed: Server): boolean {
    const now = performance.now();
    (failed as Listed).asideUntil = now + ASIDE_MS;
    // Others may have found a better one while this try was under way.
    if (this.#current === failed || this.#current.asideUntil > now) {
      const at = this.#servers.indexOf(this.#current);
      const inOrder = [...this.#servers.slice(at + 1), ...this.#servers.slice(0, at + 1)];
      this.#current = inOrder.reduce((best, one) => {
        if (best.asideUntil <= now) return best;
        return one.asideUntil < best.asideUntil ? one : best;
      });
    }
    return this.#current.asideUntil <= now;
  }
}

function readUrl(text: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Reported below, without the text.
  }
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new KeysteadInputError(
      "invalid_url",
      "The server's URL is http:// or https:// and a host, such as http://localhost:8080",
    );
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new KeysteadInputError("invalid_url", "The server's URL holds no credentials, query or fragment");
  }
  return url;
}
