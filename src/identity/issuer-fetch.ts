/**
 * Reads a JSON document from an issuer's server.
 * Invariant: HTTPS only (plain HTTP to loopback addresses where that is allowed: dev mode), the server's certificate is
 * checked, no redirect is followed, and neither the time nor the size of an answer goes over its limit. What comes back is
 * only ever parsed: nothing of it reaches an answer or the log.
 */
import { Buffer } from "node:buffer";
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { decodeUtf8 } from "../bytes.ts";

const ANSWER_MS_MAX = 5000;
const ANSWER_BYTES_MAX = 256 * 1024;

export interface IssuerFetchOptions {
  /** PEM certificates to trust in the place of the public ones. */
  readonly caPem: string | undefined;
  /** Lets plain HTTP go to this machine itself. */
  readonly plainLoopback: boolean;
  /** Replaces the limit of 5 seconds, for tests. */
  readonly answerMsMax?: number | undefined;
}

/** Why a document was not had: a constant of this file, fit for the log. */
export class IssuerFetchFailed extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "IssuerFetchFailed";
  }
}

/** Whether an address may be asked at all. */
export function isFetchable(address: string, plainLoopback: boolean): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, hostname, username, password, hash } = new URL(address);
  if (username !== "" || password !== "" || hash !== "") return false;
  return protocol === "https:" || (protocol === "http:" && plainLoopback && isLoopback(hostname));
}

/** The document at an address. Rejects with IssuerFetchFailed. */
export async function fetchIssuerJson(address: string, options: IssuerFetchOptions): Promise<unknown> {
  if (!isFetchable(address, options.plainLoopback)) throw new IssuerFetchFailed("its address is not https");
  const text = decodeUtf8(await answerOf(new URL(address), options));
  try {
    return JSON.parse(text ?? "") as unknown;
  } catch {
    throw new IssuerFetchFailed("its answer is not JSON");
  }
}

function answerOf(url: URL, { caPem, answerMsMax = ANSWER_MS_MAX }: IssuerFetchOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { accept: "application/json", "accept-encoding": "identity", "user-agent": "keystead" };
    // A connection of its own: what was once trusted under another certificate authority is not used again.
    const request =
      url.protocol === "https:"
        ? requestTls(url, {
            headers,
            agent: false,
            minVersion: "TLSv1.2",
            ...(caPem === undefined ? {} : { ca: caPem }),
          })
        : requestPlain(url, { headers, agent: false });
    const fail = (reason: string): void => {
      clearTimeout(timer);
      reject(new IssuerFetchFailed(reason));
      request.destroy();
    };
    const timer = setTimeout(() => {
      fail("it did not answer in time");
    }, answerMsMax);
    request.on("error", () => {
      fail("it cannot be reached, or its certificate is not trusted");
    });
    request.on("response", (response) => {
      if (response.statusCode !== 200) {
        fail("it did not answer with 200");
        return;
      }
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > ANSWER_BYTES_MAX) fail("its answer is too large");
        else parts.push(part);
      });
      response.on("error", () => {
        fail("its answer ended early");
      });
      response.on("close", () => {
        if (!response.complete) fail("its answer ended early");
      });
      response.on("end", () => {
        clearTimeout(timer);
        resolve(Buffer.concat(parts));
      });
    });
    request.end();
  });
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
