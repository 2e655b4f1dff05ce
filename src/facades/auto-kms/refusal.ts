/**
 * Errors as Auto KMS says them: `{"detail": …}` with a sentence, or with FastAPI's list of what does not fit.
 * Invariant: the sentences are constants, and no value that came is in any of them.
 */
import { z } from "zod";
import { errorRegistry, type ErrorCode, type KeysteadError } from "../../errors.ts";
import { InvalidWire, type WireIssue } from "../../http/facade/invalid-wire.ts";
import type { WireResponse } from "../../http/wire.ts";

const wrappingTypes = "Key wrapping only supported for AES256_GCM and CHACHA20_POLY1305";

/** Where Auto KMS has a status or a sentence of its own. */
const own: Partial<Record<ErrorCode, readonly [status: number, detail: string]>> = {
  route_not_found: [404, "Not Found"],
  method_not_allowed: [405, "Method Not Allowed"],
  unauthenticated: [401, "Not authenticated"],
  forbidden: [403, "Forbidden"],
  project_not_found: [404, "Project not found"],
  key_not_found: [404, "Key not found"],
  key_pending_deletion: [404, "Key not found"],
  key_destroyed: [404, "Key not found"],
  key_version_not_found: [404, "KeyVersion not found"],
  key_exists: [409, "A key of this name exists"],
  key_disabled: [403, "Key is disabled"],
  key_revoked: [403, "Key is disabled"],
  key_version_disabled: [403, "Key version is disabled"],
  key_version_too_old: [403, "Key version is disabled"],
  key_usage: [400, wrappingTypes],
  decryption_failed: [400, "Decryption failed"],
};

const issue = z.strictObject({
  loc: z.array(z.union([z.string(), z.int()])),
  msg: z.string(),
  type: z.string(),
});

/** The body of a refusal. */
export const refusalAnswer = z.strictObject({ detail: z.union([z.string(), z.array(issue)]) });

/** The answer to what was refused or failed. */
export function autoKmsRefusal(error: KeysteadError, requestId: string): WireResponse {
  const [status, detail] = statusAndDetail(error);
  const headers: Record<string, string> = {};
  if (error.code === "unauthenticated") headers["www-authenticate"] = "Bearer";
  if (error.code === "rate_limited" || status === 503) headers["retry-after"] = "1";
  return {
    status,
    contentType: "application/json",
    requestId,
    headers,
    body: JSON.stringify({ detail }),
  };
}

function statusAndDetail(error: KeysteadError): readonly [number, string | readonly WireIssue[]] {
  const { code, field, detail } = error;
  if (error instanceof InvalidWire) return [422, error.issues];
  if (code === "invalid_json")
    return [422, [{ loc: ["body", 0], msg: "JSON decode error", type: "json_invalid" }]];
  if (code === "invalid_encoding" && field !== undefined) {
    return [400, `Invalid base64 encoding for ${field}`];
  }
  if (code === "invalid_body" && (field === "nonce" || field === "tag")) {
    return [422, [{ loc: ["body", `${field}_b64`], msg: "Field required", type: "missing" }]];
  }
  return own[code] ?? [error.status, detail ?? errorRegistry[code].title];
}
