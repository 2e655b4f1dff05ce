/**
 * Keys whose time has come: a rotation period that is over, a deletion whose window has passed.
 * Invariant: what is due is asked of the key's sealed record when the change is made, never of the column that it was
 * found by; a key that is due more than once, as after a long stop, is rotated once; one that fails hides no other.
 */
import type { CommitChange } from "../audit/change.ts";
import type { Keyring } from "../keyring/keyring.ts";
import type { Key, KeyHandle } from "../keyring/key.ts";
import { causeOf, type Log } from "../telemetry/log.ts";
import { dueInPages } from "./due-pages.ts";
import type { Job } from "./job-runner.ts";

export interface DueKeysOptions {
  readonly keyring: Keyring;
  readonly log: Log;
  /** False where the key's project is to be deleted: nothing is done for its keys any more. */
  readonly isInUse: (key: Key) => Promise<boolean>;
  /** False after the clock jumped: nothing is destroyed by a time that may be wrong. */
  readonly isClockSteady: () => boolean;
  /** How the service commits what nobody asked for, under an action such as `key.rotate`. */
  readonly commitOwn: (action: "key.rotate" | "key.destroy", key: Key) => CommitChange;
}

/** The job of due keys. */
export function dueKeys({ keyring, log, commitOwn, isInUse, isClockSteady }: DueKeysOptions): Job {
  const act = async ({ projectId, id }: KeyHandle, unused: Set<string>): Promise<void> => {
    const key = await keyring.get(projectId, id);
    if (key.state === "pending_deletion") {
      if (isClockSteady()) await keyring.destroy(projectId, id, commitOwn("key.destroy", key));
    } else if (unused.has(projectId)) return;
    else if (await isInUse(key)) await keyring.rotateDue(projectId, id, commitOwn("key.rotate", key));
    else unused.add(projectId);
  };
  return {
    name: "due-keys",
    async run(stopped) {
      // Projects found not to be in use, for the length of a round.
      const unused = new Set<string>();
      for await (const key of dueInPages((after, rows) => keyring.due(after, rows))) {
        if (stopped()) return;
        try {
          await act(key, unused);
        } catch (error) {
          log.error("a due key could not be changed and is tried again", {
            key: key.id,
            cause: causeOf(error),
          });
        }
      }
    },
  };
}
