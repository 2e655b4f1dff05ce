/** A worker that stands in for the real one: a digest's first byte says what happens to it. */
import { parentPort } from "node:worker_threads";
import type { PoolAnswer, PoolRequest } from "../../src/crypto/worker-pool.ts";

/** What the first byte of a digest asks for. */
export const whims = { answer: 0, throw: 1, exit: 2, fail: 3, slow: 4, tellSize: 5 } as const;

const SLOW_MS = 100;

parentPort?.on("message", ({ id, task, material }: PoolRequest) => {
  const whim = task.run === "rsa-sign-digest" ? task.digest[0] : whims.answer;
  if (whim === whims.throw) throw new Error("a worker was made to throw");
  if (whim === whims.exit) process.exit(3);
  const answer: PoolAnswer =
    whim === whims.fail
      ? { id, failed: "a task was made to fail" }
      : { id, result: whim === whims.tellSize ? sizes(task, material) : Buffer.of(7) };
  setTimeout(() => parentPort?.postMessage(answer), whim === whims.slow ? SLOW_MS : 0);
});

/** The bytes that came for a digest, and for the key, with what lies beside them. */
function sizes(task: PoolRequest["task"], material: PoolRequest["material"]): Uint8Array {
  const digest = task.run === "rsa-sign-digest" ? task.digest.buffer.byteLength : 0;
  return new Uint8Array(Uint32Array.of(digest, material?.bytes.buffer.byteLength ?? 0).buffer);
}
