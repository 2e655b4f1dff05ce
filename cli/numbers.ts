/** Whole numbers on the command line. */
import { UsageError } from "./usage-error.ts";

/**
 * A number from 1 to `max`.
 * @param flag what to name where it is none
 */
export function parseCount(text: string, flag: string, max: number): number {
  const count = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
  if (count === undefined || count > max) throw new UsageError(`${flag} is a number from 1 to ${max}`);
  return count;
}

/** A version number, where one is given. */
export function parseVersion(text: string | undefined, flag = "--version"): number | undefined {
  return text === undefined ? undefined : parseCount(text, flag, 999_999_999);
}

/** A number of days, where one is given. */
export function parseDays(text: string | undefined, flag: string): number | undefined {
  return text === undefined ? undefined : parseCount(text, flag, 3650);
}
