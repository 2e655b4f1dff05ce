/**
 * What logins need from time to time: the next signing keys, and the end of sessions that have ended by themselves.
 * Invariant: nothing depends on it being done: a session that has ended counts for nothing while its row is there.
 */
import type { Sessions } from "../identity/sessions.ts";
import type { SigningKeys } from "../identity/signing-keys.ts";
import type { Store } from "../storage/store.ts";
import type { Job } from "./job-runner.ts";

const ROUND_ROWS = 500;

/** The job of logins. */
export function loginUpkeep({
  store,
  signingKeys,
  sessions,
}: {
  readonly store: Store;
  readonly signingKeys: SigningKeys;
  readonly sessions: Sessions;
}): Job {
  return {
    name: "login-upkeep",
    async run(stopped) {
      await signingKeys.rotateDue();
      while (!stopped()) {
        const expired = await sessions.expired(ROUND_ROWS);
        // Rows of nothing any more: no change that anybody could miss in the log.
        if (expired.length > 0) await store.commit(expired);
        if (expired.length < ROUND_ROWS) return;
      }
    },
  };
}
