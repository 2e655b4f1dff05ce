/**
 * A few threads for work that would hold up the event loop, with a bounded queue.
 * A worker is sent a key once and keeps it, for the last KEYS_KEPT_MAX keys that it was sent; both sides forget in the same
 * order, so the pool knows what a worker holds without asking.
 * A worker gets a task's own bytes and no others.
 * Invariant: every task is answered once. Those of a worker that dies fail with `internal_error`, and the next task starts
 * a new one. Workers start when they are needed and keep no process alive while they are idle.
 */
import { Worker } from "node:worker_threads";
import { wipe } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import { KeptKeys } from "./kept-keys.ts";
import type { Material } from "./material.ts";
import type { Task, TaskResult } from "./off-loop-tasks.ts";

/** Two, so that a worker has its next task at hand when it is done with one. */
const TASKS_PER_WORKER = 2;

export interface WorkerPoolOptions {
  readonly file: URL;
  readonly workersMax: number;
  /** Tasks that may wait for a worker. */
  readonly waitingMax: number;
}

/** A key as the pool sends it: `material` gives a copy, which is wiped once it is on its way. */
export interface PoolKey {
  readonly id: number;
  material(): Material;
}

/** For tasks that take no key. */
export const noKey: PoolKey = {
  id: 0,
  material() {
    throw new Error("there is no key to send");
  },
};

export interface PoolRequest {
  readonly id: number;
  readonly keyId: number;
  /** Absent where the worker has the key. */
  readonly material: Material | undefined;
  readonly task: Task;
}

export type PoolAnswer =
  { readonly id: number; readonly result: TaskResult } | { readonly id: number; readonly failed: string };

interface Waiting {
  readonly key: PoolKey;
  readonly task: Task;
  readonly resolve: (result: TaskResult) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly worker: Worker;
  readonly keys: KeptKeys<true>;
  readonly tasks: Map<number, Waiting>;
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #members: Member[] = [];
  readonly #waiting: Waiting[] = [];
  #lastId = 0;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** True where nothing runs and nothing waits. */
  get idle(): boolean {
    return this.#members.every(({ tasks }) => tasks.size === 0);
  }

  /** Runs a task in a worker. Rejects with `busy` where too many wait, with `internal_error` where the worker fails. */
  run(key: PoolKey, task: Task): Promise<TaskResult> {
    return new Promise((resolve, reject) => {
      const waiting = { key, task, resolve, reject };
      const member = this.#free();
      if (member !== undefined) this.#send(member, waiting);
      else if (this.#waiting.length < this.#options.waitingMax) this.#waiting.push(waiting);
      else reject(new KeysteadError("busy"));
    });
  }

  /** An idle worker, else a new one, else the one with the fewest tasks; undefined where all have enough. */
  #free(): Member | undefined {
    let best: Member | undefined;
    for (const member of this.#members) {
      if (best === undefined || member.tasks.size < best.tasks.size) best = member;
    }
    if (best?.tasks.size !== 0 && this.#members.length < this.#options.workersMax) return this.#start();
    return best !== undefined && best.tasks.size < TASKS_PER_WORKER ? best : undefined;
  }

  #start(): Member {
    const worker = new Worker(this.#options.file);
    const member: Member = { worker, keys: new KeptKeys(), tasks: new Map() };
    worker.on("message", (answer: PoolAnswer) => {
      this.#settle(member, answer);
    });
    worker.on("error", (error) => {
      this.#lose(member, error);
    });
    worker.on("exit", () => {
      this.#lose(member, new Error("a crypto worker ended"));
    });
    worker.unref();
    this.#members.push(member);
    return member;
  }

  #send(member: Member, waiting: Waiting): void {
    const { key, task } = waiting;
    const id = ++this.#lastId;
    const isThere = key === noKey || member.keys.get(key.id) !== undefined;
    const material = isThere ? undefined : key.material();
    if (member.tasks.size === 0) member.worker.ref();
    member.tasks.set(id, waiting);
    const parcel = new Parcel();
    const request: PoolRequest = {
      id,
      keyId: key.id,
      material: material === undefined ? undefined : parcel.packed(material),
      task: parcel.packed(task),
    };
    member.worker.postMessage(request);
    parcel.wipe();
    if (material !== undefined) {
      member.keys.set(key.id, true);
      wipe(material.bytes);
    }
  }

  #settle(member: Member, answer: PoolAnswer): void {
    const waiting = member.tasks.get(answer.id);
    member.tasks.delete(answer.id);
    this.#sendWaiting();
    if (member.tasks.size === 0) member.worker.unref();
    if ("failed" in answer) waiting?.reject(internalError(new Error(answer.failed)));
    else waiting?.resolve(answer.result);
  }

  #lose(member: Member, cause: unknown): void {
    const at = this.#members.indexOf(member);
    // A worker that throws tells of its error and of its end.
    if (at === -1) return;
    this.#members.splice(at, 1);
    for (const waiting of member.tasks.values()) waiting.reject(internalError(cause));
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    while (this.#waiting.length > 0) {
      const member = this.#free();
      const next = member === undefined ? undefined : this.#waiting.shift();
      if (member === undefined || next === undefined) return;
      this.#send(member, next);
    }
  }
}

/**
 * What goes over with a message: its own bytes alone. Of a view the platform would copy the whole buffer: the body of a
 * request, or whatever else lies in the pool that small buffers are cut from.
 */
class Parcel {
  readonly #copies: Uint8Array[] = [];

  /** The same members, where those that are bytes have nothing beside them in their buffers. */
  packed<T extends object>(message: T): T {
    const members = Object.entries(message).map(([name, value]: [string, unknown]) => {
      if (!(value instanceof Uint8Array) || value.byteLength === value.buffer.byteLength)
        return [name, value];
      const copy = new Uint8Array(value);
      this.#copies.push(copy);
      return [name, copy];
    });
    return Object.fromEntries(members) as T;
  }

  wipe(): void {
    wipe(...this.#copies);
  }
}

function internalError(cause: unknown): KeysteadError {
  return new KeysteadError("internal_error", { cause });
}
