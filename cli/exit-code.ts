/**
 * What a command's end tells its caller: the exit code, and one line for people.
 * Invariant: the codes never change their meaning; the line holds public texts only, free of control characters.
 */
import { DocStoreError, systemCodeOf, type DocStoreErrorCode } from "../docstore/doc-store-error.ts";
import { KeysteadApiError } from "../sdk/api-error.ts";
import { KeysteadCredentialError } from "../sdk/credential-error.ts";
import { KeysteadConnectionError } from "../sdk/connection-error.ts";
import { KeysteadDataKeyError, KeysteadDecryptionError } from "../sdk/envelope-error.ts";
import { KeysteadInputError } from "../sdk/input-error.ts";
import { InputFailed } from "./input.ts";
import { visibleText } from "./output.ts";
import { SessionEnded } from "./session-ended.ts";
import { UsageError } from "./usage-error.ts";

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
export const EXIT_REFUSED = 3;
export const EXIT_NOT_FOUND = 4;
export const EXIT_INPUT = 5;
export const EXIT_NOT_VALID = 6;

const docStoreExits: Readonly<Partial<Record<DocStoreErrorCode, number>>> = {
  document_unreadable: EXIT_NOT_VALID,
  documents_unreadable: EXIT_NOT_VALID,
  key_service_unavailable: EXIT_FAILURE,
  key_refused: EXIT_REFUSED,
  key_gone: EXIT_NOT_FOUND,
  busy: EXIT_FAILURE,
};

/** The exit code of what a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE;
  if (error instanceof KeysteadInputError || error instanceof InputFailed) return EXIT_INPUT;
  if (error instanceof DocStoreError) return docStoreExits[error.code] ?? EXIT_INPUT;
  if (error instanceof KeysteadDecryptionError) return EXIT_NOT_VALID;
  if (error instanceof SessionEnded) return EXIT_REFUSED;
  if (error instanceof KeysteadCredentialError) return exitCodeOf(error.cause);
  if (!(error instanceof KeysteadApiError)) return EXIT_FAILURE;
  if (error.code === "decryption_failed") return EXIT_NOT_VALID;
  if (error.status === 401 || error.status === 403) return EXIT_REFUSED;
  if (error.status === 404) return EXIT_NOT_FOUND;
  return error.status >= 400 && error.status < 500 && error.status !== 429 ? EXIT_INPUT : EXIT_FAILURE;
}

/** The line that says what went wrong, without a line end. */
export function errorLine(error: unknown): string {
  return `keystead: ${visibleText(textOf(error))}`;
}

function textOf(error: unknown): string {
  if (error instanceof KeysteadApiError) {
    const hint = error.status === 401 ? "; set KEYSTEAD_TOKEN or use --token-file" : "";
    const request = error.requestId === undefined ? "" : ` [request ${error.requestId}]`;
    return `${error.message} (${error.code})${hint}${request}`;
  }
  if (error instanceof KeysteadConnectionError) {
    const hint =
      error.code === "unreachable" ? "; is the server running, and --url or KEYSTEAD_URL right?" : "";
    return `${error.message} (${error.code})${hint}`;
  }
  if (error instanceof KeysteadDecryptionError) return `${error.message} (${error.code})`;
  if (error instanceof DocStoreError || error instanceof KeysteadDataKeyError) {
    const { cause } = error;
    const below = systemCodeOf(cause) ?? (cause instanceof Error ? textOf(cause) : undefined);
    return `${error.message} (${error.code})${below === undefined ? "" : `: ${below}`}`;
  }
  if (error instanceof KeysteadInputError) return `${error.message} (${error.code})`;
  if (error instanceof UsageError) return `${error.message} (keystead --help)`;
  if (error instanceof InputFailed || error instanceof SessionEnded) return error.message;
  // What a session's token could not be had for.
  if (error instanceof KeysteadCredentialError) return textOf(error.cause);
  // The platform's messages may quote what they were given.
  return `unexpected failure (${error instanceof Error ? error.name : "unknown"})`;
}
