/**
 * A pause before the refusal of a login. Who sends the next password as soon as the last one is refused then sends four a
 * second over each connection, and not as many as the event loop can refuse.
 * Invariant: at most HELD_MAX requests wait at a time; what is beyond is refused at once.
 */
import { setTimeout as pause } from "node:timers/promises";

export const HELD_MS = 250;
const HELD_MAX = 1024;

let held = 0;

/** Resolves when a refusal may go out. */
export async function heldBack(): Promise<void> {
  if (held >= HELD_MAX) return;
  held++;
  try {
    await pause(HELD_MS);
  } finally {
    held--;
  }
}
