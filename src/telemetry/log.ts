/**
 * The service's own log: JSON lines on standard error, or plain lines for a person in dev mode.
 * Invariant: texts are constants of this program; fields are names, counts and codes. The cause of an internal error is
 * logged by its class and message, which are this program's or its libraries' own, never a request's content.
 */
import type { ErrorCode, KeysteadError } from "../errors.ts";

export type LogLevel = "info" | "warn" | "error";
type Fields = Readonly<Record<string, string | number | boolean>>;

/** What says how the service is rather than what the request was: whoever asks, credentials or not, brings one about. */
const conditions: ReadonlySet<ErrorCode> = new Set([
  "audit_unavailable",
  "storage_unavailable",
  "busy",
  "stopping",
]);
const CONDITION_MS = 1000;

export class Log {
  readonly #plain: boolean;
  readonly #write: (line: string) => void;

  /** For each condition, when its last line was written, and how many failures had none since. */
  readonly #conditions = new Map<ErrorCode, { readonly atMs: number; more: number }>();

  constructor(options: { readonly plain: boolean; readonly write?: (line: string) => void }) {
    this.#plain = options.plain;
    this.#write = options.write ?? ((line) => process.stderr.write(line));
  }

  info(message: string, fields: Fields = {}): void {
    this.#line("info", message, fields);
  }

  warn(message: string, fields: Fields = {}): void {
    this.#line("warn", message, fields);
  }

  error(message: string, fields: Fields = {}): void {
    this.#line("error", message, fields);
  }

  /**
   * An answer of status 500 or above. Where it is a condition of the service, one line a second has to do, with how many
   * others there were: nobody fills the log (and the disk that it may share with the audit log) by asking.
   */
  failure(operation: string, requestId: string, error: KeysteadError): void {
    const { cause, code } = error;
    const atMs = performance.now();
    const last = this.#conditions.get(code);
    if (last !== undefined && atMs - last.atMs < CONDITION_MS) {
      last.more++;
      return;
    }
    if (conditions.has(code)) this.#conditions.set(code, { atMs, more: 0 });
    this.error("request failed", {
      operation,
      request: requestId,
      code,
      ...(cause instanceof Error ? { cause: `${cause.name}: ${cause.message}` } : {}),
      ...(last === undefined || last.more === 0 ? {} : { more: last.more }),
    });
  }

  #line(level: LogLevel, message: string, fields: Fields): void {
    if (this.#plain) {
      const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${String(value)}`);
      this.#write(`${level === "info" ? "" : `${level}: `}${message}${shown.join("")}\n`);
    } else {
      this.#write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
    }
  }
}

/** What is logged of an error: with what caused it, since the title of a public error says nothing of that. */
export function causeOf(error: unknown): string {
  const { cause } = error instanceof Error ? error : {};
  return cause instanceof Error ? `${String(error)} (${cause.name}: ${cause.message})` : String(error);
}
