/** The store's own promise: what was acknowledged is there, whole, after `kill -9` at any moment. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { dekForms } from "../../docstore/dek-source.ts";
import { serviceFor } from "../harness.ts";
import { bodyOf } from "./crash-body.ts";
import { isAnywhereBelow, startKeyService, storeRole, storesOf } from "./store-harness.ts";

const CYCLES = 5;
const writer = join(import.meta.dirname, "crash-writer.ts");

for (const form of dekForms) {
  describe(`a document store with ${form} keys that is killed while it writes`, () => {
    const service = serviceFor(startKeyService);

    test(`has every acknowledged document, whole, after each of ${CYCLES} kills`, async () => {
      const { store, data } = await storesOf(form, service());
      const token = await service().token(...storeRole(form));
      const acknowledged = new Map<string, number>();
      let random = 20_251;
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        // A linear congruence: the same moments, in acknowledgements, on every run.
        random = (random * 48_271) % 2_147_483_647;
        const killAfter = 5 + (random % 60);
        const highest = Math.max(0, ...acknowledged.values());
        const child = spawn(
          process.execPath,
          [writer, service().url, token, data, form, String(cycle), String(highest)],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        const exited = once(child, "exit");
        let count = 0;
        for await (const line of createInterface({ input: child.stdout })) {
          const [id = "", serial = ""] = line.split(" ");
          acknowledged.set(id, Math.max(Number(serial), acknowledged.get(id) ?? 0));
          if (++count === killAfter) child.kill("SIGKILL");
        }
        await exited;
        assert.equal(child.signalCode, "SIGKILL");
        const fresh = store();
        for (const [id, serial] of acknowledged) {
          const document = (await fresh.get("crash", "c", id)) as unknown as ReturnType<typeof bodyOf>;
          assert.ok(document.serial >= serial, `${id}: ${document.serial} instead of ${serial}`);
          assert.deepEqual(document, bodyOf(id, document.serial));
        }
        for (const id of (await fresh.list("crash", "c", { limit: 1000 })).names) {
          const document = (await fresh.get("crash", "c", id)) as unknown as ReturnType<typeof bodyOf>;
          assert.deepEqual(document, bodyOf(id, document.serial));
        }
      }
      assert.ok(acknowledged.size >= 10);
      const result = await store().reencrypt("crash");
      assert.ok(result.documents >= acknowledged.size);
      assert.equal((await store().keyVersions("crash")).length, 1);
      // What a killed write left is ciphertext too.
      assert.equal(isAnywhereBelow(data, "canary"), false);
    });
  });
}
