/**
 * The auditor: gives every event its entry, and ties the entry of a change to the change itself.
 * A change's entry is written into the outbox in the change's own transaction, then appended to the log and flushed;
 * the outbox row goes with the next change, or after a second.
 * Invariant: no change without its entry and no entry without its change, killed at any point: `recover` appends, before
 * anything is served, what a crash left in the outbox only.
 */
import type { Store, Write } from "../storage/store.ts";
import { AuditLog } from "./audit-log.ts";
import { openFileSink, type AuditSink } from "./audit-sink.ts";
import type { AuditEntry, AuditFacts } from "./entry.ts";
import { cutTornLine, entriesBackward } from "./log-tail.ts";

const CLEAN_MS = 1000;

export interface AuditorOptions {
  readonly store: Store;
  readonly node: string;
  /** Random text that no other start of any node used: the first part of entry ids. */
  readonly bootId: string;
  /** The log's path; undefined keeps no log (dev mode without one). */
  readonly path: string | undefined;
  /** Replaces the file, for tests of what a failing disk does. */
  readonly sink?: AuditSink;
  /** Whether entries of what is no change wait for the disk as well. */
  readonly durability: "written" | "synced";
  readonly onFatal: (error: Error) => void;
  readonly onState: (available: boolean, cause?: unknown) => void;
}

/** Opens the log, and appends to it what a crash left in the outbox. */
export async function openAuditor(options: AuditorOptions, nullSink: AuditSink): Promise<Auditor> {
  const { store, node, path } = options;
  const cutBytes = path === undefined ? 0 : cutTornLine(path);
  const left = await store.select({ from: "outbox", where: { node } });
  const [stored] = await store.select({ from: "audit_heads", where: { node } });
  const found = path === undefined ? { head: 0, ids: new Set<string>() } : readTail(path, node, left);
  const sink = options.sink ?? (path === undefined ? nullSink : await openFileSink(path));
  const head = Math.max(found.head, stored?.sequence ?? 0);
  const log = new AuditLog({ sink, head, onFatal: options.onFatal, onState: options.onState });
  const auditor = new Auditor(options, log);
  const missing = left.filter(({ id }) => !found.ids.has(id));
  await Promise.all(missing.map(({ entry }) => log.append(JSON.parse(entry) as AuditEntry, true)));
  if (cutBytes > 0 || missing.length > 0) {
    await auditor.record(
      {
        ...serviceFacts("audit.recover"),
        details: { entries_appended: missing.length, torn_bytes_cut: cutBytes },
      },
      true,
    );
  }
  if (left.length > 0) await auditor.clean(left.map(({ id }) => id));
  return auditor;
}

/** The facts of something that the service does by itself. */
export function serviceFacts(action: string): AuditFacts {
  return {
    action,
    address: "local",
    caller: "system:keystead",
    decision: "allow",
    outcome: "ok",
    project: "",
    request: "",
    resource: "",
    severity: "INFO",
    version: 0,
  };
}

export class Auditor {
  readonly log: AuditLog;
  readonly #options: AuditorOptions;
  #lastId = 0;
  /** The last entry's time, kept as text: many entries share a millisecond. */
  #timeMs = 0;
  #timeText = "";
  #appended: string[] = [];
  #cleanTimer: NodeJS.Timeout | undefined;

  constructor(options: AuditorOptions, log: AuditLog) {
    this.#options = options;
    this.log = log;
  }

  get available(): boolean {
    return this.log.available;
  }

  /**
   * Writes the entry of what is no change; the answer waits for the promise.
   * @param sync waits for the disk whatever the durability setting
   */
  record(facts: AuditFacts, sync = false): Promise<void> {
    return this.log.append(this.#entry(facts), sync || this.#options.durability === "synced");
  }

  /**
   * Commits a change together with its entry, then writes the entry and flushes it.
   * @param onCommitted called when the change is durable, before its entry is in the log
   * @throws StoreConflict where the change does not apply: then nothing happened and nothing is recorded
   */
  async commitChange(facts: AuditFacts, writes: readonly Write[], onCommitted?: () => void): Promise<void> {
    const entry = this.#entry(facts);
    const { store, node } = this.#options;
    const cleaned = this.#appended;
    this.#appended = [];
    const outboxRow = { id: entry.id, node, after_sequence: this.log.head, entry: JSON.stringify(entry) };
    try {
      await store.commit([...writes, { insert: "outbox", row: outboxRow }, ...this.#cleaning(cleaned)]);
    } catch (error) {
      this.#appended.push(...cleaned);
      throw error;
    }
    onCommitted?.();
    await this.log.append(entry, true, true);
    this.#appended.push(entry.id);
    this.#cleanTimer ??= setTimeout(() => {
      this.#cleanTimer = undefined;
      const ids = this.#appended;
      this.#appended = [];
      void this.clean(ids);
    }, CLEAN_MS);
  }

  /** Removes outbox rows whose entries are durable in the log. A failure is harmless: the next start sees to them. */
  async clean(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    try {
      await this.#options.store.commit(this.#cleaning(ids));
    } catch {
      this.#appended.push(...ids);
    }
  }

  /** Writes everything that waits and closes the log. */
  async close(): Promise<void> {
    clearTimeout(this.#cleanTimer);
    const ids = this.#appended;
    this.#appended = [];
    await this.clean(ids);
    await this.log.close();
  }

  #entry(facts: AuditFacts): AuditEntry {
    const id = `${this.#options.bootId}-${(++this.#lastId).toString(36)}`;
    const now = Date.now();
    if (now !== this.#timeMs) {
      this.#timeMs = now;
      this.#timeText = new Date(now).toISOString();
    }
    return { ...facts, id, node: this.#options.node, time: this.#timeText };
  }

  #cleaning(ids: readonly string[]): Write[] {
    if (ids.length === 0) return [];
    const { node } = this.#options;
    return [
      ...ids.map((id): Write => ({ delete: "outbox", where: { id }, expect: "any" })),
      { upsert: "audit_heads", row: { node, sequence: this.log.head }, conflict: "node" },
    ];
  }
}

/** The last sequence number, and the ids of all entries that are younger than the oldest change left in the outbox. */
function readTail(
  path: string,
  node: string,
  left: readonly { readonly after_sequence: number }[],
): { head: number; ids: Set<string> } {
  const ids = new Set<string>();
  let head = 0;
  const stopAt = left.length === 0 ? Infinity : Math.min(...left.map((row) => row.after_sequence));
  for (const entry of entriesBackward(path)) {
    if (entry.node !== node) continue;
    head = Math.max(head, entry.sequence);
    if (entry.sequence <= stopAt) break;
    ids.add(entry.id);
  }
  return { head, ids };
}
