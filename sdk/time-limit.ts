/**
 * How long things may take, as timers can hold it.
 * Invariant: what is more than a timer can hold (24.8 days) counts as that much: it would otherwise be over at once.
 */
import { clearTimeout, setTimeout } from "node:timers";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadInputError } from "./input-error.ts";

export const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * A limit in milliseconds as timers take it.
 * @throws KeysteadInputError for what is no time: NaN, zero, less than nothing
 */
export function timeLimitMs(ms: number): number {
  if (!(ms > 0)) throw new KeysteadInputError("invalid_option", "A time limit is a positive number");
  return Math.min(ms, TIMER_MS_MAX);
}

/** A token that comes before the deadline, on the clock that only goes forward. */
export async function within<T>(token: Promise<T>, deadline: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        reject(new KeysteadConnectionError("timed_out", "The token did not come in time"));
      },
      Math.max(0, deadline - performance.now()),
    );
  });
  try {
    return await Promise.race([token, late]);
  } finally {
    clearTimeout(timer);
  }
}
