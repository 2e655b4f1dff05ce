/** A project's documents under a new key, while they are read and written. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { dekForms } from "../../docstore/dek-source.ts";
import { placeHash } from "../../docstore/document-cipher.ts";
import { withLock } from "../../docstore/document-lock.ts";
import { serviceFor } from "../harness.ts";
import { leaveLock } from "./left-lock.ts";
import { keyNameOf, refused, startKeyService, storesOf, type StoreHarness } from "./store-harness.ts";

for (const form of dekForms) {
  describe(`re-encryption with ${form} keys`, () => {
    const service = serviceFor(startKeyService);
    let projects = 0;
    const newProject = (): string => `p${++projects}`;
    /** Rotates on the service, where the key itself is the service's, and has the store take it up. */
    const advance = async ({ service: running, store }: StoreHarness, project: string): Promise<number> => {
      const token = await running.token("admin");
      await running.request("POST", `/v1/keys/${keyNameOf(form, project)}/rotate`, {}, { token });
      return store().advanceKey(project);
    };
    const docsFolder = ({ data }: StoreHarness, project: string): string =>
      join(data, "projects", project, "docs", "c");

    test("leaves every document readable before, during and after, and forgets the old key", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const [reader, worker] = [harness.store(), harness.store()];
      const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
      for (const [i, id] of ids.entries()) await reader.put(project, "c", id, i);
      const allOpen = async (): Promise<void> => {
        for (const [i, id] of ids.entries()) assert.equal(await reader.get(project, "c", id), i);
      };
      await allOpen();
      assert.equal(await advance(harness, project), 2);
      await allOpen();
      const before = new Map(ids.map((id) => [id, readFileSync(join(docsFolder(harness, project), id))]));
      const seen: number[] = [];
      const reads: Promise<void>[] = [];
      const result = await worker.reencrypt(project, {
        onProgress: ({ done, total }) => {
          assert.equal(total, ids.length);
          seen.push(done);
          if (done % 8 === 0) reads.push(allOpen());
        },
      });
      await Promise.all(reads);
      assert.deepEqual(result, { version: 2, documents: 40, reencrypted: 40, forgotten: 1 });
      assert.deepEqual(
        seen,
        ids.map((_, i) => i + 1),
      );
      assert.deepEqual(await reader.keyVersions(project), [2]);
      await allOpen();
      for (const id of ids) {
        const now = readFileSync(join(docsFolder(harness, project), id));
        assert.equal(now.equals(before.get(id) ?? Buffer.alloc(0)), false);
      }
      // The old file opens no more: its key is forgotten.
      writeFileSync(join(docsFolder(harness, project), "d0"), before.get("d0") ?? "");
      await assert.rejects(harness.store().get(project, "c", "d0"), refused("document_unreadable"));
    });

    test("goes on where it was interrupted, and has nothing to do the second time", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const one = harness.store();
      for (let i = 0; i < 10; i++) await one.put(project, "c", `d${i}`, i);
      await advance(harness, project);
      const abort = new AbortController();
      await assert.rejects(
        one.reencrypt(project, {
          signal: abort.signal,
          onProgress: ({ done }) => {
            if (done === 4) abort.abort();
          },
        }),
      );
      assert.deepEqual(await one.keyVersions(project), [2, 1]);
      for (let i = 0; i < 10; i++) assert.equal(await harness.store().get(project, "c", `d${i}`), i);
      assert.deepEqual(await harness.store().reencrypt(project), {
        version: 2,
        documents: 10,
        reencrypted: 6,
        forgotten: 1,
      });
      const again = await one.reencrypt(project);
      assert.deepEqual([again.reencrypted, again.forgotten], [0, 0]);
      for (let i = 0; i < 10; i++) assert.equal(await one.get(project, "c", `d${i}`), i);
    });

    test("undoes nothing that others write or remove meanwhile, and no reader fails", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const writers = [harness.store(), harness.store()];
      const reader = harness.store();
      const ids = Array.from({ length: 20 }, (_, i) => `d${i}`);
      const acknowledged = new Map<string, number>();
      for (const id of ids) await writers[0]!.put(project, "c", id, 0);
      let isOver = false;
      // Each writer has its own documents, so that what was acknowledged last is known.
      const write = async (writer: number): Promise<void> => {
        for (let round = 1; !isOver; round++) {
          for (const id of ids.filter((_, i) => i % 2 === writer)) {
            await writers[writer]!.put(project, "c", id, round);
            acknowledged.set(id, round);
          }
          await writers[writer]!.put(project, "c", `new-${writer}-${round}`, round);
          acknowledged.set(`new-${writer}-${round}`, round);
          if (round > 1) {
            await writers[writer]!.delete(project, "c", `new-${writer}-${round - 1}`);
            acknowledged.delete(`new-${writer}-${round - 1}`);
          }
        }
      };
      const read = async (): Promise<void> => {
        while (!isOver)
          for (const id of ids) assert.equal(typeof (await reader.get(project, "c", id)), "number");
      };
      const others = Promise.all([write(0), write(1), read()]);
      for (let rotation = 0; rotation < 3; rotation++) {
        await advance(harness, project);
        await harness.store().reencrypt(project);
      }
      isOver = true;
      await others;
      const fresh = harness.store();
      assert.deepEqual(await fresh.keyVersions(project), [4]);
      for (const [id, round] of acknowledged) assert.equal(await fresh.get(project, "c", id), round, id);
      assert.deepEqual(
        (await fresh.list(project, "c", { limit: 1000 })).names,
        [...acknowledged.keys()].sort(),
      );
    });

    test("keeps the old key while a document does not open, and says so", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const one = harness.store();
      await one.put(project, "c", "good", 1);
      await one.put(project, "c", "swapped", 2);
      copyFileSync(join(docsFolder(harness, project), "good"), join(docsFolder(harness, project), "swapped"));
      await advance(harness, project);
      await assert.rejects(one.reencrypt(project), refused("documents_unreadable"));
      assert.deepEqual(await one.keyVersions(project), [2, 1]);
      assert.equal(await one.get(project, "c", "good"), 1);
      await one.delete(project, "c", "swapped");
      assert.equal((await one.reencrypt(project)).forgotten, 1);
    });

    test("goes past an older key that cannot be had to the one that a document is under", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const one = harness.store();
      await one.put(project, "c", "d", 1);
      for (let rotation = 0; rotation < 2; rotation++) await advance(harness, project);
      writeFileSync(join(harness.data, "projects", project, "keys", "2.json"), "{}");
      assert.equal((await one.reencrypt(project)).reencrypted, 1);
      assert.deepEqual(await one.keyVersions(project), [3]);
      assert.equal(await harness.store().get(project, "c", "d"), 1);
    });

    test("waits for whoever holds a document's lock, and breaks the lock of a process that is gone", async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const one = harness.store();
      await one.put(project, "c", "d", 1);
      await advance(harness, project);
      const locks = join(harness.data, "projects", project, "locks");
      const lock = placeHash({ project, collection: "c", id: "d" });
      let isReleased = false;
      let reencrypting: Promise<void> | undefined;
      await withLock(locks, lock, async () => {
        reencrypting = one.reencrypt(project).then(() => assert.ok(isReleased));
        for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
        isReleased = true;
      });
      await reencrypting;
      if (!(await leaveLock(locks, lock))) return;
      await one.put(project, "c", "d", 2);
      assert.equal(await one.get(project, "c", "d"), 2);
      assert.deepEqual(readdirSync(locks), []);
    });

    test(`counts writes, and ${form === "wrapped" ? "goes on under a new key" : "refuses more"} at the limit`, async () => {
      const harness = await storesOf(form, service());
      const project = newProject();
      const writes = { writesMax: 8, blockSize: 4 };
      // Two processes: each reserves for itself.
      const [one, other] = [harness.store({ writes }), harness.store({ writes })];
      await one.put(project, "c", "d0", 0);
      await other.put(project, "c", "d1", 1);
      for (let i = 2; i < 5; i++) await one.put(project, "c", `d${i}`, i);
      const keys = join(harness.data, "projects", project, "keys");
      assert.equal(readFileSync(join(keys, "1.writes"), "utf8"), "8");
      if (form === "exported") {
        await assert.rejects(one.put(project, "c", "d5", 5), refused("key_spent"));
        await advance(harness, project);
      }
      await one.put(project, "c", "d5", 5);
      assert.deepEqual(await one.keyVersions(project), [2, 1]);
      for (let i = 0; i < 6; i++) assert.equal(await harness.store().get(project, "c", `d${i}`), i);
      await one.reencrypt(project);
      assert.deepEqual(await one.keyVersions(project), [2]);
      assert.equal(existsSync(join(keys, "1.writes")), false);
      writeFileSync(join(keys, "2.writes"), "many");
      await assert.rejects(harness.store({ writes }).put(project, "c", "d", 1), refused("key_damaged"));
    });
  });
}
