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
export function parseVersion(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseCount(text, "--version", 999_999_999);
}
