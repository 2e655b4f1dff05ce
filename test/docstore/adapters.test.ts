/** The adapters against the real libraries, over a real service. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Keyv } from "keyv";
import { createStorage } from "unstorage";
import fsDriver from "unstorage/drivers/fs";
import memoryDriver from "unstorage/drivers/memory";
import { encryptedKeyv } from "../../docstore/keyv-adapter.ts";
import { encryptedDriver, type InnerDriver } from "../../docstore/unstorage-driver.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { KeysteadDecryptionError } from "../../sdk/envelope-error.ts";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { isAnywhereBelow } from "./store-harness.ts";

const CANARY = "canary-77ab";

// Their declarations lead to ones that are not installed.
const memory = memoryDriver as () => InnerDriver;
const files = fsDriver as (options: { readonly base: string }) => InnerDriver;

describe("the Keyv adapter", () => {
  const service = serviceFor(startDev);
  const cipherOf = async (name: string): ReturnType<typeof makeCipher> => makeCipher(service().url, name);

  test("stores, finds, counts down and removes values as Keyv does, and the store below sees ciphertext only", async () => {
    const inner = new Map<string, string>();
    const keyv = new Keyv({
      store: encryptedKeyv(inner, await cipherOf("sessions"), "s"),
      namespace: "web",
      throwOnErrors: true,
    });
    const value = { user: CANARY, roles: ["a", null, 1.5] };
    assert.equal(await keyv.set("one", value), true);
    await keyv.set("short", 1, 1);
    await keyv.setMany([
      { key: "two", value: 2 },
      { key: "three", value: "drei" },
    ]);
    assert.deepEqual(await keyv.get("one"), value);
    assert.deepEqual(await keyv.get(["one", "two", "three", "absent"]), [value, 2, "drei", undefined]);
    assert.equal(await keyv.get("absent"), undefined);
    assert.equal(await keyv.has("two"), true);
    assert.equal(await keyv.has("absent"), false);
    while ((await keyv.get("short")) !== undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(inner.size >= 3);
    assert.equal(
      [...inner].flat().some((text) => text.includes(CANARY) || text.includes("drei")),
      false,
    );
    assert.equal(await keyv.delete("two"), true);
    assert.equal(await keyv.get("two"), undefined);
    await keyv.clear();
    assert.equal(inner.size, 0);
  });

  test("opens no value under another key, in a store of another name, changed, or in clear", async () => {
    const inner = new Map<string, string>();
    const cipher = await cipherOf("bound");
    const keyv = new Keyv({ store: encryptedKeyv(inner, cipher, "s"), throwOnErrors: true });
    await keyv.set("a", "mine");
    const [key, stored] = [...inner][0] ?? ["", ""];
    inner.set(key.replace(/a$/, "b"), stored);
    await assert.rejects(keyv.get("b"), KeysteadDecryptionError);
    const renamed = new Keyv({ store: encryptedKeyv(inner, cipher, "t"), throwOnErrors: true });
    await assert.rejects(renamed.get("a"), KeysteadDecryptionError);
    for (const bad of ["", JSON.stringify({ value: "in clear" }), stored.slice(4), stored.slice(0, -8)]) {
      inner.set(key, bad);
      await assert.rejects(keyv.get("a"), KeysteadDecryptionError);
    }
    inner.set(key, stored);
    assert.equal(await keyv.get("a"), "mine");
  });

  test("refuses a Keyv that does not serialize, and stores nothing of it", async () => {
    const inner = new Map<string, string>();
    const keyv = new Keyv({ store: encryptedKeyv(inner, await cipherOf("raw"), "s"), throwOnErrors: true });
    keyv.serialize = undefined;
    await assert.rejects(keyv.set("a", { b: 1 }));
    assert.equal(inner.size, 0);
  });
});

describe("the unstorage driver", () => {
  const service = serviceFor(startDev);
  const cipherOf = async (name: string): ReturnType<typeof makeCipher> => makeCipher(service().url, name);

  for (const below of ["memory", "fs"] as const) {
    test(`stores, lists and removes items over the ${below} driver, which sees ciphertext only`, async () => {
      const base = join(temporaryFolder(), "items");
      const inner = below === "memory" ? memory() : files({ base });
      const storage = createStorage({ driver: encryptedDriver(inner, await cipherOf(below), "s") });
      const value = { user: CANARY };
      await storage.setItem("web:one", value);
      await storage.setItems([
        { key: "web:two", value: "2" },
        { key: "three", value: "drei" },
      ]);
      await storage.setItemRaw("web:raw", Buffer.from([0, 255, 10]));
      assert.deepEqual(await storage.getItem("web:one"), value);
      assert.deepEqual(
        (await storage.getItems(["web:two", "three"])).map(({ value: item }) => item),
        [2, "drei"],
      );
      assert.deepEqual(
        Buffer.from((await storage.getItemRaw("web:raw")) as Uint8Array),
        Buffer.from([0, 255, 10]),
      );
      assert.equal(await storage.getItem("absent"), null);
      assert.equal(await storage.hasItem("three"), true);
      assert.equal(await storage.hasItem("absent"), false);
      assert.deepEqual((await storage.getKeys("web")).sort(), ["web:one", "web:raw", "web:two"]);
      if (below === "fs") assert.equal(isAnywhereBelow(base, CANARY), false);
      assert.equal(String(await inner.getItem("web:one")).includes(CANARY), false);
      await storage.removeItem("web:two");
      assert.equal(await storage.getItem("web:two"), null);
      await storage.clear();
      assert.deepEqual(await storage.getKeys(), []);
      await storage.dispose();
    });
  }

  test("opens no item under another key, in a storage of another name, changed, or in clear", async () => {
    const inner = memory();
    const cipher = await cipherOf("bound");
    const storage = createStorage({ driver: encryptedDriver(inner, cipher, "s") });
    await storage.setItem("a", "mine");
    const stored = String(await inner.getItem("a"));
    const write = async (key: string, value: string): Promise<void> => inner.setItem?.(key, value, {});
    await write("b", stored);
    await assert.rejects(storage.getItem("b"), KeysteadDecryptionError);
    const renamed = createStorage({ driver: encryptedDriver(inner, cipher, "t") });
    await assert.rejects(renamed.getItem("a"), KeysteadDecryptionError);
    for (const bad of ["in clear", stored.slice(4), stored.slice(0, -8)]) {
      await write("a", bad);
      await assert.rejects(storage.getItem("a"), KeysteadDecryptionError);
    }
    await write("a", stored);
    assert.equal(await storage.getItem("a"), "mine");
  });
});

async function makeCipher(url: string, name: string): Promise<ReturnType<KeysteadClient["envelope"]>> {
  const client = new KeysteadClient({ url });
  await client.key.create(name);
  return client.envelope(name);
}
