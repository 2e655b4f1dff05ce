/**
 * The append-only log of one node, with group commit: everything that is appended in one turn of the event loop, or
 * while a write is under way, goes out as one write. A flush to disk runs beside later writes and serves all that were
 * written before it began.
 * Invariant: `append` resolves only when the entry's line is written (and durable, where asked); sequence numbers have
 * no gaps. When the log cannot be written, whatever waits is refused, nothing new is taken until a real entry could be
 * written and flushed, and entries of committed changes are kept and written with it. The sink is written to and opened
 * anew by one call at a time: the run loop's while the log is available, the retry's while it is not.
 */
import { KeysteadError } from "../errors.ts";
import { atTurnEnd } from "../turn.ts";
import { FlushFailed, type AuditSink } from "./audit-sink.ts";
import { canonicalLine, type AuditEntry } from "./entry.ts";

const RETRY_MS = 500;
const WATCH_MS = 1000;

interface Batch {
  readonly entries: AuditEntry[];
  text: string;
  sync: boolean;
  readonly written: PromiseWithResolvers<void>;
  readonly synced: PromiseWithResolvers<void>;
}

export interface AuditLogOptions {
  readonly sink: AuditSink;
  /** The sequence number of the last entry in the log. */
  readonly head: number;
  /** The disk lost what it had taken: the owner ends the process. */
  readonly onFatal: (error: Error) => void;
  /** The log became unwritable, or writable again. */
  readonly onState: (available: boolean, cause?: unknown) => void;
  /** The entry that ends an outage: written before the `kept` entries of committed changes. */
  readonly resumeEntry: (kept: number) => AuditEntry;
  /** Entries of committed changes whose `append` was refused are on the disk now. */
  readonly onKeptWritten: (ids: readonly string[]) => void;
}

export class AuditLog {
  readonly #options: AuditLogOptions;
  #sequence: number;
  /** The last sequence number that is known to stand in the file. */
  #written: number;
  #open: Batch | undefined;
  #running = false;
  #syncing = false;
  #awaitingSync: Batch[] = [];
  #retrying = false;
  #reopenAsked = false;
  #available = true;
  #closed = false;
  /** Entries of committed changes that the log could not take yet. */
  readonly #kept = new Set<AuditEntry>();
  readonly #watch: NodeJS.Timeout;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#sequence = options.head;
    this.#written = options.head;
    this.#watch = setInterval(() => void this.#watchPath(), WATCH_MS);
    this.#watch.unref();
  }

  /** False while the log cannot be written: then nothing may be served. */
  get available(): boolean {
    return this.#available;
  }

  /** The last sequence number that stands in the log. */
  get head(): number {
    return this.#written;
  }

  /** How many entries wait to be written, for the metrics. */
  get waiting(): number {
    return (this.#open?.entries.length ?? 0) + this.#kept.size;
  }

  /**
   * Appends an entry.
   * @param sync also waits until the disk has it
   * @param committed the entry of a committed change: it is kept until the log takes it, whatever happens
   * @throws KeysteadError `audit_unavailable`
   */
  append(entry: AuditEntry, sync: boolean, committed = false): Promise<void> {
    if (!this.#available || this.#closed) {
      if (committed) this.#kept.add(entry);
      return Promise.reject(new KeysteadError("audit_unavailable"));
    }
    const batch = (this.#open ??= this.#newBatch());
    batch.entries.push(entry);
    batch.text += canonicalLine(entry, ++this.#sequence);
    if (committed) this.#kept.add(entry);
    if (!sync) return batch.written.promise;
    batch.sync = true;
    return batch.synced.promise;
  }

  /** Opens the path anew before the next write: another program has renamed the file. */
  reopen(): void {
    this.#reopenAsked = true;
    this.#start();
  }

  /** Writes what waits, flushes it, and closes. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    while (this.#open !== undefined || this.#running || this.#syncing || this.#retrying) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.#closed = true;
    await this.#options.sink.close();
  }

  #newBatch(): Batch {
    const batch: Batch = {
      entries: [],
      text: "",
      sync: false,
      written: Promise.withResolvers(),
      synced: Promise.withResolvers(),
    };
    // Whoever asked for the other promise alone must not turn a refusal into an unhandled rejection.
    batch.written.promise.catch(() => undefined);
    batch.synced.promise.catch(() => undefined);
    this.#start();
    return batch;
  }

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    atTurnEnd(() => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        // While the log is not available, the retry sees to it: it may be about to write.
        if (this.#reopenAsked && this.#available) {
          this.#reopenAsked = false;
          await this.#options.sink.reopen();
        }
        const batch = this.#open;
        if (batch === undefined) break;
        this.#open = undefined;
        await this.#write(batch);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
      if (this.#open !== undefined) this.#start();
    }
  }

  async #write(batch: Batch): Promise<void> {
    try {
      await this.#options.sink.write(batch.text);
    } catch (error) {
      this.#refuse(batch, error);
      throw error;
    }
    this.#written += batch.entries.length;
    if (this.#kept.size > 0) for (const entry of batch.entries) this.#kept.delete(entry);
    batch.written.resolve();
    if (!batch.sync) return;
    this.#awaitingSync.push(batch);
    if (!this.#syncing) {
      this.#syncing = true;
      void this.#syncRounds();
    }
  }

  async #syncRounds(): Promise<void> {
    while (this.#awaitingSync.length > 0) {
      const batches = this.#awaitingSync;
      this.#awaitingSync = [];
      try {
        await this.#options.sink.sync();
      } catch (error) {
        for (const batch of batches) this.#refuse(batch, error);
        this.#fail(error);
        break;
      }
      for (const batch of batches) batch.synced.resolve();
    }
    this.#syncing = false;
  }

  #refuse(batch: Batch, cause: unknown): void {
    const refusal = new KeysteadError("audit_unavailable", { cause });
    batch.written.reject(refusal);
    batch.synced.reject(refusal);
  }

  #fail(cause: unknown): void {
    if (this.#open !== undefined) this.#refuse(this.#open, cause);
    this.#open = undefined;
    if (cause instanceof FlushFailed) {
      this.#available = false;
      this.#options.onFatal(cause);
      return;
    }
    this.#sequence = this.#written;
    if (!this.#available) return;
    this.#available = false;
    this.#options.onState(false, cause);
    this.#retryLater();
  }

  #retryLater(): void {
    setTimeout(() => void this.#retry(), RETRY_MS).unref();
  }

  /**
   * Writes that the log goes on, and the kept entries of committed changes; when the disk has them, the log is open
   * again. There is always something to write: a full disk takes nothing as gladly as an empty one does.
   */
  async #retry(): Promise<void> {
    if (this.#closed) return;
    this.#retrying = true;
    try {
      if (this.#reopenAsked || (await this.#options.sink.wasMoved())) {
        this.#reopenAsked = false;
        await this.#options.sink.reopen();
      }
      await this.#writeKept([this.#options.resumeEntry(this.#kept.size)]);
      // Changes that were being committed when the log failed may have come in meanwhile.
      while (this.#kept.size > 0) await this.#writeKept([]);
    } catch (error) {
      if (error instanceof FlushFailed) this.#fail(error);
      else this.#retryLater();
      return;
    } finally {
      this.#retrying = false;
    }
    this.#available = true;
    this.#options.onState(true);
    // For a SIGHUP that came during the try.
    this.#start();
  }

  async #writeKept(before: readonly AuditEntry[]): Promise<void> {
    const kept = [...this.#kept];
    const entries = [...before, ...kept];
    await this.#options.sink.write(
      entries.map((entry, i) => canonicalLine(entry, this.#written + i + 1)).join(""),
    );
    this.#written += entries.length;
    this.#sequence = this.#written;
    for (const entry of kept) this.#kept.delete(entry);
    await this.#options.sink.sync();
    if (kept.length > 0) this.#options.onKeptWritten(kept.map(({ id }) => id));
  }

  async #watchPath(): Promise<void> {
    if (!this.#available) return;
    try {
      if (await this.#options.sink.wasMoved()) this.reopen();
    } catch {
      // The next write tells.
    }
  }
}
