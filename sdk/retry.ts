/**
 * When a failed try is worth another one, and how long to wait for it.
 * Backoff is exponential with full jitter: a random time up to a limit that doubles with each try, so that many clients
 * that failed together do not come back together.
 */
import { clearTimeout, setTimeout } from "node:timers";
import { KeysteadApiError } from "./api-error.ts";
import { KeysteadConnectionError } from "./connection-error.ts";

export const RETRIES_MAX_DEFAULT = 3;
const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 5000;

/**
 * What a failure says about another try: `elsewhere` blames the server, so that another address may do better at once;
 * `later` asks for patience; `never` would end the same way.
 */
export type Prospect = "elsewhere" | "later" | "never";

/** Whether another try may succeed. That it is safe to send the request twice is the caller's to ensure. */
export function prospectOf(failure: unknown): Prospect {
  if (failure instanceof KeysteadConnectionError) {
    return failure.code === "unreachable" || failure.code === "timed_out" ? "elsewhere" : "never";
  }
  if (!(failure instanceof KeysteadApiError)) return "never";
  if ([502, 503, 504].includes(failure.status)) return "elsewhere";
  // The earlier try is still at work: its answer comes under the same idempotency key.
  return failure.status === 429 || failure.code === "idempotency_pending" ? "later" : "never";
}

/**
 * How long to wait before the next try, in milliseconds.
 * @param failed how many tries have failed
 * @param failure whose `Retry-After` is the least that is waited
 */
export function backoffMs(failed: number, failure: unknown): number {
  const jitter = Math.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (failed - 1));
  const asked = failure instanceof KeysteadApiError ? (failure.retryAfterSeconds ?? 0) : 0;
  return asked * 1000 + jitter;
}

/** The seconds that a `Retry-After` header asks for: a number, or a date (RFC 9110, section 10.2.3). */
export function retryAfterSeconds(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

/** Waits; ends at once, with `aborted`, when the signal says so. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await abortable(over, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** What `work` brings, unless the signal ends the wait for it. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(new KeysteadConnectionError("aborted", "The request was aborted", signal.reason));
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
