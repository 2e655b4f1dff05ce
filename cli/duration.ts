/** Durations as Go writes them (`500ms`, `10s`, `1h30m`), with days (`90d`) besides. */
import { UsageError } from "./usage-error.ts";

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * The milliseconds of a duration.
 * @throws UsageError for what is none, and for none at all
 */
export function parseDurationMs(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) throw refused();
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(number) * unitsMs[unit as keyof typeof unitsMs];
  }
  if (total <= 0 || !Number.isFinite(total)) throw refused();
  return total;
}

function refused(): UsageError {
  return new UsageError("a duration is a number with ms, s, m, h or d, such as 500ms, 10s, 1h30m or 90d");
}
