/**
 * What was deleted goes from the files of the database too: older copies of its pages stand in the write-ahead log until
 * that is emptied.
 * Invariant: asked for until it came about; after a start as well, for what a stop left.
 */
import type { Store } from "../storage/store.ts";
import type { Job } from "./job-runner.ts";

/** The job: one checkpoint a round costs nothing where nothing was written. */
export function scrubbing(store: Store): Job {
  return {
    name: "scrub",
    // A node knows of what it deleted itself.
    everyNode: true,
    async run() {
      await store.scrub();
    },
  };
}
