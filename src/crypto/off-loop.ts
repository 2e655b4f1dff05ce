/**
 * Where slow operations run. RSA, and what the platform has no asynchronous form of, goes to workers of a low priority:
 * however many signatures or keys are asked for, the event loop has its core first. The platform's own asynchronous form
 * uses its thread pool, side by side on all cores.
 * To wake a thread costs about as much as a fast operation takes. So a brief operation (about a millisecond) that finds
 * nothing else under way is done at once, at most one in a turn of the event loop; under load everything goes to threads.
 * Invariant: no turn is held for more than about a millisecond; what waits is bounded, and `busy` is the answer beyond.
 */
import type { Buffer } from "node:buffer";
import { generateKeyPair, sign, verify, type KeyObject, type SignKeyObjectInput } from "node:crypto";
import { secretBytes } from "../bytes.ts";
import { materialOf, type KeyPair } from "./asymmetric-key.ts";
import { Limiter } from "./limiter.ts";
import type { Material } from "./material.ts";
import {
  openTaskKey,
  runKeyless,
  runTask,
  taskKeyOf,
  type PointCurve,
  type Task,
  type TaskKey,
  type TaskResult,
} from "./off-loop-tasks.ts";
import { noKey, WorkerPool, type PoolKey } from "./worker-pool.ts";

/** How many operations run at once; whoever has many to run gains nothing by asking for more at a time. */
export const offLoopWidth = Math.max(1, Math.min(navigator.hardwareConcurrency, 8));
/** Operations that may wait, of the platform's kind and of the workers' kind each. */
export const OFF_LOOP_WAITING_MAX = 256;
/** A 4096-bit key takes a second or more of a core: one at a time. */
export const RSA_GENERATIONS_WAITING_MAX = 16;

export interface Duration {
  /** True for what takes about a millisecond or less. */
  readonly brief: boolean;
}

const native = new Limiter({ atOnce: offLoopWidth, waitingMax: OFF_LOOP_WAITING_MAX });
const file = new URL("./off-loop-worker.ts", import.meta.url);
const workers = new WorkerPool({ file, workersMax: offLoopWidth, waitingMax: OFF_LOOP_WAITING_MAX });
const generations = new WorkerPool({ file, workersMax: 1, waitingMax: RSA_GENERATIONS_WAITING_MAX });
let lastKeyId = 0;
let turnIsTaken = false;

/** A message's signature by the platform. Rejects with `busy`. */
export function signNative(
  hash: string | null,
  message: Uint8Array,
  key: KeyObject | SignKeyObjectInput,
  { brief }: Duration,
): Buffer | Promise<Buffer> {
  if (brief && takeTurn()) return sign(hash, message, key);
  return native.run(
    () =>
      new Promise((resolve, reject) => {
        sign(hash, message, key, (error, signature) => {
          if (error === null) resolve(signature);
          else reject(error);
        });
      }),
  );
}

/** Whether a message's signature is good, by the platform; false where it is malformed. Rejects with `busy`. */
export function verifyNative(
  hash: string | null,
  message: Uint8Array,
  key: KeyObject | SignKeyObjectInput,
  signature: Uint8Array,
  { brief }: Duration,
): boolean | Promise<boolean> {
  try {
    if (brief && takeTurn()) return verify(hash, message, key, signature);
  } catch {
    return false;
  }
  return native.run(
    () =>
      new Promise((resolve) => {
        try {
          verify(hash, message, key, signature, (error, valid) => {
            resolve(error === null && valid);
          });
        } catch {
          resolve(false);
        }
      }),
  );
}

/** What the platform has an asynchronous form of by itself. Rejects with `busy`. */
export function runNative<T>(work: () => Promise<T>): Promise<T> {
  return native.run(work);
}

/** A fresh RSA key. Rejects with `busy`. */
export async function generateRsaMaterial(modulusBits: number): Promise<Material> {
  const bytes = await generations.run(noKey, { run: "rsa-generate", modulusBits });
  if (!(bytes instanceof Uint8Array)) throw new Error("a task that makes a key answered none");
  return { form: "pkcs8", bytes: secretBytes(bytes) };
}

/** The public point of a secret scalar. On secp256k1 it is brief; on BLS12-381 it takes milliseconds. Rejects with `busy`. */
export async function publicPointOf(curve: PointCurve, scalar: Uint8Array): Promise<Uint8Array> {
  const task = { run: "public-point", curve, scalar } as const;
  if (curve === "secp256k1" && takeTurn()) return runKeyless(task);
  const point = await workers.run(noKey, task);
  if (!(point instanceof Uint8Array)) throw new Error("a task that makes a point answered none");
  return point;
}

/** A fresh EC key. Rejects with `busy`. */
export function generateEcPair(namedCurve: string): Promise<KeyObject> {
  return native.run(
    () =>
      new Promise((resolve, reject) => {
        generateKeyPair("ec", { namedCurve }, (error, _, privateKey) => {
          if (error === null) resolve(privateKey);
          else reject(error);
        });
      }),
  );
}

/** An opened key whose tasks run off the loop. */
export class OffLoopKey implements PoolKey {
  readonly id = ++lastKeyId;
  readonly #key: TaskKey;
  readonly #copy: () => Material;

  /** @param source an open pair, or the material of a key that the platform does not open */
  constructor(source: KeyPair | Material) {
    if ("form" in source) {
      this.#key = openTaskKey(source);
      this.#copy = () => ({ form: source.form, bytes: secretBytes(new Uint8Array(source.bytes)) });
    } else {
      this.#key = taskKeyOf(source);
      this.#copy = () => materialOf(source.privateKey ?? source.publicKey);
    }
  }

  material(): Material {
    return this.#copy();
  }

  /** Rejects with `busy`. */
  run(task: Task, { brief }: Duration): TaskResult | Promise<TaskResult> {
    return brief && takeTurn() ? runTask(this.#key, task) : workers.run(this, task);
  }
}

/** True where nothing is under way off the loop and this turn of the loop had no operation of ours yet. */
function takeTurn(): boolean {
  if (turnIsTaken || !native.idle || !workers.idle) return false;
  turnIsTaken = true;
  setImmediate(() => {
    turnIsTaken = false;
  });
  return true;
}
