/** A thread of the worker pool: opens the keys that it is sent, and runs tasks with them one after the other. */
import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { secretBytes, wipe } from "../bytes.ts";
import { KeptKeys } from "./kept-keys.ts";
import {
  isKeyless,
  openTaskKey,
  runKeyless,
  runTask,
  type TaskKey,
  type TaskResult,
} from "./off-loop-tasks.ts";
import type { PoolAnswer, PoolRequest } from "./worker-pool.ts";

const port = parentPort;
if (port === null) throw new Error("off-loop-worker.ts runs as a worker thread only");

/** How far the event loop and everything else goes before this thread (`nice`). */
const LOW_PRIORITY = 10;
const keys = new KeptKeys<TaskKey>();

try {
  // Of this thread alone, which only Linux takes it for: elsewhere the event loop would go down with it. Where the system
  // does not allow it, the work is done all the same.
  if (process.platform === "linux") setPriority(LOW_PRIORITY);
} catch {
  // As before.
}

port.on("message", (request: PoolRequest) => {
  const made = answer(request);
  port.postMessage(made);
  const { task } = request;
  if (!isKeyless(task)) return;
  // The message holds a copy: of a fresh key, a scalar, and what a password gave, there shall be no other.
  if ("result" in made && made.result instanceof Uint8Array) wipe(made.result);
  if (task.run === "public-point") wipe(task.scalar);
  if (task.run === "argon2id") wipe(task.message);
});

function answer({ id, keyId, material, task }: PoolRequest): PoolAnswer {
  try {
    if (isKeyless(task)) return { id, result: runKeyless(task) };
    let key = keys.get(keyId);
    if (key === undefined) {
      if (material === undefined) throw new Error("a worker was not sent its key");
      const bytes = secretBytes(material.bytes);
      key = openTaskKey({ form: material.form, bytes });
      wipe(bytes);
      keys.set(keyId, key);
    }
    const result: TaskResult = runTask(key, task);
    return { id, result };
  } catch (error) {
    return { id, failed: error instanceof Error ? error.message : "a task failed" };
  }
}
