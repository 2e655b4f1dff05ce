/** One contract for both forms of the document store, over a real service. */
import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import type { Json } from "../../docstore/doc-store.ts";
import { systemCodeOf } from "../../docstore/doc-store-error.ts";
import { dekForms } from "../../docstore/dek-source.ts";
import { serviceFor } from "../harness.ts";
import {
  filesBelow,
  foldersBelow,
  isAnywhereBelow,
  keyNameOf,
  modeOf,
  refused,
  startKeyService,
  storesOf,
} from "./store-harness.ts";

const CANARY = "canary-5f1c0b";

for (const form of dekForms) {
  describe(`a document store with ${form} keys`, () => {
    const service = serviceFor(startKeyService);
    let projects = 0;
    const newProject = (): string => `p${++projects}-${form}`;

    test("gives back what was put, whatever JSON it is, to another process too", async () => {
      const { store } = await storesOf(form, service());
      const one = store();
      const documents: Json[] = [
        null,
        true,
        0,
        -1.5,
        "",
        "é\u0000\u{1f600}",
        [],
        {},
        { a: [{ b: null }] },
        [[[]]],
      ];
      for (const [i, document] of documents.entries()) await one.put("shop", "orders", `d${i}`, document);
      const other = store();
      for (const [i, document] of documents.entries()) {
        assert.deepEqual(await one.get("shop", "orders", `d${i}`), document);
        assert.deepEqual(await other.get("shop", "orders", `d${i}`), document);
      }
      assert.equal(await one.get("shop", "orders", "absent"), undefined);
      assert.equal(await one.get("shop", "absent", "d0"), undefined);
    });

    test("keeps JSON text as it was written, and refuses what is none", async () => {
      const store = (await storesOf(form, service())).store();
      const project = newProject();
      const text = '{ "n": 12345678901234567890123, "n": 1.0 }';
      await store.putText(project, "c", "d", text);
      assert.equal(await store.getText(project, "c", "d"), text);
      for (const bad of ["", "{", "undefined", "{'a':1}", "NaN", "1 2", '"\ud800"', '"\udc00 \ud800"'])
        await assert.rejects(store.putText(project, "c", "d", bad), refused("invalid_document"));
      await assert.rejects(
        store.put(project, "c", "d", undefined as unknown as Json),
        refused("invalid_document"),
      );
      assert.equal(await store.getText(project, "c", "d"), text);
    });

    test("replaces and removes, and says whether there was something to remove", async () => {
      const store = (await storesOf(form, service())).store();
      const project = newProject();
      assert.equal(await store.delete(project, "c", "d"), false);
      await store.put(project, "c", "d", 1);
      await store.put(project, "c", "d", 2);
      assert.equal(await store.get(project, "c", "d"), 2);
      assert.equal(await store.delete(project, "c", "d"), true);
      assert.equal(await store.delete(project, "c", "d"), false);
      assert.equal(await store.get(project, "c", "d"), undefined);
    });

    test("refuses documents over its limit, and takes those at it", async () => {
      const store = (await storesOf(form, service())).store({ documentBytesMax: 10 });
      const project = newProject();
      await store.put(project, "c", "d", "12345678");
      await assert.rejects(store.put(project, "c", "d", "123456789"), refused("document_too_large"));
      assert.equal(await store.get(project, "c", "d"), "12345678");
    });

    test("knows a project by its name in lower case, and others not at all", async () => {
      const { store, data, client } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      await one.put(project.toUpperCase(), "c", "d", 1);
      assert.equal(await one.get(project, "c", "d"), 1);
      assert.deepEqual((await one.list(project, "c")).names, ["d"]);
      assert.equal((await client.key.get(keyNameOf(form, project))).name, keyNameOf(form, project));
      const files = filesBelow(data);
      for (const bad of [
        "",
        "a.b",
        "a/b",
        "..",
        "-a",
        "a_b",
        "é",
        "\u212aelvin",
        "a".repeat(64),
        "a\u0000",
        "a b",
      ])
        await assert.rejects(one.put(bad, "c", "d", 1), refused("invalid_project"));
      for (const bad of [
        "",
        ".",
        "..",
        ".a",
        "a/b",
        "a\\b",
        "a%2fb",
        "a\u0000b",
        "é",
        "a b",
        "a".repeat(121),
      ]) {
        await assert.rejects(one.put(project, bad, "d", 1), refused("invalid_name"));
        await assert.rejects(one.put(project, "c", bad, 1), refused("invalid_name"));
        await assert.rejects(one.get(project, "c", bad), refused("invalid_name"));
        await assert.rejects(one.delete(project, bad, "d"), refused("invalid_name"));
        await assert.rejects(one.list(project, bad), refused("invalid_name"));
      }
      assert.deepEqual(filesBelow(data), files);
    });

    test("keeps names apart that some file systems take for one", async () => {
      const { store, data } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      const names = [
        "a",
        "A",
        "con",
        "CON",
        "con.txt",
        "nul",
        "a.",
        "a..",
        "_",
        "-",
        "_a",
        "a-",
        "X".repeat(120),
      ];
      for (const [i, name] of names.entries()) await one.put(project, name, name, i);
      for (const [i, name] of names.entries()) assert.equal(await one.get(project, name, name), i);
      assert.deepEqual((await one.collections(project)).names, [...names].sort());
      const folded = foldersBelow(data).map((folder) => folder.toLowerCase());
      assert.equal(new Set(folded).size, folded.length);
    });

    test("lists by name, page by page, without opening a document or asking for a key", async () => {
      const { store, service: running, data } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      const names = Array.from({ length: 25 }, (_, i) => `d${i}`);
      await Promise.all(names.map((name) => one.put(project, "c", name, 1)));
      writeFileSync(join(data, "projects", project, "docs", "c", "Not Ours"), "x");
      writeFileSync(join(data, "projects", project, "docs", "c", ".tmp-abc"), "x");
      const entries = running.auditEntries().length;
      const cold = store();
      const listed: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await cold.list(project, "c", { limit: 10, cursor });
        assert.ok(page.names.length <= 10);
        listed.push(...page.names);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      assert.deepEqual(listed, [...names].sort());
      assert.deepEqual(await cold.list(project, "absent"), { names: [] });
      assert.deepEqual(await cold.collections(project), { names: ["c"] });
      assert.equal(await cold.delete(project, "c", "d0"), true);
      assert.equal(running.auditEntries().length, entries);
      for (const limit of [0, 1001, 1.5, Number.NaN])
        await assert.rejects(cold.list(project, "c", { limit }), refused("invalid_cursor"));
      await assert.rejects(cold.list(project, "c", { cursor: "../x" }), refused("invalid_cursor"));
    });

    test("opens no file that was changed in any region, cut, lengthened or emptied", async () => {
      const { store, data } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      await one.put(project, "c", "d", { secret: CANARY });
      const path = join(data, "projects", project, "docs", "c", "d");
      const whole = readFileSync(path);
      assert.equal(whole.length, 12 + JSON.stringify({ secret: CANARY }).length + 16);
      for (let at = 0; at < whole.length; at++) {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        writeFileSync(path, changed);
        await assert.rejects(one.get(project, "c", "d"), refused("document_unreadable"), `byte ${at}`);
      }
      for (let length = 0; length < whole.length; length++) {
        writeFileSync(path, whole);
        truncateSync(path, length);
        await assert.rejects(one.get(project, "c", "d"), refused("document_unreadable"), `length ${length}`);
      }
      writeFileSync(path, Buffer.concat([whole, Buffer.of(0)]));
      await assert.rejects(one.get(project, "c", "d"), refused("document_unreadable"));
      writeFileSync(path, whole);
      assert.deepEqual(await one.get(project, "c", "d"), { secret: CANARY });
    });

    test("opens a file in its own project, collection and place only", async () => {
      const { store, data } = await storesOf(form, service());
      const one = store();
      const [mine, other] = [newProject(), newProject()];
      await one.put(mine, "c", "d", "mine");
      for (const [project, collection, id] of [
        [mine, "c", "e"],
        [mine, "e", "d"],
        [other, "c", "d"],
      ] as const) {
        await one.put(project, collection, id, "theirs");
        const folder = (name: string): string => join(data, "projects", name, "docs");
        copyFileSync(join(folder(mine), "c", "d"), join(folder(project), collection, id));
        await assert.rejects(one.get(project, collection, id), refused("document_unreadable"));
        await assert.rejects(store().get(project, collection, id), refused("document_unreadable"));
      }
    });

    test("does not follow a project's notes to another project's key, another form, or none", async () => {
      const { store, data } = await storesOf(form, service());
      const one = store();
      const [mine, other] = [newProject(), newProject()];
      await one.put(mine, "c", "d", "mine");
      await one.put(other, "c", "d", "theirs");
      const folder = (project: string): string => join(data, "projects", project);
      const note = join(folder(mine), "keys", "1.json");
      const good = readFileSync(note);
      const docs = readFileSync(join(folder(other), "docs", "c", "d"));

      // All of the other project's files under this one's name.
      writeFileSync(join(folder(mine), "docs", "c", "d"), docs);
      copyFileSync(join(folder(other), "keys", "1.json"), note);
      const swapped = form === "wrapped" ? "key_damaged" : "document_unreadable";
      await assert.rejects(store().get(mine, "c", "d"), refused(swapped));
      if (form === "wrapped") await assert.rejects(store().put(mine, "c", "d", 1), refused("key_damaged"));

      const otherForm = form === "wrapped" ? "exported" : "wrapped";
      writeFileSync(note, JSON.stringify({ form: otherForm, wrapped_dek: "AAAA" }));
      await assert.rejects(store().get(mine, "c", "d"), refused("wrong_form"));
      await assert.rejects(store().put(mine, "c", "d", 1), refused("wrong_form"));
      for (const bad of ["", "{", "null", "[]", "{}", '{"form":"none"}']) {
        writeFileSync(note, bad);
        await assert.rejects(store().get(mine, "c", "d"), refused("key_damaged"));
        await assert.rejects(store().put(mine, "c", "d", 1), refused("key_damaged"));
      }
      // A version that the service never made.
      writeFileSync(note, good);
      renameSync(note, join(folder(mine), "keys", "7.json"));
      await assert.rejects(store().put(mine, "c", "d", 1), refused("key_damaged"));
      // No note at all: a new key would leave what is there unreadable.
      rmSync(join(folder(mine), "keys"), { recursive: true });
      await assert.rejects(store().put(mine, "c", "d", 1), refused("key_gone"));
      await assert.rejects(store().get(mine, "c", "d"), refused("key_gone"));
    });

    test("has no plaintext in its folder, in no name and no metadata, and no key", async () => {
      const { store, data, client } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      for (let i = 0; i < 5; i++) await one.put(project, "c", `d${i}`, { secret: CANARY });
      assert.equal(isAnywhereBelow(data, CANARY), false);
      if (form === "exported") {
        const { keyMaterial } = await client.key.export(keyNameOf(form, project));
        for (const encoding of ["latin1", "base64", "hex"] as const)
          assert.equal(isAnywhereBelow(data, Buffer.from(keyMaterial).toString(encoding)), false);
      }
    });

    test("makes files for its owner only, whatever the umask", async () => {
      const { store, data } = await storesOf(form, service());
      const before = process.umask(0);
      try {
        await store().put(newProject(), "c", "d", 1);
      } finally {
        process.umask(before);
      }
      const files = filesBelow(data);
      assert.ok(files.length >= 3);
      for (const path of files) assert.equal(modeOf(path), 0o600, path);
      for (const path of [data, ...foldersBelow(data)]) assert.equal(modeOf(path), 0o700, path);
    });

    test("makes one key and one fetch of a thousand first writes at once, and all are there", async () => {
      const { store, service: running } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      const ids = Array.from({ length: 1000 }, (_, i) => `d${i}`);
      await Promise.all(ids.map((id, i) => one.put(project, "c", id, i)));
      const fetch = form === "wrapped" ? "key.generate_data_key" : "key.export";
      assert.deepEqual(
        running
          .auditEntries()
          .filter((entry) => entry["resource"] === `key:${keyNameOf(form, project)}`)
          .map((entry) => [entry["action"], entry["outcome"]]),
        [
          [fetch, "key_not_found"],
          ["key.create", "ok"],
          [fetch, "ok"],
        ],
      );
      assert.deepEqual(await Promise.all(ids.map((id) => one.get(project, "c", id))), [...ids.keys()]);
    });

    test("stores over one folder that race for a project's first write end with the same key", async () => {
      const { store, client } = await storesOf(form, service());
      const project = newProject();
      const stores = Array.from({ length: 8 }, () => store());
      await Promise.all(stores.map((one, i) => one.put(project, "c", `d${i}`, i)));
      for (const one of [...stores, store()]) {
        for (const i of stores.keys()) assert.equal(await one.get(project, "c", `d${i}`), i);
        assert.deepEqual(await one.keyVersions(project), [1]);
      }
      assert.equal((await client.key.get(keyNameOf(form, project))).latest_version, 1);
    });

    test("the last of many writers to one document is there, whole", async () => {
      const { store } = await storesOf(form, service());
      const project = newProject();
      const stores = [store(), store(), store()];
      const bodies = Array.from({ length: 60 }, (_, i) => String(i).padEnd(2000, "x"));
      await Promise.all(bodies.map((body, i) => stores[i % 3]!.put(project, "c", "d", body)));
      const there = await store().get(project, "c", "d");
      assert.ok(bodies.some((body) => body === there));
    });

    test("shreds a project with its key: nothing opens when what is in memory has had its time", async () => {
      const { store, client, service: running } = await storesOf(form, service());
      let now = 0;
      const one = store({ cache: { now: () => now } });
      const [project, kept] = [newProject(), newProject()];
      await one.put(project, "c", "d", 1);
      await one.put(kept, "c", "d", 1);
      const admin = await running.token("admin");
      const name = keyNameOf(form, project);
      await running.request("POST", `/v1/keys/${name}/schedule-deletion`, {}, { token: admin });
      assert.equal((await client.key.get(name)).state, "pending_deletion");
      now += 899_999;
      assert.equal(await one.get(project, "c", "d"), 1);
      now += 1;
      await assert.rejects(one.get(project, "c", "d"), refused("key_unusable"));
      await assert.rejects(one.put(project, "c", "e", 1), refused("key_unusable"));
      assert.equal(await one.get(kept, "c", "d"), 1);
      assert.deepEqual((await one.list(project, "c")).names, ["d"]);
      assert.deepEqual(await one.keyVersions(project), [1]);
    });

    test("a store that may not have the key says so, and writes nothing", async () => {
      const { store, service: running, data } = await storesOf(form, service());
      const { KeysteadClient } = await import("../../sdk/client.ts");
      const client = new KeysteadClient({ url: running.url, token: await running.token("reader") });
      await assert.rejects(store({ client }).put(newProject(), "c", "d", 1), refused("key_refused"));
      assert.deepEqual(filesBelow(dirname(data)), []);
    });

    test("says of a file or folder that fails only that, and names the system's code below", async () => {
      const { store, data } = await storesOf(form, service());
      const project = newProject();
      const one = store();
      await one.put(project, "c", "d", 1);
      // Where the document should be is a folder.
      const inTheWay = join(data, "projects", project, "docs", "c", "e");
      mkdirSync(join(inTheWay, "full"), { recursive: true });
      const isEisdir = (error: unknown): boolean =>
        refused("storage_unavailable")(error) &&
        !(error as Error).message.includes(project) &&
        systemCodeOf((error as Error).cause) === "EISDIR";
      await assert.rejects(one.get(project, "c", "e"), isEisdir);
      await assert.rejects(one.put(project, "c", "e", 1), isEisdir);
      await assert.rejects(one.reencrypt(project), isEisdir);
      assert.equal(await one.get(project, "c", "d"), 1);
      const file = join(data, "file");
      writeFileSync(file, "");
      await assert.rejects(
        store({ data: join(file, "below") }).put(project, "c", "d", 1),
        refused("storage_unavailable"),
      );
    });

    test("a failed write leaves the document that was there", async () => {
      if (process.getuid?.() === 0) return;
      const { store, data } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      await one.put(project, "c", "d", 1);
      const folder = join(data, "projects", project, "docs", "c");
      chmodSync(folder, 0o500);
      await assert.rejects(one.put(project, "c", "d", 2));
      chmodSync(folder, 0o700);
      assert.equal(await one.get(project, "c", "d"), 1);
    });

    test("forgets a folder that somebody removed, and makes it again", async () => {
      const { store, data } = await storesOf(form, service());
      const one = store();
      const project = newProject();
      await one.put(project, "c", "d", 1);
      rmSync(join(data, "projects", project, "docs"), { recursive: true });
      rmSync(join(data, "projects", project, "locks"), { recursive: true });
      await one.put(project, "c", "d", 2);
      assert.equal(await one.get(project, "c", "d"), 2);
      mkdirSync(join(data, "projects", project, "docs", "empty"));
      assert.deepEqual((await one.collections(project)).names, ["c", "empty"]);
    });
  });
}
