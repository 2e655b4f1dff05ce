/** The queue in front of the password work. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LANE_MAX, PasswordQueue, type Lane } from "../../src/identity/password-queue.ts";

/** Work that ends when it is told to. */
class Works {
  readonly started: string[] = [];
  readonly #ends: (() => void)[] = [];
  running = 0;
  runningMost = 0;

  readonly work = (name: string) => async (): Promise<string> => {
    this.started.push(name);
    this.runningMost = Math.max(this.runningMost, ++this.running);
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    this.running--;
    return name;
  };

  /** Ends the oldest work and lets the next one begin, until none runs. */
  async endAll(): Promise<void> {
    while (this.running > 0) {
      this.#ends.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

describe("the queue of passwords", () => {
  test("runs so many at once and no more, and answers busy beyond a lane's places", async () => {
    const queue = new PasswordQueue(2);
    const works = new Works();
    const all = Array.from({ length: 2 + LANE_MAX }, (_, i) => queue.run("suspect", works.work(String(i))));
    assert.deepEqual([queue.hasRoom("suspect"), queue.hasRoom("known")], [false, true]);
    await assert.rejects(queue.run("suspect", works.work("more")), { code: "busy" });
    // A lane that is full takes nobody else's places.
    const known = queue.run("known", works.work("known"));
    assert.equal(works.running, 2);
    await works.endAll();
    assert.deepEqual(
      await Promise.all(all),
      Array.from({ length: 2 + LANE_MAX }, (_, i) => String(i)),
    );
    assert.equal(await known, "known");
    assert.equal(works.runningMost, 2);
    assert.equal(works.started.indexOf("known"), 2, "the known come before all who wait");
  });

  test("serves lanes in their order, and each from its front", async () => {
    const queue = new PasswordQueue(1);
    const works = new Works();
    const lanes: Lane[] = ["suspect", "fresh", "known", "suspect", "fresh", "known"];
    const first = queue.run("suspect", works.work("first"));
    const rest = lanes.map((lane, i) => queue.run(lane, works.work(`${lane}${i}`)));
    await works.endAll();
    await Promise.all([first, ...rest]);
    assert.deepEqual(works.started, [
      "first",
      "known2",
      "known5",
      "fresh1",
      "fresh4",
      "suspect0",
      "suspect3",
    ]);
  });

  test("goes on after work that failed", async () => {
    const queue = new PasswordQueue(1);
    const failed = queue.run("fresh", () => Promise.reject(new Error("broken")));
    const next = queue.run("fresh", () => Promise.resolve("next"));
    await assert.rejects(failed, /broken/);
    assert.equal(await next, "next");
    assert.equal(await queue.run("suspect", () => Promise.resolve("later")), "later");
  });
});
