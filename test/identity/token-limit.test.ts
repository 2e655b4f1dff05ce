import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { Accounts } from "../../src/identity/accounts.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Write } from "../../src/storage/store.ts";

const TOKENS_MAX = 1000;

describe("the limit of tokens an account", () => {
  test("counts those that are valid: the expired make room, and are gone then", async (t) => {
    const store = await openSqlite(":memory:", assert.fail);
    t.after(() => store.close());
    const accounts = new Accounts(
      store,
      new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 7)) }]),
    );
    await accounts.create("svc", "service", (writes) => store.commit(writes));
    const writes: Write[] = [];
    const collect = (more: readonly Write[]): Promise<void> => Promise.resolve(void writes.push(...more));
    for (let i = 0; i < TOKENS_MAX; i++)
      await accounts.createToken("svc", `t${i}`, i < 2 ? 60 : 3600, collect);
    await store.commit(writes);
    const create = async (label: string): Promise<void> => {
      await accounts.createToken("svc", label, 3600, (more) => store.commit(more));
    };
    await assert.rejects(create("one-more"), { code: "limit_reached" });

    const real = Date.now;
    t.after(() => (Date.now = real));
    Date.now = () => real() + 61_000;
    await create("first");
    const labels = (await accounts.tokens("svc")).map(({ label }) => label);
    assert.equal(labels.length, TOKENS_MAX - 1);
    assert.deepEqual(
      [labels.includes("t0"), labels.includes("t1"), labels.includes("t2"), labels.includes("first")],
      [false, false, true, true],
    );
    await create("second");
    await assert.rejects(create("third"), { code: "limit_reached" });
  });
});
