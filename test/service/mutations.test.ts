/**
 * Every operation of the native API, done once by somebody who may: which of them commit a change, and that those take
 * idempotency keys. A new operation needs a row in `sample-calls.ts`.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { forEachStore, serviceFor } from "../harness.ts";
import { PostgresStore } from "../../src/storage/postgres.ts";
import { SqliteStore } from "../../src/storage/sqlite.ts";
import type { Write } from "../../src/storage/store.ts";
import { prepareSamples, sampleCalls, type SampleRun } from "./sample-calls.ts";

/** Tables in which the service keeps its own books: what an operation leaves there alone is no change of what it serves. */
const books = ["audit_heads", "barrier_keys", "counters", "leases", "outbox"];

/** Whether a commit changes what is served without an entry of the audit log beside it. */
function isSilentChange(writes: readonly Write[]): boolean {
  if (writes.some((write) => "insert" in write && write.insert === "outbox")) return false;
  return writes.some((write) => {
    if ("insert" in write) return !books.includes(write.insert);
    if ("delete" in write) return !books.includes(write.delete);
    if ("upsert" in write) return !books.includes(write.upsert);
    // Nonces are reserved in blocks, while a key is used.
    const isReservation = write.update === "key_versions" && "usage_sealed" in write.set;
    return !isReservation && !books.includes(write.update);
  });
}

forEachStore(({ store, startServer }) => {
  describe("an operation", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));
    let run: SampleRun;
    const commits: string[] = [];
    const silent: (readonly Write[])[] = [];
    const { prototype } = store === "SQLite" ? SqliteStore : PostgresStore;
    // Looked up without its object on purpose: it is called with it.
    const commitOf = Object.getOwnPropertyDescriptor(prototype, "commit")?.value as typeof prototype.commit;
    after(() => {
      prototype.commit = commitOf;
    });
    before(async () => {
      run = await prepareSamples(service());
      const { auditor } = service().keystead.services;
      const commitChange = auditor.commitChange.bind(auditor);
      auditor.commitChange = (facts, ...rest) => {
        // What the service does by itself on the way is another entry.
        if (facts.request !== "") commits.push(facts.request);
        return commitChange(facts, ...rest);
      };
      prototype.commit = function (this: typeof prototype, writes) {
        if (isSilentChange(writes)) silent.push(writes);
        return commitOf.call(this, writes);
      };
    });

    test("has a sample call, each of them", () => {
      assert.deepEqual(
        Object.keys(sampleCalls).sort(),
        [...new Set(nativeRoutes.map(({ operation }) => operation.id))].sort(),
      );
    });

    for (const route of nativeRoutes) {
      const { operation } = route;
      test(`takes idempotency keys exactly if it commits a change: ${operation.id}`, async () => {
        const call = await sampleCalls[operation.id]!(run);
        commits.length = 0;
        silent.length = 0;
        const answer = await run.send(route, call);
        assert.equal(answer.status, route.status, answer.text);
        assert.equal(commits.length > 0, operation.replay !== undefined);
        // Its row goes with the first commit: a second one could be lost.
        assert.ok(commits.length <= 1);
        assert.deepEqual(silent, [], "a change without its entry");
      });
    }
  });
});
