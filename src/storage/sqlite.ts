/**
 * The embedded store: SQLite in one worker thread, so that the event loop never waits for a disk.
 * Invariant: calls are answered in the order of their turn; when the worker dies, every waiting call is refused and the
 * owner is told once.
 */
import { Worker } from "node:worker_threads";
import { KeysteadError } from "../errors.ts";
import type { Schema, TableName } from "./schema.ts";
import type { WorkerAnswer, WorkerCall } from "./sqlite-worker.ts";
import { StoreConflict, type Select, type Store, type Write } from "./store.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Opens (and where needed makes) a database.
 * @param file its path, or `:memory:`
 * @param onFatal called once when the disk failed so that nothing more can be promised
 */
export async function openSqlite(file: string, onFatal: (error: Error) => void): Promise<SqliteStore> {
  const store = new SqliteStore(file, onFatal);
  await store.opened;
  return store;
}

export class SqliteStore implements Store {
  readonly exclusive = true;
  readonly opened: Promise<unknown>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onFatal: (error: Error) => void;
  #lastId = 0;
  #closed = false;
  #writable = true;

  constructor(file: string, onFatal: (error: Error) => void) {
    this.#onFatal = onFatal;
    this.opened = new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }));
    this.#worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url), { workerData: { file } });
    this.#worker.on("message", (answer: WorkerAnswer) => {
      this.#settle(answer);
    });
    this.#worker.on("error", (error) => {
      this.#fail(error instanceof Error ? error : new Error("the storage thread failed"));
    });
    this.#worker.on("exit", () => {
      if (!this.#closed) this.#fail(new Error("the storage thread ended"));
    });
  }

  async select<T extends TableName>(query: Select<T>): Promise<Schema[T][]> {
    return (await this.#call({ select: query as unknown as Select<TableName> })) as Schema[T][];
  }

  async commit(writes: readonly Write[]): Promise<void> {
    try {
      await this.#call({ commit: writes });
      this.#writable = true;
    } catch (error) {
      if (!(error instanceof StoreConflict)) this.#writable = false;
      throw error;
    }
  }

  async scrub(): Promise<boolean> {
    return (await this.#call({ scrub: true })) === true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    await this.#post({ close: true });
    await exited;
  }

  writable(): boolean {
    return this.#writable;
  }

  waiting(): number {
    return this.#waiting.size;
  }

  #call(call: WorkerCall["call"]): Promise<unknown> {
    if (this.#closed) return Promise.reject(new KeysteadError("stopping"));
    return this.#post(call);
  }

  #post(call: WorkerCall["call"]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call } satisfies WorkerCall);
    });
  }

  #settle(answer: WorkerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("ok" in answer) waiting?.resolve(answer.ok);
    else if ("conflict" in answer) waiting?.reject(new StoreConflict(answer.conflict));
    else {
      const cause = new Error(answer.failed);
      waiting?.reject(new KeysteadError("storage_unavailable", { cause }));
      if (answer.fatal) this.#fail(cause);
    }
  }

  #fail(cause: Error): void {
    for (const { reject } of this.#waiting.values())
      reject(new KeysteadError("storage_unavailable", { cause }));
    this.#waiting.clear();
    if (!this.#closed) this.#onFatal(cause);
    this.#closed = true;
  }
}
