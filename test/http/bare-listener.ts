/** The listener of the runtime that the tests run on, without a service behind it. */
import type { Listener, ListenOptions, WireResponse } from "../../src/http/wire.ts";

/** Starts listening on a free port of this machine; what is not in `routes` is answered by `nothing`. */
export async function listenBare(
  routes: ListenOptions["routes"],
  options: Pick<ListenOptions, "bodySecondsMax"> = {},
): Promise<Listener> {
  const start =
    "bun" in process.versions
      ? (await import("../../src/http/listen-bun.ts")).listenOnBun
      : (await import("../../src/http/listen-node.ts")).listenOnNode;
  const fallback = { notFound: nothing, methodNotAllowed: nothing, invalidPath: nothing };
  return start({ host: "127.0.0.1", port: 0, internal: false, fallback, routes, ...options });
}

function nothing(): Promise<WireResponse> {
  return Promise.resolve({ status: 404, contentType: "text/plain", requestId: "r", body: "nothing" });
}
