import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPublicKey, generateKeyPairSync, hash, verify } from "node:crypto";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { algorithmOf, type SignatureAlgorithm } from "../../src/crypto/catalogue.ts";
import { materialOf } from "../../src/crypto/asymmetric-key.ts";
import { KEYS_KEPT_MAX } from "../../src/crypto/kept-keys.ts";
import { Limiter } from "../../src/crypto/limiter.ts";
import { OFF_LOOP_WAITING_MAX, offLoopWidth } from "../../src/crypto/off-loop.ts";
import { generateRsa } from "../../src/crypto/rsa.ts";
import { WorkerPool, type PoolKey } from "../../src/crypto/worker-pool.ts";
import { KeysteadError } from "../../src/errors.ts";
import { temporaryFolder } from "../harness.ts";
import { whims } from "./crashing-worker.ts";

describe("a limiter", () => {
  test("runs at most so many at once, in the order they came, and refuses those beyond its queue", async () => {
    const limiter = new Limiter({ atOnce: 2, waitingMax: 3 });
    const started: number[] = [];
    const finish: (() => void)[] = [];
    const runs = [0, 1, 2, 3, 4].map((i) =>
      limiter.run(() => {
        started.push(i);
        return new Promise<void>((resolve) => finish.push(resolve));
      }),
    );
    await assert.rejects(
      limiter.run(async () => undefined),
      { code: "busy" },
    );
    assert.deepEqual(started, [0, 1]);
    for (let i = 0; i < runs.length; i++) {
      finish[i]?.();
      await runs[i];
      await turn();
      assert.deepEqual(started, [0, 1, 2, 3, 4].slice(0, Math.min(i + 3, 5)));
    }
    assert.ok(limiter.idle);
  });

  test("gives the place of a failed run to the next", async () => {
    const limiter = new Limiter({ atOnce: 1, waitingMax: 1 });
    const failing = limiter.run(() => Promise.reject(new Error("made to fail")));
    const next = limiter.run(async () => "ran");
    await assert.rejects(failing);
    assert.equal(await next, "ran");
    assert.ok(limiter.idle);
  });
});

describe("a pool of workers", () => {
  test("fails the tasks of a worker that dies, and goes on with a new one", async () => {
    const pool = poolOf({ workersMax: 1, waitingMax: 10 });
    for (const whim of [whims.throw, whims.exit]) {
      assert.deepEqual(Buffer.from(await run(pool, whims.answer)), Buffer.of(7));
      const dying = run(pool, whim);
      const waiting = [whims.answer, whims.answer, whims.answer].map((next) => run(pool, next));
      await assert.rejects(dying, isInternal);
      // Those that it had been sent die with it, those that waited do not.
      const results = await Promise.allSettled(waiting);
      assert.equal(results.at(-1)?.status, "fulfilled");
      for (const result of results) assert.ok(result.status === "fulfilled" || isInternal(result.reason));
    }
    assert.ok(pool.idle);
  });

  test("answers a task that fails with internal_error, and keeps the worker", async () => {
    const pool = poolOf({ workersMax: 1, waitingMax: 10 });
    await assert.rejects(run(pool, whims.fail), isInternal);
    assert.deepEqual(Buffer.from(await run(pool, whims.answer)), Buffer.of(7));
  });

  test("refuses with busy what is beyond its queue, and answers all the rest", async () => {
    const pool = poolOf({ workersMax: 2, waitingMax: 3 });
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => run(pool, whims.slow)));
    const refused = results.filter(({ status }) => status === "rejected");
    // Two workers with two tasks each, and three that wait.
    assert.equal(results.length - refused.length, 7);
    for (const result of refused) {
      assert.ok(result.status === "rejected");
      assert.equal((result.reason as KeysteadError).code, "busy");
    }
  });

  test("sends a worker the bytes of its task and key, and nothing of what lies beside them", async () => {
    const pool = poolOf({ workersMax: 1, waitingMax: 1 });
    const body = Buffer.alloc(1024 * 1024);
    body[100] = whims.tellSize;
    const key: PoolKey = {
      id: 1,
      material: () => ({ form: "raw", bytes: secretBytes(body.subarray(0, 32)) }),
    };
    const sizes = await pool.run(key, { run: "rsa-sign-digest", digest: body.subarray(100, 110) });
    assert.ok(sizes instanceof Uint8Array);
    assert.deepEqual([...new Uint32Array(new Uint8Array(sizes).buffer)], [10, 32]);
  });

  test("wipes the copy of a key that it sent", async () => {
    const copies: Buffer[] = [];
    const pool = poolOf({ workersMax: 1, waitingMax: 1 });
    const key = { id: 1, material: () => ({ form: "raw", bytes: kept(copies) }) as const };
    await pool.run(key, { run: "rsa-sign-digest", digest: Buffer.of(whims.answer) });
    await pool.run(key, { run: "rsa-sign-digest", digest: Buffer.of(whims.answer) });
    assert.deepEqual(copies, [Buffer.alloc(32)]);
  });
});

describe("slow operations", () => {
  const digest = hash("sha256", "message", "buffer");

  test("sign digests with more keys at once than a worker keeps, each with its own", async () => {
    const algorithm = signing("ecdsa-p256");
    const keys = await Promise.all(
      Array.from({ length: KEYS_KEPT_MAX + 20 }, async () => algorithm.open(await algorithm.generate())),
    );
    for (let round = 0; round < 2; round++) {
      const signatures = await Promise.all(keys.map(async (key) => key.sign({ digest })));
      for (const [i, key] of keys.entries()) {
        assert.ok(await key.verify({ message: Buffer.from("message") }, signatures[i] ?? Buffer.alloc(0)));
      }
    }
  });

  test("answer busy beyond their queue and are done up to it", async () => {
    const algorithm = signing("rsa-2048");
    const key = algorithm.open(await algorithm.generate());
    const asked = OFF_LOOP_WAITING_MAX + 40;
    const results = await Promise.allSettled(
      Array.from({ length: asked }, async () => key.sign({ message: Buffer.from("m") })),
    );
    const done = results.filter(({ status }) => status === "fulfilled").length;
    // One may have run at once, and each worker has one at hand beside the one that it runs.
    assert.ok(done >= OFF_LOOP_WAITING_MAX && done <= OFF_LOOP_WAITING_MAX + 2 * offLoopWidth + 1, `${done}`);
    for (const result of results) {
      if (result.status === "rejected") assert.equal((result.reason as KeysteadError).code, "busy");
    }
  });

  test("let the event loop turn while an RSA-4096 key is made", async () => {
    let ticks = 0;
    let longestMs = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      longestMs = Math.max(longestMs, now - last);
      last = now;
      ticks++;
    }, 2);
    const startedAt = performance.now();
    await generateRsa(4096);
    const tookMs = performance.now() - startedAt;
    clearInterval(timer);
    // A generation on the loop would allow none at all; a loaded machine delays some.
    assert.ok(ticks > tookMs / 40, `${ticks} ticks in ${tookMs} ms, the longest wait ${longestMs} ms`);
  });

  test("sign while an RSA-4096 key is made", async () => {
    const algorithm = signing("rsa-2048");
    const { privateKey: pair2048 } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const material = materialOf(pair2048);
    const key = algorithm.open(material);
    let made = false;
    const generation = generateRsa(4096).then(() => (made = true));
    let signatures = 0;
    while (signatures < 3) {
      const message = Buffer.from(`message ${signatures}`);
      const signature = await key.sign({ message });
      assert.ok(verify("sha256", message, createPublicKey(pair2048), signature));
      signatures++;
    }
    assert.equal(made, false);
    await generation;
  });

  test("keep no process alive once they are done", () => {
    const script = `
      import { algorithmOf } from "${new URL("../../src/crypto/catalogue.ts", import.meta.url).href}";
      const algorithm = algorithmOf("ecdsa-p256");
      const key = algorithm.open(await algorithm.generate());
      const digest = new Uint8Array(32);
      const signatures = await Promise.all([1, 2, 3, 4].map(() => key.sign({ digest })));
      process.stdout.write("signed " + signatures.length);
    `;
    const file = join(temporaryFolder(), "sign.mjs");
    writeFileSync(file, script);
    const { stdout, status } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 30_000 });
    assert.deepEqual([stdout, status], ["signed 4", 0]);
  });
});

function poolOf(bounds: { workersMax: number; waitingMax: number }): WorkerPool {
  return new WorkerPool({ file: new URL("./crashing-worker.ts", import.meta.url), ...bounds });
}

async function run(pool: WorkerPool, whim: number): Promise<Uint8Array> {
  const key: PoolKey = { id: 1, material: () => ({ form: "raw", bytes: secretBytes(Buffer.alloc(32)) }) };
  const result = await pool.run(key, { run: "rsa-sign-digest", digest: Buffer.of(whim) });
  assert.ok(result instanceof Uint8Array);
  return result;
}

function kept(copies: Buffer[]): ReturnType<typeof secretBytes> {
  const bytes = Buffer.alloc(32, 1);
  copies.push(bytes);
  return secretBytes(bytes);
}

function isInternal(error: unknown): boolean {
  return error instanceof KeysteadError && error.code === "internal_error";
}

function signing(type: "ecdsa-p256" | "rsa-2048"): SignatureAlgorithm {
  const algorithm = algorithmOf(type);
  assert.ok(algorithm.family === "signature");
  return algorithm;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
