/**
 * The native API: its rows made into routes. The way of a request: admitted, identified and read (api-handler.ts), then the
 * single door, then the answer.
 * Invariant: whatever happens, the answer is a problem document with a stable code and the request id.
 */
import { KeysteadError, type ErrorCode } from "../../errors.ts";
import type { Caller } from "../../identity/caller.ts";
import type { Call, Door } from "../../service/perform.ts";
import { apiHandler, type ApiParts, type Exchange } from "../api-handler.ts";
import { IDEMPOTENCY_KEY_HEADER, parseIdempotencyKey, REPLAYED_HEADER } from "../idempotency-key.ts";
import { isJsonMediaType, parseJsonBody } from "../json-body.ts";
import { problemResponse } from "../problem.ts";
import { parseQuery } from "../query-text.ts";
import { assertProjectName, projectOf } from "../project-header.ts";
import { requestIdOf } from "../request-id.ts";
import type { Fallback, WireRequest, WireResponse, WireRoute } from "../wire.ts";
import { fitNamedParams, namedParams } from "./fields.ts";
import { identityRoutes } from "./identity-routes.ts";
import { issuerRoutes } from "./issuer-routes.ts";
import { barrierRoutes } from "./barrier-routes.ts";
import { batchRoutes } from "./batch-routes.ts";
import { cipherRoutes } from "./cipher-routes.ts";
import { loginRoutes } from "./login-routes.ts";
import { keyRoutes } from "./key-routes.ts";
import { BODY_BYTES_DEFAULT, parseWith, type AnyNativeRoute } from "./native-route.ts";
import { roleRoutes } from "./role-routes.ts";
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
  ...loginRoutes,
  ...roleRoutes,
  ...issuerRoutes,
  ...barrierRoutes,
];

export interface NativeApiOptions extends ApiParts {
  /** Serves rows marked internal on every listener. */
  readonly internalEverywhere: boolean;
}

const replayedHeaders = { [REPLAYED_HEADER]: "true" } as const;
const BINARY_TYPE = "application/octet-stream";

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
  const { operation } = row;
  const { admission } = options;
  const anonymous = operation.anonymous === true;
  const hidden = row.internalOnly === true && !options.internalEverywhere;
  const serving: Serving = {
    door: options.door,
    row,
    hidden,
    recordRefusal: anonymous ? (facts) => admission.recordRefusal(facts) : undefined,
  };
  return apiHandler(options, path, {
    method: row.method,
    action: operation.id,
    severity: operation.severity ?? "WARNING",
    bodyBytesMax:
      row.body !== undefined || row.method === "POST" ? (row.bodyBytesMax ?? BODY_BYTES_DEFAULT) : undefined,
    open: anonymous,
    checksPassword: operation.checksPassword,
    exchange: (request, caller, requestId, body, unreadable) =>
      new NativeExchange(serving, request, caller, requestId, body, unreadable),
    refusal: problemResponse,
  });
}

/** What all requests of a row share. */
interface Serving {
  readonly door: Door;
  readonly row: AnyNativeRoute;
  readonly hidden: boolean;
  readonly recordRefusal: Call<unknown>["recordRefusal"];
}

/**
 * One request of the native API, which is one call of one operation. Plain fields, made for every request: fields with a
 * `#` cost the way of an encryption 2 µs.
 */
class NativeExchange implements Exchange, Call<unknown> {
  readonly caller: Caller;
  readonly requestId: string;
  readonly address: string;
  readonly proxy: string | undefined;
  readonly project: string;
  readonly recordRefusal: Call<unknown>["recordRefusal"];
  private readonly door: Door;
  private readonly row: AnyNativeRoute;
  private readonly hidden: boolean;
  private readonly request: WireRequest;
  private readonly body: Uint8Array | undefined;
  private readonly unreadable: KeysteadError | undefined;
  private readonly binary: AnyNativeRoute["binary"];
  private input: unknown;
  private replayed = false;

  constructor(
    { door, row, hidden, recordRefusal }: Serving,
    request: WireRequest,
    caller: Caller,
    requestId: string,
    body: Uint8Array | undefined,
    unreadable: KeysteadError | undefined,
  ) {
    this.caller = caller;
    this.requestId = requestId;
    this.address = request.address;
    this.proxy = request.proxy;
    this.project = projectOf(request);
    this.recordRefusal = recordRefusal;
    this.door = door;
    this.row = row;
    this.hidden = hidden;
    this.request = request;
    this.body = body;
    this.unreadable = unreadable;
    this.binary = row.binary !== undefined && isBinary(request) ? row.binary : undefined;
  }

  perform(): Promise<unknown> {
    return this.door.perform(this.row.operation, this);
  }

  /** Asked after the caller is known, so that what does not fit is recorded like any other refusal. */
  parse(): unknown {
    if (this.hidden && !this.request.internal) throw new KeysteadError("route_not_found");
    if (this.unreadable !== undefined) throw this.unreadable;
    this.input = this.parseInput();
    return this.input;
  }

  idempotencyKey(): string | undefined {
    return parseIdempotencyKey(this.request.header(IDEMPOTENCY_KEY_HEADER));
  }

  onReplayed(): void {
    this.replayed = true;
  }

  render(result: unknown): WireResponse {
    const { requestId } = this;
    const row = this.row;
    const { status } = row;
    if (this.binary !== undefined) {
      const body = this.binary.output(result, this.input);
      return { status, contentType: BINARY_TYPE, requestId, body };
    }
    const extra = this.replayed ? { headers: replayedHeaders } : undefined;
    if (status === 204) return { status, contentType: undefined, requestId, body: null, ...extra };
    return {
      status,
      contentType: "application/json",
      requestId,
      ...extra,
      body: row.outputText?.(result, this.input) ?? JSON.stringify(row.output(result, this.input)),
    };
  }

  private parseInput(): unknown {
    const row = this.row;
    const request = this.request;
    assertProjectName(this.project);
    const params = this.parseParams();
    const { queryText } = request;
    let query: unknown;
    if (row.query !== undefined) query = parseWith(row.query, queryText === "" ? {} : parseQuery(queryText));
    else if (queryText !== "") throw new KeysteadError("unknown_field", { detail: "it takes no query" });
    let body: unknown;
    const bytes = this.body;
    if (bytes !== undefined) {
      if (this.binary !== undefined) return this.binary.input({ params, bytes });
      if (bytes.length > 0 && !isJsonMediaType(request.header("content-type"))) {
        throw new KeysteadError("unsupported_media_type");
      }
      const value = parseJsonBody(bytes);
      if (row.parseBody !== undefined) body = row.parseBody(value);
      else if (row.body !== undefined) body = parseWith(row.body, value);
    }
    return row.input({ params, query, body });
  }

  private parseParams(): unknown {
    const row = this.row;
    const { params } = this.request;
    if (row.params === undefined) return undefined;
    if (row.params === (namedParams as unknown) && fitNamedParams(params)) return params;
    return parseWith(row.params, params);
  }
}

function isBinary(request: WireRequest): boolean {
  return request.header("content-type")?.toLowerCase() === BINARY_TYPE;
}
