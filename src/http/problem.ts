/**
 * Errors on the native API: RFC 9457 problem details with `code`, and `error` for BunKMS clients.
 * Invariant: every text comes from the registry or from this program's own schemas; nothing of the request is in it but
 * the request id, whose form was checked.
 */
import { errorRegistry, type KeysteadError } from "../errors.ts";
import type { WireResponse } from "./wire.ts";

/** The answer to a refused or failed request. */
export function problemResponse(error: KeysteadError, requestId: string): WireResponse {
  const { title } = errorRegistry[error.code];
  const body = {
    type: `urn:keystead:error:${error.code}`,
    title,
    status: error.status,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.field === undefined ? {} : { field: error.field }),
    code: error.code,
    error: error.detail === undefined ? title : `${title}: ${error.detail}`,
    request_id: requestId,
  };
  const headers: Record<string, string> = {};
  if (error.code === "unauthenticated") headers["www-authenticate"] = "Bearer";
  if (error.code === "rate_limited" || error.status === 503)
    headers["retry-after"] = String(error.retryAfterSeconds ?? 1);
  return {
    status: error.status,
    contentType: "application/problem+json",
    requestId,
    headers,
    body: JSON.stringify(body),
  };
}
