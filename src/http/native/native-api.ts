/**
 * The native API as a facade: its rows made into routes. The way of a request: admit, identify, read, then the single door,
 * then the answer.
 * Invariant: everything that costs something comes after the limits; whatever happens, the answer is a problem document
 * with a stable code and the request id.
 */
import { KeysteadError, asKeysteadError, type ErrorCode } from "../../errors.ts";
import type { Caller } from "../../identity/caller.ts";
import type { Door } from "../../service/perform.ts";
import { DEFAULT_PROJECT } from "../../identity/projects.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Admission } from "../admission.ts";
import { IDEMPOTENCY_KEY_HEADER, parseIdempotencyKey, REPLAYED_HEADER } from "../idempotency-key.ts";
import { isJsonMediaType, parseJsonBody } from "../json-body.ts";
import { problemResponse } from "../problem.ts";
import { requestIdOf } from "../request-id.ts";
import type { Fallback, WireRequest, WireResponse, WireRoute } from "../wire.ts";
import { fitNamedParams, namedParams } from "./fields.ts";
import { identityRoutes } from "./identity-routes.ts";
import { barrierRoutes } from "./barrier-routes.ts";
import { batchRoutes } from "./batch-routes.ts";
import { cipherRoutes } from "./cipher-routes.ts";
import { keyRoutes } from "./key-routes.ts";
import { BODY_BYTES_DEFAULT, parseWith, type AnyNativeRoute } from "./native-route.ts";
import { secretRoutes } from "./secret-routes.ts";
import { signatureRoutes } from "./signature-routes.ts";
import { transferRoutes } from "./transfer-routes.ts";

/** All rows of the native API. */
export const nativeRoutes: readonly AnyNativeRoute[] = [
  ...keyRoutes,
  ...transferRoutes,
  ...cipherRoutes,
  ...signatureRoutes,
  ...batchRoutes,
  ...secretRoutes,
  ...identityRoutes,
  ...barrierRoutes,
];

export interface NativeApiOptions {
  readonly door: Door;
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Serves rows marked internal on every listener. */
  readonly internalEverywhere: boolean;
}

/** A body that took longer than this is followed by a second look at its sender's credentials. */
const SLOW_BODY_MS = 200;
const replayedHeaders = { [REPLAYED_HEADER]: "true" } as const;
const projectHeader = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The native API's routes, ready for a listener. */
export function nativeApi(options: NativeApiOptions): WireRoute[] {
  return nativeRoutes.flatMap((row) =>
    [row.path, ...(row.alsoAt ?? [])].map((path) => ({
      method: row.method,
      path,
      handle: handler(options, row, path),
    })),
  );
}

/** What the native API says where no row matches. */
export function nativeFallback({ metrics }: Pick<NativeApiOptions, "metrics">): Fallback {
  const meter = metrics.requestMeter("other", "other");
  const refuse = (
    request: WireRequest,
    code: ErrorCode,
    headers: Record<string, string> = {},
  ): Promise<WireResponse> => {
    const response = problemResponse(new KeysteadError(code), requestIdOf(request));
    meter.count(response.status);
    return Promise.resolve({ ...response, headers: { ...response.headers, ...headers } });
  };
  return {
    notFound: (request) => refuse(request, "route_not_found"),
    methodNotAllowed: (request, allowed) =>
      refuse(request, "method_not_allowed", { allow: allowed.join(", ") }),
    invalidPath: (request) => refuse(request, "invalid_path"),
  };
}

function handler(
  options: NativeApiOptions,
  row: AnyNativeRoute,
  path: string,
): (request: WireRequest) => Promise<WireResponse> {
  const { door, admission, metrics, log } = options;
  const { operation } = row;
  const meter = metrics.requestMeter(row.method, path);
  const reads = row.body !== undefined || row.method === "POST";
  const bodyBytesMax = row.bodyBytesMax ?? BODY_BYTES_DEFAULT;
  const severity = operation.severity ?? "WARNING";
  const mutates = operation.replay !== undefined;
  const hidden = row.internalOnly === true && !options.internalEverywhere;

  return (request) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(request);
    admission.inFlight++;
    return serve(request, requestId, startedAt).then(
      (response) => finish(response, startedAt),
      (thrown: unknown) => {
        const error = asKeysteadError(thrown);
        if (error.status >= 500) log.failure(operation.id, requestId, error);
        return finish(problemResponse(error, requestId), startedAt);
      },
    );
  };

  function finish(response: WireResponse, startedAt: number): WireResponse {
    admission.inFlight--;
    meter.observe(response.status, (performance.now() - startedAt) / 1000);
    return response;
  }

  async function serve(request: WireRequest, requestId: string, startedAt: number): Promise<WireResponse> {
    admission.admitAddress(request);
    let caller: Caller;
    try {
      const identified = admission.identify(request);
      caller = identified instanceof Promise ? await identified : identified;
    } catch (thrown) {
      const { code } = asKeysteadError(thrown);
      if (code !== "unauthenticated") throw thrown;
      return admission.refuseAnonymous(request, requestId, operation.id, code, severity);
    }
    let bytes: Uint8Array | undefined;
    let unreadable: KeysteadError | undefined;
    if (reads) {
      try {
        bytes = await request.readBody(bodyBytesMax);
        // Whoever takes long to send must still be who they were when they began.
        if (performance.now() - startedAt > SLOW_BODY_MS) caller = await admission.identifyAgain(request);
      } catch (thrown) {
        // The caller is known: the refusal takes the same way through the door as any other.
        unreadable = asKeysteadError(thrown);
        if (unreadable.code === "unauthenticated") {
          return admission.refuseAnonymous(request, requestId, operation.id, unreadable.code, severity);
        }
      }
    }
    let input: unknown;
    const binary = row.binary !== undefined && isBinary(request) ? row.binary : undefined;
    const replay = mutates ? { happened: false } : undefined;
    const project = request.header("x-keystead-project");
    const result = await door.perform(operation, {
      caller,
      project: project ?? DEFAULT_PROJECT,
      requestId,
      address: request.address,
      proxy: request.proxy,
      parse() {
        // Told after the caller is known, so that a try from outside is recorded like any other refusal.
        if (hidden && !request.internal) throw new KeysteadError("route_not_found");
        if (unreadable !== undefined) throw unreadable;
        input = parseInput(request, project, bytes, binary);
        return input;
      },
      idempotencyKey: mutates ? () => parseIdempotencyKey(request.header(IDEMPOTENCY_KEY_HEADER)) : undefined,
      onReplayed: replay && (() => (replay.happened = true)),
    });
    if (binary !== undefined) {
      const body = binary.output(result, input);
      return { status: row.status, contentType: BINARY_TYPE, requestId, body };
    }
    const extra = replay?.happened === true ? { headers: replayedHeaders } : undefined;
    if (row.status === 204) return { status: 204, contentType: undefined, requestId, body: null, ...extra };
    return {
      status: row.status,
      contentType: "application/json",
      requestId,
      ...extra,
      body: row.outputText?.(result, input) ?? JSON.stringify(row.output(result, input)),
    };
  }

  function parseParams(params: Readonly<Record<string, string>>): unknown {
    if (row.params === undefined) return undefined;
    if (row.params === (namedParams as unknown) && fitNamedParams(params)) return params;
    return parseWith(row.params, params);
  }

  function parseInput(
    request: WireRequest,
    project: string | undefined,
    bytes: Uint8Array | undefined,
    binary: AnyNativeRoute["binary"],
  ): unknown {
    if (project !== undefined && !projectHeader.test(project)) {
      throw new KeysteadError("invalid_header", { detail: "X-Keystead-Project is no project name" });
    }
    const params = parseParams(request.params);
    const { queryText } = request;
    let query: unknown;
    if (row.query !== undefined) query = parseWith(row.query, queryText === "" ? {} : parseQuery(queryText));
    else if (queryText !== "") throw new KeysteadError("unknown_field", { detail: "it takes no query" });
    let body: unknown;
    if (bytes !== undefined) {
      if (binary !== undefined) return binary.input({ params, bytes });
      if (bytes.length > 0 && !isJsonMediaType(request.header("content-type"))) {
        throw new KeysteadError("unsupported_media_type");
      }
      const value = parseJsonBody(bytes);
      if (row.parseBody !== undefined) body = row.parseBody(value);
      else if (row.body !== undefined) body = parseWith(row.body, value);
    }
    return row.input({ params, query, body });
  }
}

const BINARY_TYPE = "application/octet-stream";

function isBinary(request: WireRequest): boolean {
  return request.header("content-type")?.toLowerCase() === BINARY_TYPE;
}

function parseQuery(text: string): Record<string, string> {
  const query = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (query.has(name)) throw new KeysteadError("invalid_body", { detail: "a query field came twice" });
    query.set(name, value);
  }
  return Object.fromEntries(query);
}
