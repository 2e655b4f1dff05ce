/**
 * Every refusal and failure of the document server, as RFC 9457 problem details.
 * Invariant: the texts are constants: nothing of the request, of a document or of a key is in one.
 */
import { docStoreErrors, DocStoreError, type DocStoreErrorCode } from "./doc-store-error.ts";

const storeStatus: Readonly<Record<DocStoreErrorCode, number>> = {
  invalid_project: 400,
  invalid_name: 400,
  invalid_document: 400,
  invalid_cursor: 400,
  document_too_large: 413,
  document_unreadable: 500,
  key_service_unavailable: 503,
  key_refused: 502,
  key_unusable: 409,
  key_gone: 410,
  key_damaged: 500,
  key_spent: 409,
  wrong_form: 409,
  documents_unreadable: 500,
  busy: 503,
  storage_unavailable: 503,
};

/** What only the server itself says. */
const serverProblems = {
  invalid_path: {
    status: 400,
    title: "The path is none of this server's: names stand in it as they are, without escapes",
  },
  invalid_query: { status: 400, title: "The query is none that this path takes" },
  unauthenticated: { status: 401, title: "A valid token is needed" },
  forbidden: { status: 403, title: "The token does not open this project" },
  forbidden_origin: {
    status: 403,
    title: "Without tokens, the server answers this machine's programs only, and no web page",
  },
  route_not_found: { status: 404, title: "There is nothing here" },
  document_not_found: { status: 404, title: "There is no such document" },
  method_not_allowed: { status: 405, title: "The path does not take this method" },
  invalid_condition: {
    status: 400,
    title: "The only condition is If-None-Match: *, on a document that is put",
  },
  document_exists: { status: 412, title: "There is such a document" },
  unsupported_media_type: { status: 415, title: "A document is sent as application/json" },
  internal: { status: 500, title: "The request failed" },
} as const;

export type ServerProblemCode = keyof typeof serverProblems;

/** Thrown by the server's own checks. */
export class DocumentProblem extends Error {
  readonly code: ServerProblemCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ServerProblemCode, headers: Readonly<Record<string, string>> = {}) {
    super(serverProblems[code].title);
    this.name = "DocumentProblem";
    this.code = code;
    this.headers = headers;
  }
}

export interface ProblemAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer for whatever was thrown. */
export function problemOf(error: unknown): ProblemAnswer {
  if (error instanceof DocStoreError)
    return answer(error.code, storeStatus[error.code], docStoreErrors[error.code]);
  const { code, headers } =
    error instanceof DocumentProblem ? error : { code: "internal" as const, headers: {} };
  const { status, title } = serverProblems[code];
  return answer(code, status, title, headers);
}

function answer(
  code: string,
  status: number,
  title: string,
  headers: Readonly<Record<string, string>> = {},
): ProblemAnswer {
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...(status === 503 ? { "retry-after": "1" } : {}),
      ...headers,
    },
    body: JSON.stringify({ type: `urn:keystead:docs:error:${code}`, title, status, code }),
  };
}
