/**
 * The auditor: gives every event its entry, and ties the entry of a change to the change itself.
 * A change's entry is written into the outbox in the change's own transaction, then appended to the log and flushed;
 * the outbox row goes with the next change, or after a second.
 * Invariant: no change without its entry and no entry without its change, killed at any point: `recover` appends, before
 * anything is served, what a crash left in the outbox only. A row leaves the outbox only when the disk has its entry, or
 * when the service did not write it: such a row is counted in a CRITICAL entry and never appended. Without a log nothing
 * that a crash left is touched: it waits for a start that has one.
 */
import { KeysteadError } from "../errors.ts";
import type { Barrier } from "../seal/barrier.ts";
import { CommitUnknown, type Store, type Write } from "../storage/store.ts";
import { AuditLog } from "./audit-log.ts";
import { openFileSink, type AuditSink } from "./audit-sink.ts";
import type { AuditEntry, AuditFacts } from "./entry.ts";
import { refuseUnfitLog } from "./log-file.ts";
import { cutTornLine, entriesBackward, flushFile } from "./log-tail.ts";
import { openOutboxRow, sealOutboxRow } from "./outbox.ts";

const CLEAN_MS = 1000;
/** How often the number of the last entry is stored where no change does so. */
const HEAD_MS = 60_000;
/** A stored number beyond this was not written by the service: it would take a hundred years of entries. */
const HEAD_MAX = 2 ** 48;

export interface AuditorOptions {
  readonly store: Store;
  /** Seals what stands in the outbox. */
  readonly barrier: Barrier;
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
  if (path !== undefined) refuseUnfitLog(path);
  const cutBytes = path === undefined ? 0 : cutTornLine(path);
  const isKept = path !== undefined || options.sink !== undefined;
  const { rows, left } = isKept ? await readOutbox(options) : nothingLeft;
  const [stored] = await store.select({ from: "audit_heads", where: { node } });
  const isPlausible = stored === undefined || (stored.sequence >= 0 && stored.sequence <= HEAD_MAX);
  const storedHead = isPlausible ? (stored?.sequence ?? 0) : 0;
  const found = path === undefined ? nothingFound : readTail(path, node, left);
  const sink = options.sink ?? (path === undefined ? nullSink : await openFileSink(path));
  const auditor = new Auditor(options, sink, Math.max(found.head, storedHead));
  try {
    const missing = left.filter(({ entry }) => !found.ids.has(entry.id));
    await Promise.all(missing.map(({ entry }) => auditor.log.append(entryOfNode(entry, node), true)));
    if (cutBytes > 0 || rows.length > 0 || !isPlausible) {
      // A line that was found may be in the page cache only: this entry's flush makes it durable, a renamed file's own
      // flush those that stand there.
      for (const file of found.files) if (file !== path) flushFile(file);
      const forged = rows.length - left.length;
      const details = {
        entries_appended: missing.length,
        torn_bytes_cut: cutBytes,
        ...(forged > 0 ? { rows_forged: forged } : {}),
        ...(isPlausible ? {} : { heads_forged: 1 }),
      };
      const severity = forged > 0 || !isPlausible ? "CRITICAL" : "INFO";
      await auditor.record({ ...serviceFacts("audit.recover"), severity, details }, true);
      await auditor.clean(rows);
    }
  } catch (error) {
    // The caller has no auditor to close, and a log left open would try again by itself.
    await auditor.close().catch(() => undefined);
    throw error;
  }
  return auditor;
}

/** An entry that a crash left in the outbox, and after which of its node's sequence numbers its line can stand. */
interface Left {
  readonly entry: AuditEntry;
  readonly afterSequence: number;
}

/** The ids of all rows of the outbox, and the entries of those that this service wrote, in the order they were made. */
interface Outbox {
  readonly rows: readonly string[];
  readonly left: readonly Left[];
}

const nothingLeft: Outbox = { rows: [], left: [] };

async function readOutbox({ store, barrier, node }: AuditorOptions): Promise<Outbox> {
  // A database of one process alone has no other node: rows of another name are this node's, from before it was renamed.
  const rows = await store.select({ from: "outbox", ...(store.exclusive ? {} : { where: { node } }) });
  const left: Left[] = [];
  for (const row of rows) {
    const entry = openOutboxRow(barrier, row);
    if (entry !== undefined) left.push({ entry, afterSequence: row.after_sequence });
  }
  // Never by their times: the clock may have gone back between two of them. Ids of one start are counted up.
  left.sort(
    (a, b) =>
      a.afterSequence - b.afterSequence ||
      a.entry.id.length - b.entry.id.length ||
      (a.entry.id < b.entry.id ? -1 : 1),
  );
  return { rows: rows.map(({ id }) => id), left };
}

/** An outbox row's entry for the sequence of `node`, which may have had another name when it was made. */
function entryOfNode(entry: AuditEntry, node: string): AuditEntry {
  return entry.node === node ? entry : { ...entry, node, details: { ...entry.details, node: entry.node } };
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
  readonly #headTimer: NodeJS.Timeout;
  /** The number that this process stored last. */
  #storedHead = 0;

  /** @param head the sequence number of the last entry in the log */
  constructor(options: AuditorOptions, sink: AuditSink, head: number) {
    this.#options = options;
    this.#headTimer = setInterval(() => void this.storeHead(), HEAD_MS);
    this.#headTimer.unref();
    this.log = new AuditLog({
      sink,
      head,
      onFatal: options.onFatal,
      onState: options.onState,
      resumeEntry: (kept) => this.#entry({ ...serviceFacts("audit.resume"), details: { kept } }),
      onKeptWritten: (ids) => {
        this.#cleanSoon(ids);
      },
    });
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
   * @throws KeysteadError `audit_unavailable`; where `onCommitted` was called, the change holds and its entry follows
   * @throws CommitUnknown where it is not known yet; if the change holds, its entry follows
   */
  async commitChange(facts: AuditFacts, writes: readonly Write[], onCommitted?: () => void): Promise<void> {
    // Who is told that nothing is served must not find it done.
    if (!this.log.available) throw new KeysteadError("audit_unavailable");
    const entry = this.#entry(facts);
    const { store, barrier } = this.#options;
    // A row of its own in every change of a node would make them wait for each other where they need not.
    const cleaned = store.exclusive ? this.#appended : [];
    if (store.exclusive) this.#appended = [];
    const row = sealOutboxRow(barrier, entry, this.log.head);
    try {
      await store.commit([...writes, { insert: "outbox", row }, ...this.#cleaning(cleaned)]);
    } catch (error) {
      this.#appended.push(...cleaned);
      if (error instanceof CommitUnknown) void this.#appendIfCommitted(entry, error.settled);
      throw error;
    }
    onCommitted?.();
    await this.#appendCommitted(entry);
  }

  async #appendCommitted(entry: AuditEntry): Promise<void> {
    await this.log.append(entry, true, true);
    this.#cleanSoon([entry.id]);
  }

  /** The entry of a change whose outcome the database tells later. The outbox has it, if the process ends before. */
  async #appendIfCommitted(entry: AuditEntry, settled: Promise<boolean>): Promise<void> {
    // What the log refuses now it keeps, and writes when it can.
    if (await settled) await this.#appendCommitted(entry).catch(() => undefined);
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

  /**
   * Stores the number of the last entry, where changes have not: a start without the log goes on from there, and gives no
   * number twice. A failure is harmless as long as the log is there.
   */
  async storeHead(): Promise<void> {
    if (this.log.head === this.#storedHead) return;
    await this.#options.store.commit([this.#headWrite()]).catch(() => undefined);
  }

  /** Writes everything that waits and closes the log. */
  async close(): Promise<void> {
    clearInterval(this.#headTimer);
    try {
      await this.log.close();
    } finally {
      // Only now: what the log wrote last may go from the outbox as well.
      clearTimeout(this.#cleanTimer);
      const ids = this.#appended;
      this.#appended = [];
      await this.clean(ids);
      await this.storeHead();
    }
  }

  readonly #cleanNow = (): void => {
    this.#cleanTimer = undefined;
    const ids = this.#appended;
    this.#appended = [];
    void this.clean(ids);
  };

  #cleanSoon(ids: readonly string[]): void {
    for (const id of ids) this.#appended.push(id);
    this.#cleanTimer ??= setTimeout(this.#cleanNow, CLEAN_MS);
  }

  #entry(facts: AuditFacts): AuditEntry {
    const id = `${this.#options.bootId}-${(++this.#lastId).toString(36)}`;
    const now = Date.now();
    if (now !== this.#timeMs) {
      this.#timeMs = now;
      this.#timeText = new Date(now).toISOString();
    }
    // Member by member: on the way of every request, where spreading costs three times as much.
    const entry = {
      action: facts.action,
      address: facts.address,
      caller: facts.caller,
      decision: facts.decision,
      outcome: facts.outcome,
      project: facts.project,
      request: facts.request,
      resource: facts.resource,
      version: facts.version,
      severity: facts.severity,
      id,
      node: this.#options.node,
      time: this.#timeText,
    };
    return facts.details === undefined ? entry : { ...entry, details: facts.details };
  }

  #cleaning(ids: readonly string[]): Write[] {
    if (ids.length === 0) return [];
    return [
      ...ids.map((id): Write => ({ delete: "outbox", where: { id }, expect: "any" })),
      this.#headWrite(),
    ];
  }

  #headWrite(): Write {
    const sequence = this.log.head;
    this.#storedHead = sequence;
    return { upsert: "audit_heads", row: { node: this.#options.node, sequence }, conflict: "node" };
  }
}

/** What the log says at a start. */
interface Found {
  /** The node's last sequence number. */
  readonly head: number;
  /** Which of the entries left in the outbox it holds. */
  readonly ids: ReadonlySet<string>;
  /** The files that hold them. */
  readonly files: ReadonlySet<string>;
}

const nothingFound: Found = { head: 0, ids: new Set(), files: new Set() };

/** Reads back to the node's last entry, and as far as the entries of changes left in the outbox can stand. */
function readTail(path: string, node: string, left: readonly Left[]): Found {
  const wanted = new Set(left.map(({ entry }) => entry.id));
  const ids = new Set<string>();
  const files = new Set<string>();
  let head = 0;
  // For each name that the node had: at which of its sequence numbers nothing older is of interest.
  const stopAt = new Map([[node, Infinity]]);
  for (const { entry, afterSequence } of left)
    stopAt.set(entry.node, Math.min(stopAt.get(entry.node) ?? Infinity, afterSequence));
  for (const { entry, file } of entriesBackward(path)) {
    if (entry.node === node) head = Math.max(head, entry.sequence);
    if (wanted.has(entry.id)) {
      ids.add(entry.id);
      files.add(file);
    }
    if (entry.sequence <= (stopAt.get(entry.node) ?? -Infinity)) stopAt.delete(entry.node);
    if (stopAt.size === 0) break;
  }
  return { head, ids, files };
}
