/**
 * A refusal or failure that the service answered with, as RFC 9457 problem details.
 * Invariant: nothing that was sent is in it: no token, no plaintext, no secret.
 */
export class KeysteadApiError extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** The stable code, such as `key_not_found`; `unexpected_answer` where the answer was none of Keystead's. */
  readonly code: string;
  /** What to ask the service's operators about. */
  readonly requestId: string | undefined;
  readonly title: string;
  readonly detail: string | undefined;
  /** The field of the request that was refused. */
  readonly field: string | undefined;
  /** How long the service asks to wait before another try. */
  readonly retryAfterSeconds: number | undefined;

  constructor(problem: {
    readonly status: number;
    readonly code: string;
    readonly title: string;
    readonly requestId?: string | undefined;
    readonly detail?: string | undefined;
    readonly field?: string | undefined;
    readonly retryAfterSeconds?: number | undefined;
  }) {
    super(problem.detail === undefined ? problem.title : `${problem.title}: ${problem.detail}`);
    this.name = "KeysteadApiError";
    this.status = problem.status;
    this.code = problem.code;
    this.requestId = problem.requestId;
    this.title = problem.title;
    this.detail = problem.detail;
    this.field = problem.field;
    this.retryAfterSeconds = problem.retryAfterSeconds;
  }
}

/** What an answer's headers say beside its status. */
export interface AnswerFacts {
  readonly requestId: string | null;
  readonly retryAfterSeconds: number | undefined;
}

/** The error for an answer of a failing status: its problem document, or what can be said without one. */
export function apiErrorOf(
  status: number,
  body: unknown,
  { requestId: requestIdHeader, retryAfterSeconds }: AnswerFacts,
): KeysteadApiError {
  const problem = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const { code, title, detail, field } = problem;
  const requestId = requestIdHeader ?? textOrNothing(problem["request_id"]);
  if (typeof code !== "string" || typeof title !== "string") {
    return new KeysteadApiError({
      status,
      code: "unexpected_answer",
      title: `The server answered ${status} in a way that Keystead does not`,
      requestId,
      retryAfterSeconds,
    });
  }
  return new KeysteadApiError({
    status,
    code,
    title,
    requestId,
    detail: textOrNothing(detail),
    field: textOrNothing(field),
    retryAfterSeconds,
  });
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
