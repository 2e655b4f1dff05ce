/** What a search of credentials may take: of memory, of the event loop, and beside other searches. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import type { CredentialPage, CredentialQuery, Credentials } from "../../src/credentials/credentials.ts";
import type { TagPredicate } from "../../src/credentials/tag-query.ts";
import { DEFAULT_PROJECT } from "../../src/identity/projects.ts";
import { startDev, type TestService } from "../harness.ts";

const SLICE_ROWS = 100;

const everything: CredentialQuery = {
  contexts: [],
  types: [],
  issuerId: undefined,
  subjectIds: [],
  schemaIds: [],
  proofTypes: [],
  givenId: undefined,
  tags: undefined,
};

/** Keeps credentials in the project; what it answers searches them. */
async function keep(
  service: TestService,
  count: number,
  value: Readonly<Record<string, unknown>> = {},
): Promise<(tags: TagPredicate | undefined, page: CredentialPage) => ReturnType<Credentials["search"]>> {
  const { auditor, credentials, projects } = service.keystead.services;
  const { id: projectId } = (await projects.byName(DEFAULT_PROJECT)) ?? { id: "" };
  const commit: CommitChange = (writes, facts) =>
    auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
  const one = (at: number): Promise<unknown> =>
    credentials.add(
      projectId,
      { ...everything, issuerId: "i", recordId: String(at), tags: { at: String(at) }, value },
      commit,
    );
  for (let at = 0; at < count; at += SLICE_ROWS) {
    const rows = Math.min(SLICE_ROWS, count - at);
    await Promise.all(Array.from({ length: rows }, (_, i) => one(at + i)));
  }
  return (tags, page) => credentials.search(projectId, { ...everything, tags }, page);
}

describe("a search of credentials", () => {
  test("keeps nothing of what stands before its page", { skip: !("Bun" in globalThis) }, async () => {
    await using service = await startDev();
    const search = await keep(service, 5 * SLICE_ROWS);
    const seen: WeakRef<object>[] = [];
    let kept = 0;
    const predicate: TagPredicate = (tags) => {
      seen.push(new WeakRef(tags));
      if (seen.length === 5 * SLICE_ROWS) {
        (globalThis as unknown as { Bun: { gc(sync: boolean): void } }).Bun.gc(true);
        kept = seen.filter((tag) => tag.deref() !== undefined).length;
      }
      return true;
    };
    const found = await search(predicate, { offset: 5 * SLICE_ROWS - 1, limit: 1 });
    assert.equal(found.length, 1);
    assert.equal(seen.length, 5 * SLICE_ROWS);
    assert.ok(kept <= 2 * SLICE_ROWS, `${kept} of ${seen.length}`);
  });

  test("ends with limit_reached where it takes too long to find what is asked for", async () => {
    await using service = await startDev();
    const search = await keep(service, 20);
    const now = performance.now.bind(performance);
    let looked = 0;
    // The clock is put forward by a second for each record.
    performance.now = () => now() + looked * 1_000;
    try {
      const slow: TagPredicate = () => looked++ < 0;
      await assert.rejects(search(slow, { offset: 0, limit: 1 }), { code: "limit_reached" });
      assert.equal(looked, 5);
    } finally {
      performance.now = now;
    }
  });

  test("answers with no more values than one answer takes", async () => {
    await using service = await startDev();
    const search = await keep(service, 18, { text: "x".repeat(500 * 1024) });
    assert.equal((await search(undefined, { offset: 0, limit: 16 })).length, 16);
    await assert.rejects(search(undefined, { offset: 0, limit: 18 }), { code: "limit_reached" });
  });

  test("is refused with busy where too many wait", async () => {
    await using service = await startDev();
    const search = await keep(service, 1);
    const asked = Array.from({ length: 100 }, () => search(undefined, { offset: 0, limit: 1 }));
    const answers = await Promise.allSettled(asked);
    const refused = answers.filter((one) => one.status === "rejected");
    assert.equal(refused.length, 100 - 4 - 64);
    for (const { reason } of refused) assert.equal((reason as { code: string }).code, "busy");
  });
});
