/**
 * Facades made into routes, and what is said where no row matches: in the shape of the path's owner.
 * Invariant: what does not fit a row's schemas is recorded under the row's operation, for the caller who sent it, like
 * any other refusal; a path that no facade owns is the native API's.
 */
import type { z } from "zod";
import { asKeysteadError, KeysteadError, type ErrorCode } from "../../errors.ts";
import type { Caller } from "../../identity/caller.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { apiHandler, type ApiParts, type Exchange } from "../api-handler.ts";
import { REPLAYED_HEADER } from "../idempotency-key.ts";
import { isJsonMediaType, namesPrototype, parseJsonBody } from "../json-body.ts";
import { assertProjectName, projectOf } from "../project-header.ts";
import { parseQuery } from "../query-text.ts";
import { requestIdOf } from "../request-id.ts";
import type { Fallback, WireRequest, WireResponse, WireRoute } from "../wire.ts";
import { ownsPath, type AnyFacadeRoute, type Facade, type Wire } from "./facade.ts";
import { FacadeCall, type RecordRefusal } from "./facade-call.ts";
import { InvalidWire, wireIssues, type WireIssue } from "./invalid-wire.ts";

const BODY_BYTES_DEFAULT = 64 * 1024;

/** The routes of a facade, ready for a listener. */
export function facadeApi(parts: ApiParts, facade: Facade): WireRoute[] {
  return facade.routes.flatMap((row) =>
    [row.path, ...(row.alsoAt ?? [])].map((path) => ({
      method: row.method,
      path,
      handle: apiHandler(parts, path, {
        method: row.method,
        action: row.operation?.id ?? facade.name,
        severity: row.operation?.severity ?? "WARNING",
        bodyBytesMax: row.body === undefined ? undefined : (row.bodyBytesMax ?? BODY_BYTES_DEFAULT),
        open: row.open,
        checksPassword: row.operation?.checksPassword,
        needsCredentials: facade.needsCredentials,
        exchange: (request, caller, requestId, body, unreadable) =>
          new FacadeExchange(parts, row, request, caller, requestId, body, unreadable),
        refusal: (error, requestId) => facade.refusal(error, requestId),
      }),
    })),
  );
}

/** Answers what no row matches, in the shape of the facade that owns the path, or in the native API's. */
export function facadeFallback(facades: readonly Facade[], native: Fallback, metrics: Metrics): Fallback {
  const meter = metrics.requestMeter("other", "other");
  const owned = (
    request: WireRequest,
    code: ErrorCode,
    headers: Record<string, string> = {},
  ): Promise<WireResponse> | undefined => {
    const owner = facades.find((facade) => ownsPath(facade, request.path));
    if (owner === undefined) return undefined;
    const response = owner.refusal(new KeysteadError(code), requestIdOf(request));
    meter.count(response.status);
    return Promise.resolve({ ...response, headers: { ...response.headers, ...headers } });
  };
  return {
    notFound: (request) => owned(request, "route_not_found") ?? native.notFound(request),
    methodNotAllowed: (request, allowed) =>
      owned(request, "method_not_allowed", { allow: allowed.join(", ") }) ??
      native.methodNotAllowed(request, allowed),
    invalidPath: (request) => owned(request, "invalid_path") ?? native.invalidPath(request),
  };
}

/** Made for every request: plain fields, since those with a `#` cost more to make. */
class FacadeExchange implements Exchange {
  private readonly row: AnyFacadeRoute;
  private readonly request: WireRequest;
  private readonly call: FacadeCall;
  private readonly body: Uint8Array | undefined;
  private readonly unreadable: KeysteadError | undefined;

  constructor(
    { door, admission }: ApiParts,
    row: AnyFacadeRoute,
    request: WireRequest,
    caller: Caller,
    requestId: string,
    body: Uint8Array | undefined,
    unreadable: KeysteadError | undefined,
  ) {
    this.row = row;
    this.request = request;
    const recordRefusal: RecordRefusal =
      row.open === true ? (facts) => admission.recordRefusal(facts) : undefined;
    this.call = new FacadeCall(door, request, caller, requestId, projectOf(request), recordRefusal);
    this.body = body;
    this.unreadable = unreadable;
  }

  perform(): Promise<unknown> {
    const { operation } = this.row;
    let wire: Wire<unknown, unknown, unknown>;
    try {
      wire = this.parse();
    } catch (thrown) {
      const error = asKeysteadError(thrown);
      return operation === undefined ? Promise.reject(error) : this.call.refuse(operation, error);
    }
    return this.row.serve(this.call, wire);
  }

  render(result: unknown): WireResponse {
    const { headers, replayed, requestId } = this.call;
    const { status } = this.row;
    const all = replayed ? { ...headers, [REPLAYED_HEADER]: "true" } : headers;
    return result === undefined
      ? { status, contentType: undefined, requestId, headers: all, body: null }
      : { status, contentType: "application/json", requestId, headers: all, body: JSON.stringify(result) };
  }

  private parse(): Wire<unknown, unknown, unknown> {
    if (this.unreadable !== undefined) throw this.unreadable;
    const row = this.row;
    const request = this.request;
    assertProjectName(this.call.project);
    const issues: WireIssue[] = [];
    const held = <T>(place: "path" | "query" | "body", schema: z.ZodType<T>, value: unknown): T => {
      const result = schema.safeParse(value);
      if (result.success) return result.data;
      issues.push(...wireIssues(place, schema, result.error.issues, value));
      return undefined as T;
    };
    const params = row.params === undefined ? undefined : held("path", row.params, request.params);
    // A query that no row has a name for is passed over by the systems that are spoken here; ours is not to guess.
    const { queryText } = request;
    const query = row.query === undefined ? undefined : held("query", row.query, parseQuery(queryText));
    if (row.query === undefined && queryText !== "") throw new KeysteadError("unknown_field");
    const body = row.body === undefined ? undefined : held("body", row.body, this.bodyValue());
    if (issues.length > 0) throw new InvalidWire(issues);
    return { params, query, body };
  }

  private bodyValue(): unknown {
    const bytes = this.body;
    // What is absent is told from what is empty: a schema says whether a body may be absent.
    if (bytes === undefined || bytes.length === 0) return undefined;
    if (!isJsonMediaType(this.request.header("content-type")))
      throw new KeysteadError("unsupported_media_type");
    const value = parseJsonBody(bytes);
    if (namesPrototype(value)) throw new KeysteadError("unknown_field");
    return value;
  }
}
