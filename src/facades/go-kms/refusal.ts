/**
 * Errors as Go KMS says them: one line of plain text.
 * Invariant: the lines are constants, and no value that came is in any of them.
 */
import { errorRegistry, type ErrorCode, type KeysteadError } from "../../errors.ts";
import { InvalidWire } from "../../http/facade/invalid-wire.ts";
import type { WireResponse } from "../../http/wire.ts";

const notFound = [404, "Not found"] as const;
const retired = [404, "Key is retired"] as const;

/** Where Go KMS has a status or a line of its own. */
const own: Partial<Record<ErrorCode, readonly [status: number, line: string]>> = {
  route_not_found: notFound,
  method_not_allowed: [405, "Method not allowed"],
  unsupported_media_type: [400, "Body is not JSON"],
  invalid_json: [400, "Body is not JSON"],
  forbidden: [403, "Forbidden"],
  project_not_found: notFound,
  project_pending_deletion: notFound,
  client_not_found: notFound,
  key_not_found: notFound,
  key_version_not_found: notFound,
  key_not_exportable: notFound,
  key_pending_deletion: notFound,
  key_destroyed: notFound,
  key_disabled: retired,
  key_revoked: retired,
  key_version_disabled: retired,
  key_version_too_old: retired,
  key_exists: [409, "Key reference is taken"],
  client_exists: [409, "Client name is taken"],
};

/** The answer to what was refused or failed. */
export function goKmsRefusal(error: KeysteadError, requestId: string): WireResponse {
  const [status, line] = statusAndLine(error);
  const headers: Record<string, string> = {};
  if (status === 401) headers["www-authenticate"] = "Bearer";
  if (status === 429 || status === 503) headers["retry-after"] = String(error.retryAfterSeconds ?? 1);
  return { status, contentType: "text/plain; charset=utf-8", requestId, headers, body: line };
}

function statusAndLine(error: KeysteadError): readonly [number, string] {
  if (error instanceof InvalidWire) return [400, invalidLine(error)];
  // Without a sentence of its own it is about a token.
  if (error.code === "unauthenticated") return [401, error.detail ?? "Missing or invalid token"];
  return own[error.code] ?? [error.status, error.detail ?? errorRegistry[error.code].title];
}

function invalidLine({ issues }: InvalidWire): string {
  const [issue] = issues;
  if (issue === undefined) return "Invalid request";
  const [place, field] = issue.loc;
  if (field === undefined) return "Body is not JSON";
  if (place === "path" && field !== "keyReference") return issue.msg;
  return `Invalid ${String(field)}: ${issue.msg}`;
}
