/** Turns of the event loop: what is done together, and what comes at their end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { atTurnEnd, gathered } from "../src/turn.ts";

/** After everything that is due at once. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("the end of a turn comes after all that its requests could do without waiting", async () => {
  const seen: string[] = [];
  const request = async (name: string): Promise<void> => {
    await gathered();
    seen.push(`${name} begins`);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    seen.push(`${name} writes`);
    atTurnEnd(() => seen.push(`${name} is written`));
  };
  await Promise.all([request("a"), request("b")]);
  await settled();
  assert.deepEqual(seen, ["a begins", "b begins", "a writes", "b writes", "a is written", "b is written"]);
});

test("what begins while a turn ends has an end of its own", async () => {
  const seen: string[] = [];
  await gathered();
  atTurnEnd(() => {
    seen.push("first end");
    void gathered().then(() => {
      seen.push("next turn");
      atTurnEnd(() => seen.push("next end"));
    });
    atTurnEnd(() => seen.push("asked for at the end"));
  });
  await settled();
  assert.deepEqual(
    seen.filter((name) => name !== "asked for at the end"),
    ["first end", "next turn", "next end"],
  );
  assert.ok(seen.includes("asked for at the end"));
});

test("what waits for an end outside of any turn is called back soon", async () => {
  await settled();
  let called = false;
  atTurnEnd(() => (called = true));
  assert.equal(called, false);
  await settled();
  assert.equal(called, true);
});
