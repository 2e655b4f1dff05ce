/**
 * The socket in the data path by which the command line on the server's own host talks to a running server: HTTP over a
 * Unix socket. It takes what no network may carry: `POST /root/rotate` with `{"root_key": …}`.
 * Invariant: the socket is 0600 in a folder that is 0700; whoever reaches it owns the data path. A request is small, and a
 * failure says no more than an error's public text.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Buffer } from "node:buffer";
import { asKeysteadError, KeysteadError } from "../errors.ts";
import { parseJsonBody } from "./json-body.ts";

const BODY_BYTES_MAX = 4096;
const REQUEST_MS_MAX = 10_000;
/** What every system takes as a socket's path. */
const PATH_BYTES_MAX = 100;

export interface AdminSocketOptions {
  /** What was left by a process that died is replaced: the caller owns the folder. */
  readonly path: string;
  /** @throws KeysteadError */
  readonly rotateRoot: (rootKey: string) => Promise<void>;
  /** Told of what failed for a cause of the service's own. */
  readonly onFailure: (error: KeysteadError) => void;
}

export interface AdminSocket {
  close(): Promise<void>;
}

/** Opens the socket. Rejects where the path cannot be one. */
export async function openAdminSocket({
  path,
  rotateRoot,
  onFailure,
}: AdminSocketOptions): Promise<AdminSocket> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw new Error("the path is too long for a socket");
  const server = createServer({ requestTimeout: REQUEST_MS_MAX }, (request, response) => {
    serve(request, rotateRoot).then(
      () => {
        answer(response, 200, { status: "rotated" });
      },
      (thrown: unknown) => {
        const error = asKeysteadError(thrown);
        if (error.status >= 500) onFailure(error);
        answer(response, error.status, { code: error.code, title: error.detail ?? error.message });
      },
    );
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(path, { force: true });
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function serve(request: IncomingMessage, rotateRoot: AdminSocketOptions["rotateRoot"]): Promise<void> {
  if (request.url !== "/root/rotate") throw new KeysteadError("route_not_found");
  if (request.method !== "POST") throw new KeysteadError("method_not_allowed");
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_BYTES_MAX) throw new KeysteadError("payload_too_large");
    parts.push(part);
  }
  const body = parseJsonBody(Buffer.concat(parts));
  const rootKey =
    typeof body === "object" && body !== null && "root_key" in body && Object.keys(body).length === 1
      ? body.root_key
      : undefined;
  if (typeof rootKey !== "string") throw new KeysteadError("invalid_body");
  await rotateRoot(rootKey);
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify(body));
}
