/** Locks of documents, and what is written under them, where holders die and others come late. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DocumentFiles } from "../../docstore/document-files.ts";
import { breakLock, lockPath, withLock } from "../../docstore/document-lock.ts";
import { temporaryFolder } from "../harness.ts";
import { leaveLock } from "./left-lock.ts";
import { refused } from "./store-harness.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("whoever judged a lock to be left by the dead does not take away the one that came after it", async (t) => {
  const folder = temporaryFolder();
  const left = await leaveLock(folder, "d");
  if (left === undefined) {
    t.skip("this system does not tell one boot from another");
    return;
  }
  await withLock(folder, "d", async (lock) => {
    // As somebody does who has looked at the lock that was left, and was held up since.
    await breakLock(lockPath(folder, "d"), left);
    assert.ok(await lock.isMine());
    await assert.rejects(
      withLock(folder, "d", () => Promise.resolve(), { staleMs: 30_000, waitMs: 20 }),
      refused("busy"),
    );
  });
  assert.deepEqual(readdirSync(folder), []);
});

test("of many who meet a lock that was left, one at a time holds it", async () => {
  const folder = temporaryFolder();
  for (let round = 0; round < 4; round++) {
    await leaveLock(folder, "d");
    let holders = 0;
    let done = 0;
    const work = async (lock: { isMine(): Promise<boolean> }): Promise<void> => {
      assert.equal(++holders, 1);
      assert.ok(await lock.isMine());
      holders--;
      done++;
    };
    await Promise.all(Array.from({ length: 8 }, () => withLock(folder, "d", work)));
    assert.equal(done, 8);
  }
});

test("a holder whose time is over has lost its lock, and leaves the next holder's alone", async () => {
  const folder = temporaryFolder();
  const path = lockPath(folder, "d");
  const times = { staleMs: 0, waitMs: 1000 };
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const first = withLock(
    folder,
    "d",
    async (lock) => {
      await ended;
      assert.equal(await lock.isMine(), false);
    },
    times,
  );
  while (!existsSync(path)) await nextTurn();
  const [late] = readdirSync(path);
  // The age of a lock is counted in milliseconds.
  const begun = Date.now();
  while (Date.now() < begun + 3) await nextTurn();
  await withLock(
    folder,
    "d",
    async () => {
      const held = readdirSync(path);
      assert.notDeepEqual(held, [late]);
      end();
      await first;
      assert.deepEqual(readdirSync(path), held);
    },
    times,
  );
  assert.deepEqual(readdirSync(folder), []);
});

test("makes no document in the place of one that came meanwhile, lock or not", async () => {
  const data = temporaryFolder();
  const files = new DocumentFiles(data, 100);
  const place = { project: "p", collection: "c", id: "d" };
  const folder = join(data, "projects", "p", "docs", "c");
  const isMade = await files.change(place, (document) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "d"), "another's");
    return document.create(Buffer.from("mine"));
  });
  assert.equal(isMade, false);
  assert.equal(readFileSync(join(folder, "d"), "utf8"), "another's");
});
