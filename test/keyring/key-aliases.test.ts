/** Further names of keys: what they lead to, when they are free, and what the database tells of them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import type { Key } from "../../src/keyring/key.ts";
import type { NewAlias } from "../../src/keyring/key-aliases.ts";
import { KeysteadError } from "../../src/errors.ts";
import { startServer, temporaryFolder, type TestService } from "../harness.ts";

const shown = (text: string, scheme = "test"): NewAlias => ({ scheme, text, isShown: true });
const hidden = (text: string, scheme = "test"): NewAlias => ({ scheme, text, isShown: false });
const isTaken = (error: unknown): boolean => error instanceof KeysteadError && error.code === "key_exists";

async function handles(service: TestService, projectName = "default") {
  const { keyring, projects, auditor } = service.keystead.services;
  const project = (await projects.byName(projectName))?.id ?? "";
  const commit: CommitChange = (writes, facts) =>
    auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
  return {
    keyring,
    project,
    make: (name: string, ...aliases: NewAlias[]): Promise<Key> =>
      keyring.create(project, { name, type: "aes-256", exportable: false, aliases }, commit),
    add: (key: Key, alias: NewAlias) => keyring.addAlias(project, key.id, alias, commit),
    free: (key: Key) => keyring.scheduleDeletion(project, key.id, 7, true, commit),
    keep: (key: Key) => keyring.cancelDeletion(project, key.id, commit),
    find: (text: string, scheme = "test") => keyring.idOfAlias(project, scheme, text),
  };
}

describe("an alias", () => {
  test("leads to its key, is unique in its project and scheme, and is another one elsewhere", async () => {
    await using service = await startServer();
    const { make, add, find } = await handles(service);
    const a = await make("a", shown("did:example:1#key-1"));
    const b = await make("b");
    assert.equal(await find("did:example:1#key-1"), a.id);
    await assert.rejects(add(b, shown("did:example:1#key-1")), isTaken);
    await assert.rejects(make("c", hidden("did:example:1#key-1")), isTaken);
    await add(b, shown("did:example:1#key-1", "other"));
    assert.equal(await find("did:example:1#key-1", "other"), b.id);
    assert.equal(await find("did:example:1#key-2"), undefined);
    const admin = await service.token("admin", { project: "*" });
    await service.request("POST", "/v1/projects", { name: "second" }, { token: admin });
    const second = await handles(service, "second");
    assert.equal(await second.find("did:example:1#key-1"), undefined);
    assert.notEqual((await second.make("a", shown("did:example:1#key-1"))).id, a.id);
  });

  test("given twice is one, and a key may have many", async () => {
    await using service = await startServer();
    const { make, add, find } = await handles(service);
    const key = await make("a", shown("one"));
    await add(key, shown("one"));
    const now = await add(key, hidden("two"));
    assert.deepEqual(
      now.aliases?.map(({ text }) => text),
      ["one", undefined],
    );
    assert.deepEqual([await find("one"), await find("two")], [key.id, key.id]);
  });

  test("of two concurrent claims one wins", async () => {
    await using service = await startServer();
    const { make, add, find } = await handles(service);
    const keys = await Promise.all(["a", "b", "c", "d"].map((name) => make(name)));
    const results = await Promise.allSettled(keys.map((key) => add(key, shown("prize"))));
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    const winner = keys[results.findIndex(({ status }) => status === "fulfilled")];
    assert.equal(await find("prize"), winner?.id);
  });

  test("is free when its key's deletion frees it, and back at a cancellation unless somebody took it", async () => {
    await using service = await startServer();
    const { make, find, free, keep } = await handles(service);
    const key = await make("orders", hidden("ref-1"), shown("ref-2"));
    assert.equal(await find("ref-1"), key.id);
    await free(key);
    assert.deepEqual([await find("ref-1"), await find("ref-2")], [undefined, undefined]);
    const successor = await make("x", hidden("ref-1"));
    // What was remembered of the first key must not stand in the way of the second.
    assert.equal(await find("ref-1"), successor.id);
    const kept = await keep(key);
    assert.equal(kept.name, "orders");
    assert.equal(kept.nameBefore, undefined);
    assert.deepEqual(
      kept.aliases?.map(({ text }) => text),
      ["ref-2"],
    );
    assert.deepEqual([await find("ref-1"), await find("ref-2")], [successor.id, key.id]);
  });

  test("outlives a restart, and stands in no row in clear", async () => {
    const folder = temporaryFolder();
    const canary = "canary-reference-4711";
    const before = await startServer({
      KEYSTEAD_DATA_PATH: folder,
      KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    });
    const key = await (await handles(before)).make("plain", hidden(canary), shown(`${canary}-shown`));
    await before.close();
    for (const file of ["keystead.db", "audit.log"])
      assert.ok(!readFileSync(join(folder, file), "latin1").includes(canary), file);
    await using after = await startServer({ KEYSTEAD_DATA_PATH: folder });
    const { find } = await handles(after);
    assert.deepEqual([await find(canary), await find(`${canary}-shown`)], [key.id, key.id]);
  });

  test("fails closed in an edited database: led to another key, or put in another's place", async () => {
    for (const edit of [
      "update key_aliases set key_id = (select id from keys where name = 'b'), sealed = (select sealed from key_aliases where key_id = (select id from keys where name = 'b')) where key_id = (select id from keys where name = 'a')",
      "update key_aliases set sealed = substr(sealed, 1, 20)",
      "update service_secrets set sealed = substr(sealed, 1, 20)",
      "delete from service_secrets",
    ]) {
      const folder = temporaryFolder();
      const before = await startServer({ KEYSTEAD_DATA_PATH: folder });
      const { make } = await handles(before);
      await make("a", shown("to-a"));
      await make("b", shown("to-b"));
      await before.close();
      const database = new DatabaseSync(join(folder, "keystead.db"));
      database.exec(edit);
      database.close();
      await using after = await startServer({ KEYSTEAD_DATA_PATH: folder });
      const { find } = await handles(after);
      assert.equal(await find("to-a").catch(() => undefined), undefined, edit);
    }
  });

  test("a row that was put back leads nowhere, since the key's own record lists its aliases", async () => {
    const folder = temporaryFolder();
    const before = await startServer({ KEYSTEAD_DATA_PATH: folder });
    const { make, free } = await handles(before);
    const key = await make("a", shown("again"));
    const database = new DatabaseSync(join(folder, "keystead.db"));
    const rows = database.prepare("select * from key_aliases").all();
    await free(key);
    await before.close();
    const [row] = rows;
    database
      .prepare("insert into key_aliases (id, project_id, key_id, sealed) values (?, ?, ?, ?)")
      .run(
        row?.["id"] as Uint8Array,
        String(row?.["project_id"]),
        String(row?.["key_id"]),
        row?.["sealed"] as Uint8Array,
      );
    database.close();
    await using after = await startServer({ KEYSTEAD_DATA_PATH: folder });
    assert.equal(await (await handles(after)).find("again"), undefined);
  });
});
