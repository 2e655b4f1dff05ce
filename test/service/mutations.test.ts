/**
 * Every operation of the native API, done once by somebody who may: which of them commit a change, and that those take
 * idempotency keys. A new operation needs a row in `sample-calls.ts`.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { forEachStore, serviceFor } from "../harness.ts";
import { prepareSamples, sampleCalls, type SampleRun } from "./sample-calls.ts";

forEachStore(({ startServer }) => {
  describe("an operation", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));
    let run: SampleRun;
    const commits: string[] = [];
    before(async () => {
      run = await prepareSamples(service());
      const { auditor } = service().keystead.services;
      const commitChange = auditor.commitChange.bind(auditor);
      auditor.commitChange = (facts, ...rest) => {
        // What the service does by itself on the way is another entry.
        if (facts.request !== "") commits.push(facts.request);
        return commitChange(facts, ...rest);
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
        const answer = await run.send(route, call);
        assert.equal(answer.status, route.status, answer.text);
        assert.equal(commits.length > 0, operation.replay !== undefined);
        // Its row goes with the first commit: a second one could be lost.
        assert.ok(commits.length <= 1);
      });
    }
  });
});
