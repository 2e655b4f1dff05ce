/** What idempotency keys do to the database: their rows, among several nodes, and in time. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { randomSecret } from "../../src/crypto/random.ts";
import { KeysteadError } from "../../src/errors.ts";
import { devCaller } from "../../src/identity/caller.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { Idempotency, REMEMBERED_MS, type Attempt, type KeyedCall } from "../../src/service/idempotency.ts";
import type { Remembered } from "../../src/service/operation.ts";
import { openSqlite, type SqliteStore } from "../../src/storage/sqlite.ts";
import { StoreConflict, type Write } from "../../src/storage/store.ts";

const stores: SqliteStore[] = [];
after(async () => {
  await Promise.all(stores.map((store) => store.close()));
});

interface Node {
  readonly store: SqliteStore;
  readonly barrier: Barrier;
  readonly idempotency: Idempotency;
  /** The service's clock. */
  nowMs: number;
}

async function startNode(beside?: Node, waitMsMax = 10_000): Promise<Node> {
  const store = beside?.store ?? (await openSqlite(":memory:", () => undefined));
  if (beside === undefined) stores.push(store);
  const barrier = beside?.barrier ?? new Barrier([{ version: 1, key: randomSecret(32) }]);
  const node: Node = {
    store,
    barrier,
    nowMs: Date.parse("2026-01-01T00:00:00Z"),
    idempotency: new Idempotency({ store, barrier, now: () => node.nowMs, waitMsMax }),
  };
  return node;
}

const call = (over: Partial<KeyedCall> = {}): KeyedCall => ({
  project: "p1",
  caller: devCaller,
  operation: "key.create",
  key: "key-1",
  input: { name: "k" },
  ...over,
});

/** A change that everybody can see: one lease of a name. */
const lease = (name: string): Write => ({
  insert: "leases",
  row: { name, holder: "test", revision: 1, expires_at: "" },
});
const leases = async ({ store }: Node): Promise<string[]> =>
  (await store.select({ from: "leases", orderBy: "name" })).map(({ name }) => name);
const rows = async ({ store }: Node): Promise<number> =>
  (await store.select({ from: "idempotency" })).filter((row) => !row.created_at.startsWith("9999")).length;

const commits =
  (node: Node, ...names: string[]) =>
  async (attempt: Attempt): Promise<string> => {
    await node.store.commit(attempt.withRow(names.map(lease), 7));
    attempt.committed = true;
    return "made";
  };
const replays = (): string => "replayed";

describe("the row of an idempotency key", () => {
  test("and the change are in the database both or neither", async () => {
    const node = await startNode();
    await node.store.commit([lease("taken")]);
    await assert.rejects(
      node.idempotency.once(call(), commits(node, "new", "taken"), replays),
      StoreConflict,
    );
    assert.deepEqual([await leases(node), await rows(node)], [["taken"], 0]);
    assert.equal(await node.idempotency.once(call(), commits(node, "new"), replays), "made");
    assert.deepEqual([await leases(node), await rows(node)], [["new", "taken"], 1]);
  });

  test("is not made by a run that changed nothing", async () => {
    const node = await startNode();
    for (let i = 0; i < 2; i++)
      assert.equal(await node.idempotency.once(call(), () => "nothing", replays), "nothing");
    assert.equal(await rows(node), 0);
  });

  test("names the object that was made and its version, to the replay alone", async () => {
    const node = await startNode();
    const change: Write[] = [
      { delete: "tokens", where: { id: "old" }, expect: "any" },
      {
        insert: "projects",
        row: { id: "id-1", name: "n", revision: 1, created_at: "", due_at: null, sealed: randomSecret(1) },
      },
    ];
    await node.idempotency.once(
      call(),
      (attempt) => node.store.commit(attempt.withRow(change, 3)),
      () => assert.fail(),
    );
    let told: Remembered | undefined;
    await node.idempotency.once(
      call(),
      () => assert.fail(),
      (remembered) => {
        told = remembered;
      },
    );
    assert.deepEqual([told?.object, told?.version], ["id-1", 3]);
  });

  test("counts for one project, caller, operation and key only", async () => {
    const node = await startNode();
    const others: Partial<KeyedCall>[] = [
      {},
      { project: "p2" },
      { project: "" },
      { operation: "key.import" },
      { key: "key-2" },
      { caller: { ...devCaller, label: "jwt:dev" } },
      { caller: { ...devCaller, accountId: "a1" } },
      { caller: { ...devCaller, accountId: "a2" } },
    ];
    for (const [i, over] of others.entries()) {
      assert.equal(await node.idempotency.once(call(over), commits(node, `lease-${i}`), replays), "made");
    }
    for (const over of others) {
      assert.equal(await node.idempotency.once(call(over), () => assert.fail(), replays), "replayed");
    }
  });

  test("says nothing of key and request to who reads the database", async () => {
    const node = await startNode();
    const secret = "canary-4d1c";
    await node.idempotency.once(call({ key: secret, input: { value: secret } }), commits(node, "x"), replays);
    for (const { id, sealed } of await node.store.select({ from: "idempotency" })) {
      for (const bytes of [id, sealed]) assert.ok(!Buffer.from(bytes).includes(secret));
    }
  });

  test("is the same for a service that starts anew, and after the barrier has another key", async () => {
    const key = randomSecret(32);
    const first = await startNode();
    const barrier = new Barrier([{ version: 1, key }]);
    const before = new Idempotency({ store: first.store, barrier });
    assert.equal(await before.once(call(), commits(first, "x"), replays), "made");
    const rotated = new Barrier([
      { version: 1, key },
      { version: 2, key: randomSecret(32) },
    ]);
    const later = new Idempotency({ store: first.store, barrier: rotated });
    assert.equal(await later.once(call(), () => assert.fail(), replays), "replayed");
  });
});

describe("two nodes with one database", () => {
  test("make a change once, whichever is faster, and the slower one replays it", async () => {
    const one = await startNode();
    const two = await startNode(one);
    const answers = await Promise.all(
      [one, two].map((node) =>
        node.idempotency.once(
          call(),
          // As the parts do it: a name that is taken, and a conflict that they do not know.
          (attempt) => commits(node, "x")(attempt),
          replays,
        ),
      ),
    );
    assert.deepEqual(answers.sort(), ["made", "replayed"]);
    assert.deepEqual([await leases(one), await rows(one)], [["x"], 1]);
  });

  test("agree also where the slower one already finds the change and takes it for an obstacle", async () => {
    const one = await startNode();
    const two = await startNode(one);
    const answer = await two.idempotency.once(
      call(),
      async () => {
        await one.idempotency.once(call(), commits(one, "x"), replays);
        throw new KeysteadError("secret_not_found");
      },
      replays,
    );
    assert.equal(answer, "replayed");
  });

  test("do not lose the other's fresh row when an old one makes room", async () => {
    const one = await startNode();
    const two = await startNode(one);
    await one.idempotency.once(call(), commits(one, "x"), replays);
    one.nowMs = two.nowMs += REMEMBERED_MS + 1;
    const answer = await two.idempotency.once(
      call(),
      async (attempt) => {
        assert.equal(await one.idempotency.once(call(), commits(one, "y"), replays), "made");
        return commits(two, "z")(attempt);
      },
      replays,
    );
    assert.equal(answer, "replayed");
    assert.deepEqual(await leases(one), ["x", "y"]);
  });
});

describe("requests under one key at the same time", () => {
  test("wait for the first, but not for ever: then they are refused and never run", async () => {
    const node = await startNode(undefined, 20);
    const first = Promise.withResolvers<undefined>();
    const running = node.idempotency.once(
      call(),
      async (attempt) => {
        await first.promise;
        return commits(node, "x")(attempt);
      },
      replays,
    );
    let late = 0;
    const isLate = (): string => String(late++);
    await assert.rejects(node.idempotency.once(call(), isLate, isLate), { code: "idempotency_pending" });
    first.resolve(undefined);
    assert.equal(await running, "made");
    assert.equal(await node.idempotency.once(call(), () => assert.fail(), replays), "replayed");
    assert.equal(late, 0);
  });

  test("are held in a bounded number; another key is not kept waiting", async () => {
    const node = await startNode();
    const first = Promise.withResolvers<undefined>();
    const run = async (attempt: Attempt): Promise<string> => {
      await first.promise;
      return commits(node, "x")(attempt);
    };
    const all = Array.from({ length: 150 }, () =>
      node.idempotency.once(call(), run, replays).catch((error: unknown) => (error as KeysteadError).code),
    );
    assert.equal(await node.idempotency.once(call({ key: "other" }), commits(node, "y"), replays), "made");
    first.resolve(undefined);
    const answers = await Promise.all(all);
    const count = (wanted: string): number => answers.filter((answer) => answer === wanted).length;
    assert.deepEqual([count("made"), count("replayed"), count("idempotency_pending")], [1, 99, 50]);
    assert.equal(await node.idempotency.once(call(), () => assert.fail(), replays), "replayed");
  });
});

describe("after a day", () => {
  test("a row does not count, even where it is still there, and makes room for the next", async () => {
    const node = await startNode();
    await node.idempotency.once(call(), commits(node, "x"), replays);
    node.nowMs += REMEMBERED_MS;
    assert.equal(await node.idempotency.once(call(), () => assert.fail(), replays), "replayed");
    node.nowMs += 1;
    assert.equal(await node.idempotency.once(call(), commits(node, "y"), replays), "made");
    assert.equal(await node.idempotency.once(call(), () => assert.fail(), replays), "replayed");
    assert.equal(await rows(node), 1);
  });

  test("rows are removed, more than a batch of them, and neither younger ones nor the hashes' key", async () => {
    const node = await startNode();
    await node.idempotency.once(call({ key: "young" }), commits(node, "young"), replays);
    const old = new Date(node.nowMs - REMEMBERED_MS - 1).toISOString();
    await node.store.commit(
      Array.from({ length: 1200 }, (_, i): Write => {
        const id = Buffer.from(`old-${i}`);
        return { insert: "idempotency", row: { id, created_at: old, sealed: id } };
      }),
    );
    await node.idempotency.sweep();
    assert.equal(await rows(node), 1);
    const restarted = await startNode(node);
    assert.equal(
      await restarted.idempotency.once(call({ key: "young" }), () => assert.fail(), replays),
      "replayed",
    );
  });
});
