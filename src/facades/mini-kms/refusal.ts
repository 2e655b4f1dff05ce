/**
 * Errors as Mini KMS says them: problem details (RFC 9457), and for what does not fit the schemas 422 with a list of it.
 * Invariant: the sentences are constants, and no value that came is in any of them.
 */
import { z } from "zod";
import { errorRegistry, type ErrorCode, type KeysteadError } from "../../errors.ts";
import { InvalidWire, type WireIssue } from "../../http/facade/invalid-wire.ts";
import type { WireResponse } from "../../http/wire.ts";

/** Where Mini KMS has a status or a sentence of its own. */
const own: Partial<Record<ErrorCode, readonly [status: number, detail: string]>> = {
  route_not_found: [404, "Not Found"],
  method_not_allowed: [405, "Method Not Allowed"],
  project_not_found: [404, "Profile not found"],
  project_exists: [400, "A profile of this name exists"],
  project_pending_deletion: [400, "The profile is to be deleted"],
  key_not_found: [404, "Key not found"],
  key_pending_deletion: [404, "Key not found"],
  key_destroyed: [404, "Key not found"],
  key_version_not_found: [404, "Key not found"],
  key_exists: [400, "Another key has this alias"],
  key_usage: [400, "A key of this type does not sign"],
  credential_not_found: [404, "Record not found"],
  credential_exists: [400, "A record of this id exists"],
  credential_ambiguous: [400, "More than one record has this given id"],
  limit_reached: [400, "There is more than one request looks at"],
};

/** The reason phrases of RFC 9110 for the statuses that there are here. */
const phrases: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** The body of a refusal. */
export const refusalAnswer = z.strictObject({
  type: z.literal("about:blank"),
  status: z.int(),
  title: z.string(),
  detail: z.string(),
  errors: z
    .array(
      z.strictObject({
        loc: z.array(z.union([z.string(), z.int()])),
        msg: z.string(),
        type: z.string(),
      }),
    )
    .optional(),
});

/** The answer to what was refused or failed. */
export function miniKmsRefusal(error: KeysteadError, requestId: string): WireResponse {
  const issues = issuesOf(error);
  const [status, detail] =
    issues === undefined
      ? (own[error.code] ?? [error.status, error.detail ?? errorRegistry[error.code].title])
      : [422, "The request does not fit"];
  const headers: Record<string, string> = {};
  if (error.code === "unauthenticated") headers["www-authenticate"] = "Bearer";
  if (error.code === "rate_limited" || status === 503)
    headers["retry-after"] = String(error.retryAfterSeconds ?? 1);
  return {
    status,
    contentType: "application/problem+json",
    requestId,
    headers,
    body: JSON.stringify({
      type: "about:blank",
      status,
      title: phrases[status] ?? errorRegistry[error.code].title,
      detail,
      ...(issues === undefined ? {} : { errors: issues }),
    }),
  };
}

/** What does not fit the schemas, item by item; undefined where it is something else. */
function issuesOf(error: KeysteadError): readonly WireIssue[] | undefined {
  if (error instanceof InvalidWire) return error.issues;
  if (error.code === "invalid_json")
    return [{ loc: ["body", 0], msg: "JSON decode error", type: "json_invalid" }];
  if (error.code === "unknown_field")
    return [{ loc: ["query", "?"], msg: "Extra inputs are not permitted", type: "extra_forbidden" }];
  return undefined;
}
