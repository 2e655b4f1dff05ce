import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SerialQueue } from "../src/serial-queue.ts";

describe("the serial queue", () => {
  test("runs one at a time for one name, in the order of the calls", async () => {
    const queue = new SerialQueue();
    const order: number[] = [];
    let running = 0;
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        queue.run("a", async () => {
          assert.equal(++running, 1);
          // Of different lengths, so that only the queue keeps the order.
          for (let turn = 0; turn < 20 - i; turn++) await Promise.resolve();
          order.push(i);
          running--;
        }),
      ),
    );
    assert.deepEqual(order, [...Array(20).keys()]);
  });

  test("gives each caller its own result", async () => {
    const queue = new SerialQueue();
    const results = await Promise.all([1, 2, 3].map((n) => queue.run("a", () => Promise.resolve(n * n))));
    assert.deepEqual(results, [1, 4, 9]);
  });

  test("lets other names go on meanwhile", async () => {
    const queue = new SerialQueue();
    const held = Promise.withResolvers<string>();
    const waiting = queue.run("a", () => held.promise);
    assert.equal(await queue.run("b", () => Promise.resolve("b")), "b");
    held.resolve("a");
    assert.equal(await waiting, "a");
  });

  test("goes on after a failed run, whose error only its caller gets", async () => {
    const queue = new SerialQueue();
    const failing = queue.run("a", () => Promise.reject(new Error("failed")));
    const next = queue.run("a", () => Promise.resolve("next"));
    await assert.rejects(failing, /failed/);
    assert.equal(await next, "next");
    assert.equal(await queue.run("a", () => Promise.resolve("later")), "later");
  });

  test("goes on after a run that throws before it returns a promise", async () => {
    const queue = new SerialQueue();
    const failing = queue.run("a", () => {
      throw new Error("failed at once");
    });
    const next = queue.run("a", () => Promise.resolve("next"));
    await assert.rejects(failing, /failed at once/);
    assert.equal(await next, "next");
  });

  test("does not start a run inside the call that asks for it", async () => {
    const queue = new SerialQueue();
    let started = false;
    const run = queue.run("a", () => {
      started = true;
      return Promise.resolve();
    });
    assert.equal(started, false);
    await run;
    assert.equal(started, true);
  });
});
