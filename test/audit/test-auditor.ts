/** An auditor over a store in memory, and what a crash leaves in its outbox. */
import assert from "node:assert/strict";
import { nullSink } from "../../src/audit/audit-sink.ts";
import { openAuditor, serviceFacts, type Auditor, type AuditorOptions } from "../../src/audit/auditor.ts";
import type { AuditEntry } from "../../src/audit/entry.ts";
import { sealOutboxRow } from "../../src/audit/outbox.ts";
import { secretBytes } from "../../src/bytes.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store, Write } from "../../src/storage/store.ts";

export interface DisposableStore extends Store {
  [Symbol.asyncDispose](): Promise<void>;
}

/** A store whose outbox holds these entries. */
export async function storeWith(left: readonly AuditEntry[]): Promise<DisposableStore> {
  const store = await openSqlite(":memory:", () => undefined);
  if (left.length > 0) await store.commit(left.map((entry) => outboxRow(entry)));
  return { ...bound(store), [Symbol.asyncDispose]: () => store.close() };
}

/** A store whose calls can be replaced one by one. */
export function bound(store: Store): Store {
  return {
    exclusive: store.exclusive,
    select: (query) => store.select(query),
    commit: (writes) => store.commit(writes),
    writable: () => store.writable(),
    waiting: () => store.waiting(),
    scrub: () => store.scrub(),
    close: () => store.close(),
  };
}

export function watchCommits(store: Store, onCommit: () => void): Store {
  return {
    ...bound(store),
    commit: (writes) => {
      onCommit();
      return store.commit(writes);
    },
  };
}

export const barrier = new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 7)) }]);
let boots = 0;

/** An auditor without a file unless the options name one. */
export function openTestAuditor(store: Store, options: Partial<AuditorOptions>): Promise<Auditor> {
  return openAuditor(
    {
      store,
      barrier,
      node: "main",
      bootId: `boot${++boots}`,
      path: undefined,
      durability: "written",
      onFatal: (error) => assert.fail(error),
      onState: () => undefined,
      ...options,
    },
    nullSink,
  );
}

/** An entry as a crash leaves it. */
export function leftEntry(id: string, node: string): AuditEntry {
  return {
    ...serviceFacts("test.change"),
    details: { count: 1 },
    id,
    node,
    time: "2026-11-22T00:00:00.000Z",
  };
}

/** Puts an entry into the outbox whose line stands after this number of the sequence. */
export function outboxRow(entry: AuditEntry, afterSequence = 0): Write {
  return { insert: "outbox", row: sealOutboxRow(barrier, entry, afterSequence) };
}

/** The entries of a log's text. */
export function lines(text: string): (AuditEntry & { readonly sequence: number })[] {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as AuditEntry & { readonly sequence: number });
}

export function actions(text: string): string[] {
  return lines(text).map(({ action }) => action);
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
