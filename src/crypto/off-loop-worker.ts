/** A thread of the worker pool: opens the keys that it is sent, and runs tasks with them one after the other. */
import { parentPort } from "node:worker_threads";
import { secretBytes, wipe } from "../bytes.ts";
import { KeptKeys } from "./kept-keys.ts";
import { openTaskKey, runTask, type TaskKey, type TaskResult } from "./off-loop-tasks.ts";
import type { PoolAnswer, PoolRequest } from "./worker-pool.ts";

const port = parentPort;
if (port === null) throw new Error("off-loop-worker.ts runs as a worker thread only");

const keys = new KeptKeys<TaskKey>();

port.on("message", (request: PoolRequest) => {
  port.postMessage(answer(request));
});

function answer({ id, keyId, material, task }: PoolRequest): PoolAnswer {
  try {
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
