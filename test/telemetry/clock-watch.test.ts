/** The wall clock, held against one that nobody sets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockWatch } from "../../src/telemetry/clock-watch.ts";

const MINUTE_MS = 60_000;

interface Clocks {
  readonly watch: ClockWatch;
  readonly jumps: readonly number[];
  /** Time goes on for both clocks, and the wall clock is set besides. */
  readonly pass: (ms: number, setMs?: number) => void;
}

function clocks(): Clocks {
  let wall = 1_800_000_000_000;
  let monotonic = 5000;
  const jumps: number[] = [];
  const onJump = (seconds: number): void => void jumps.push(seconds);
  const watch = new ClockWatch({ wall: () => wall, monotonic: () => monotonic, onJump });
  return {
    watch,
    jumps,
    pass: (ms, setMs = 0) => {
      monotonic += ms;
      wall += ms + setMs;
    },
  };
}

test("time that passes is no jump, however much of it, nor is a clock that is slewed", () => {
  const { watch, jumps, pass } = clocks();
  pass(40 * 86_400_000);
  assert.equal(watch.isSteady(), true);
  for (let minute = 0; minute < 600; minute++) {
    pass(MINUTE_MS, 1000);
    assert.equal(watch.isSteady(), true);
  }
  assert.deepEqual(jumps, []);
});

for (const [direction, seconds] of [
  ["forward", 61],
  ["back", -61],
] as const) {
  test(`a clock put ${direction} is told once and not trusted for an hour`, () => {
    const { watch, jumps, pass } = clocks();
    pass(1000, seconds * 1000);
    assert.equal(watch.isSteady(), false);
    pass(60 * MINUTE_MS);
    assert.equal(watch.isSteady(), false);
    pass(1);
    assert.equal(watch.isSteady(), true);
    assert.deepEqual(jumps, [seconds]);
  });
}
