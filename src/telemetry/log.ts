/**
 * The service's own log: JSON lines on standard error, or plain lines for a person in dev mode.
 * Invariant: texts are constants of this program; fields are names, counts and codes. The cause of an internal error is
 * logged by its class and message, which are this program's or its libraries' own, never a request's content.
 */
import type { KeysteadError } from "../errors.ts";

export type LogLevel = "info" | "warn" | "error";
type Fields = Readonly<Record<string, string | number | boolean>>;

const BUSY_MS = 1000;

export class Log {
  readonly #plain: boolean;
  readonly #write: (line: string) => void;

  #busyAt = -Infinity;

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
   * An answer of status 500 or above. `busy` is brought about by whoever asks too much, so that one line a second has to do:
   * nobody fills the log by asking. The metrics count them all.
   */
  failure(operation: string, requestId: string, error: KeysteadError): void {
    const { cause } = error;
    if (error.code === "busy") {
      const now = performance.now();
      if (now - this.#busyAt < BUSY_MS) return;
      this.#busyAt = now;
    }
    this.error("request failed", {
      operation,
      request: requestId,
      code: error.code,
      ...(cause instanceof Error ? { cause: `${cause.name}: ${cause.message}` } : {}),
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
