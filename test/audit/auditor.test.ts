import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { nullSink } from "../../src/audit/audit-sink.ts";
import { openAuditor, serviceFacts, type Auditor, type AuditorOptions } from "../../src/audit/auditor.ts";
import { canonicalLine, type AuditEntry } from "../../src/audit/entry.ts";
import { sealOutboxRow } from "../../src/audit/outbox.ts";
import { secretBytes } from "../../src/bytes.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { StartRefused } from "../../src/start-refused.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store, Write } from "../../src/storage/store.ts";
import { startServer, temporaryFolder, type TestService } from "../harness.ts";
import { FakeSink } from "./fake-sink.ts";

const durable = (folder: string, settings: Record<string, string> = {}): Promise<TestService> =>
  startServer({
    KEYSTEAD_DATA_PATH: join(folder, "data"),
    KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    ...settings,
  });

describe("audit entries", () => {
  test("say who did what to which version of what, from where, with which outcome", async () => {
    await using service = await startServer();
    const admin = await service.token("admin");
    const reader = await service.token("reader");
    const headers = { "x-request-id": "req-1" };
    await service.request("POST", "/v1/keys", { name: "k" }, { token: admin });
    await service.request("POST", "/v1/keys/k/rotate", {}, { token: admin });
    await service.request("POST", "/v1/encrypt/k", { plaintext: "x" }, { token: admin, headers });
    await service.request(
      "POST",
      "/v1/encrypt/k",
      { plaintext: "x" },
      { token: reader, headers: { "x-request-id": "req-2" } },
    );
    await service.request("GET", "/v1/keys/none", undefined, {
      token: reader,
      headers: { "x-request-id": "req-3" },
    });
    const find = (request: string): Record<string, unknown> =>
      service.auditEntries().find((entry) => entry["request"] === request) ?? {};
    const used = find("req-1");
    assert.equal(used["action"], "key.encrypt");
    assert.equal(used["caller"], "person:test-1");
    assert.equal(used["resource"], "key:k");
    assert.equal(used["version"], 2);
    assert.equal(used["project"], "default");
    assert.equal(used["address"], "127.0.0.1");
    assert.deepEqual([used["decision"], used["outcome"], used["severity"]], ["allow", "ok", "INFO"]);
    const denied = find("req-2");
    assert.deepEqual(
      [denied["decision"], denied["outcome"], denied["severity"]],
      ["deny", "forbidden", "WARNING"],
    );
    const absent = find("req-3");
    assert.deepEqual([absent["decision"], absent["outcome"]], ["allow", "key_not_found"]);
  });

  test("have an id of the service's own, whatever request id the client gives", async () => {
    await using service = await startServer();
    const token = await service.token("reader");
    for (let i = 0; i < 3; i++)
      await service.request("GET", "/v1/keys", undefined, { token, headers: { "x-request-id": "same" } });
    const ids = service
      .auditEntries()
      .filter((entry) => entry["request"] === "same")
      .map((entry) => entry["id"]);
    assert.equal(ids.length, 3);
    assert.equal(new Set(ids).size, 3);
  });

  test("stand in lines whose members are in alphabetical order", async () => {
    await using service = await startServer();
    await service.request("GET", "/v1/keys", undefined, { token: await service.token("reader") });
    for (const entry of service.auditEntries())
      assert.deepEqual(Object.keys(entry), Object.keys(entry).sort());
  });

  test("of key export are CRITICAL, granted and refused, with and without credentials", async () => {
    await using service = await startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" });
    const exporter = await service.token("exporter", { kind: "service" });
    const admin = await service.token("admin", { project: "*" });
    await service.request("POST", "/v1/keys", { name: "dek" }, { token: exporter });
    assert.equal(
      (await service.request("GET", "/v1/export/dek", undefined, { token: exporter })).status,
      200,
    );
    assert.equal((await service.request("GET", "/v1/export/dek", undefined, { token: admin })).status, 403);
    assert.equal((await service.request("GET", "/v1/export/dek")).status, 401);
    const exports = service.auditEntries().filter((entry) => entry["action"] === "key.export");
    assert.deepEqual(
      exports.map((entry) => [entry["severity"], entry["outcome"]]),
      [
        ["CRITICAL", "ok"],
        ["CRITICAL", "forbidden"],
        ["CRITICAL", "unauthenticated"],
      ],
    );
  });

  test("of key export on an address that does not serve it are CRITICAL as well", async () => {
    await using service = await startServer();
    const exporter = await service.token("exporter", { kind: "service" });
    const answer = await service.request("GET", "/v1/export/dek", undefined, { token: exporter });
    assert.equal(answer.json["code"], "route_not_found");
    const entry = service.auditEntries().find((candidate) => candidate["action"] === "key.export");
    assert.deepEqual([entry?.["severity"], entry?.["decision"]], ["CRITICAL", "deny"]);
  });

  test("of an anonymous flood are few: one at once, the rest of a second in one summary", async () => {
    await using service = await startServer();
    const answers = await Promise.all(Array.from({ length: 300 }, () => service.request("GET", "/v1/keys")));
    const statuses = answers.map(({ status }) => status);
    assert.ok(statuses.every((status) => status === 401 || status === 429));
    assert.ok(statuses.includes(429), "the flood is told to wait");
    await service.close();
    const refusals = service.auditEntries().filter((entry) => entry["caller"] === "anonymous");
    assert.ok(refusals.length < 20, `${refusals.length} entries`);
    const counted = refusals.reduce(
      (sum, entry) => sum + ((entry["details"] as { refusals?: number } | undefined)?.refusals ?? 1),
      0,
    );
    assert.equal(counted, 300, "and still none is forgotten");
  });
});

describe("the audit log's file", () => {
  test("goes on in its sequence after a restart, and is 0600", async () => {
    const folder = temporaryFolder();
    let token: string | undefined;
    for (let i = 0; i < 3; i++) {
      await using service = await durable(folder);
      token ??= await service.token("admin");
      await service.request("POST", "/v1/keys", { name: `k${i}` }, { token });
    }
    await using service = await durable(folder);
    const sequences = service.auditEntries().map((entry) => entry["sequence"]);
    assert.deepEqual(
      sequences,
      Array.from({ length: sequences.length }, (_, i) => i + 1),
    );
    assert.equal(statSync(join(folder, "audit.log")).mode & 0o777, 0o600);
  });

  test("survives rotation by another program: renamed, then SIGHUP, no entry lost and no number twice", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const service = await durable(folder);
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k1" }, { token });
    renameSync(path, `${path}.1`);
    await service.request("POST", "/v1/keys", { name: "k2" }, { token });
    service.keystead.reopenAuditLog();
    await service.request("POST", "/v1/keys", { name: "k3" }, { token });
    await service.close();
    renameSync(path, `${path}.2`);
    await using again = await durable(folder);
    await again.request("POST", "/v1/keys", { name: "k4" }, { token });
    const entries = [`${path}.1`, `${path}.2`, path].flatMap((file) =>
      readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    );
    assert.deepEqual(
      entries.map((entry) => entry["sequence"]),
      Array.from({ length: entries.length }, (_, i) => i + 1),
    );
    const created = entries
      .filter((entry) => entry["action"] === "key.create")
      .map((entry) => entry["resource"]);
    assert.deepEqual(created, ["key:k1", "key:k2", "key:k3", "key:k4"]);
  });

  test("loses a torn last line at the next start, which records that it did", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    await (await durable(folder)).close();
    const whole = readFileSync(path, "utf8");
    appendFileSync(path, '{"action":"key.enc');
    await using service = await durable(folder);
    assert.ok(readFileSync(path, "utf8").startsWith(whole));
    const recovered = service.auditEntries().find((entry) => entry["action"] === "audit.recover");
    assert.deepEqual(recovered?.["details"], { entries_appended: 0, torn_bytes_cut: 18 });
  });

  test("that was emptied does not make numbers start again", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const first = await durable(folder);
    const token = await first.token("admin");
    await first.request("POST", "/v1/keys", { name: "k1" }, { token });
    await first.close();
    const last = readFileSync(path, "utf8").trim().split("\n").length;
    writeFileSync(path, "");
    await using service = await durable(folder);
    await service.request("POST", "/v1/keys", { name: "k2" }, { token });
    assert.ok(Number(service.auditEntries()[0]?.["sequence"]) >= last);
  });

  test("is not blamed when it is the database that fails at the start", async () => {
    const folder = temporaryFolder();
    await (await durable(folder)).close();
    const database = new DatabaseSync(join(folder, "data", "keystead.db"));
    database.exec("drop table outbox");
    database.close();
    const settings = {
      KEYSTEAD_DATA_PATH: join(folder, "data"),
      KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    };
    await assert.rejects(startServer(settings, { onFatal: () => undefined }), {
      code: "storage_unavailable",
    });
  });

  test("is named in the refusal to start where it cannot be opened", async () => {
    await assert.rejects(
      startServer({ KEYSTEAD_AUDIT_LOG: temporaryFolder() }),
      /KEYSTEAD_AUDIT_LOG cannot be opened/,
    );
    await assert.rejects(
      startServer({ KEYSTEAD_AUDIT_LOG: "/dev/null/audit.log" }),
      /KEYSTEAD_AUDIT_LOG cannot be opened/,
    );
  });

  test("is refused with a clear line where it is no audit log, which is left as it was", async () => {
    const folder = temporaryFolder();
    const at = (name: string): string => join(folder, name);
    writeFileSync(at("target"), "");
    symlinkSync(at("target"), at("link"));
    symlinkSync(at("nowhere"), at("dangling"));
    execFileSync("mkfifo", [at("pipe")]);
    mkdirSync(at("folder"));
    writeFileSync(at("foreign"), "a line of another program\nand half of one");
    for (const [path, why] of [
      [at("link"), /it is a symbolic link; name the file that it leads to$/],
      [at("dangling"), /it is a symbolic link/],
      [at("pipe"), /it is a pipe or a device, not a file$/],
      ["/dev/null", /it is a pipe or a device, not a file$/],
      [at("folder"), /it is a folder$/],
      [at("foreign"), /it is another program's file; nothing was changed$/],
    ] as const) {
      await assert.rejects(startServer({ KEYSTEAD_AUDIT_LOG: path }), (error: Error) => {
        assert.ok(error instanceof StartRefused, String(error));
        assert.match(error.message, why);
        return true;
      });
    }
    assert.equal(readFileSync(at("foreign"), "utf8"), "a line of another program\nand half of one");
    assert.deepEqual([existsSync(at("nowhere")), readFileSync(at("target"), "utf8")], [false, ""]);
  });
});

describe("the outbox", () => {
  test("is not cleaned at a start before the disk has what was found in the log", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const entry = leftEntry("left-1", "main");
    // What kill -9 leaves: the line is in the file, nobody flushed it.
    writeFileSync(path, canonicalLine(entry, 1));
    const sink = new FakeSink();
    await using store = await storeWith([entry]);
    const syncsAtCommit: number[] = [];
    const watched = watchCommits(store, () => syncsAtCommit.push(sink.syncs));
    const auditor = await open(watched, { path, sink });
    assert.equal((await store.select({ from: "outbox" })).length, 0);
    assert.deepEqual(syncsAtCommit, [1]);
    assert.deepEqual(actions(sink.text), ["audit.recover"], "and the line is not written twice");
    await auditor.close();
  });

  test("loses the entries of an outage when the disk has them", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    const auditor = await open(store, { sink });
    sink.failing = true;
    await assert.rejects(auditor.commitChange(serviceFacts("test.change"), []), {
      code: "audit_unavailable",
    });
    assert.equal((await store.select({ from: "outbox" })).length, 1, "the change was committed");
    sink.failing = false;
    await until(async () => (await store.select({ from: "outbox" })).length === 0);
    assert.deepEqual(actions(sink.text), ["audit.resume", "test.change"]);
    await auditor.close();
  });

  test("takes no change while the log cannot be written", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    let commits = 0;
    const auditor = await open(
      watchCommits(store, () => commits++),
      { sink },
    );
    sink.failing = true;
    await assert.rejects(auditor.record(serviceFacts("test.read")), { code: "audit_unavailable" });
    await assert.rejects(auditor.commitChange(serviceFacts("test.change"), []), {
      code: "audit_unavailable",
    });
    assert.equal(commits, 0);
    await auditor.close();
  });

  test("gives a renamed node what it left under its old name, once", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "audit.log");
    const [written, missing] = [leftEntry("left-1", "old"), leftEntry("left-2", "old")];
    writeFileSync(path, canonicalLine(written, 1));
    await using store = await storeWith([written, missing]);
    await (await open(store, { path, node: "new" })).close();
    assert.equal((await store.select({ from: "outbox" })).length, 0);
    // A crash between the log and the outbox: the row is there again, its line is under the new name.
    await store.commit([outboxRow(missing)]);
    await (await open(store, { path, node: "new" })).close();
    const entries = lines(readFileSync(path, "utf8"));
    assert.deepEqual(
      entries.map(({ action, node, sequence }) => [action, node, sequence]),
      [
        ["test.change", "old", 1],
        ["test.change", "new", 1],
        ["audit.recover", "new", 2],
        ["audit.recover", "new", 3],
      ],
    );
    assert.deepEqual([entries[1]?.id, entries[1]?.details], [missing.id, { count: 1, node: "old" }]);
    assert.deepEqual(entries[3]?.details, { entries_appended: 0, torn_bytes_cut: 0 });
  });

  test("is appended in the order the changes were made, whatever their times and the order of the rows", async () => {
    const sink = new FakeSink();
    const made = ["b-y", "b-z", "b-10", "b-11"].map((id, i) => ({
      ...leftEntry(id, "main"),
      // The clock goes back between any two.
      time: `2026-11-22T00:00:0${9 - i}.000Z`,
    }));
    await using store = await storeWith(made.toReversed());
    const auditor = await open(store, { sink });
    assert.deepEqual(
      lines(sink.text)
        .slice(0, -1)
        .map(({ id }) => id),
      made.map(({ id }) => id),
    );
    await auditor.close();
  });

  test("keeps the rows of other nodes where they share the database", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([leftEntry("left-1", "other")]);
    const auditor = await open({ ...bound(store), exclusive: false }, { sink });
    assert.equal((await store.select({ from: "outbox" })).length, 1);
    assert.equal(sink.text, "");
    await auditor.close();
  });
});

describe("an outbox that somebody else wrote to", () => {
  const entry = leftEntry("left-1", "main");
  const own = sealOutboxRow(barrier, entry, 0);
  const other = sealOutboxRow(barrier, leftEntry("left-2", "main"), 0);
  const otherKey = new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 8)) }]);
  const flipped = Buffer.from(own.entry, "base64");
  flipped[40]! ^= 1;

  for (const [title, rows] of [
    ["a forged row in plain JSON", [{ ...own, entry: JSON.stringify(entry) }]],
    ["a row that another key sealed", [sealOutboxRow(otherKey, entry, 0)]],
    ["a row moved to another id", [{ ...own, id: "left-3" }]],
    [
      "two rows whose entries were swapped",
      [
        { ...own, entry: other.entry },
        { ...other, entry: own.entry },
      ],
    ],
    ["a row under another node's name", [{ ...own, node: "other" }]],
    ["a row with another place in the sequence", [{ ...own, after_sequence: 7 }]],
    ["an edited entry", [{ ...own, entry: flipped.toString("base64") }]],
    ["an entry that is cut short", [{ ...own, entry: own.entry.slice(0, 8) }]],
    ["no base64 at all", [{ ...own, entry: "" }]],
  ] as const) {
    test(`${title} does not reach the log, is counted as CRITICAL and is gone then`, async () => {
      const sink = new FakeSink();
      await using store = await storeWith([]);
      const genuine = sealOutboxRow(barrier, leftEntry("genuine", "main"), 0);
      await store.commit([...rows, genuine].map((row): Write => ({ insert: "outbox", row })));
      const auditor = await open(store, { sink });
      const [appended, recovered, ...more] = lines(sink.text);
      assert.deepEqual(
        [appended?.id, recovered?.action, recovered?.severity, more],
        ["genuine", "audit.recover", "CRITICAL", []],
      );
      assert.deepEqual(recovered?.details, {
        entries_appended: 1,
        rows_forged: rows.length,
        torn_bytes_cut: 0,
      });
      assert.deepEqual(await store.select({ from: "outbox" }), []);
      await auditor.close();
    });
  }

  test("reads nothing in it: entries are sealed there", async () => {
    const sink = new FakeSink();
    await using store = await storeWith([]);
    const auditor = await open(store, { sink });
    sink.failing = true;
    const facts = { ...serviceFacts("test.change"), caller: "service:canary", resource: "key:canary" };
    await assert.rejects(auditor.commitChange(facts, []), { code: "audit_unavailable" });
    const [row] = await store.select({ from: "outbox" });
    assert.ok(row);
    for (const text of [row.entry, Buffer.from(row.entry, "base64").toString("latin1")])
      assert.ok(!text.includes("canary") && !text.includes("test.change"));
    await auditor.close();
    const again = new FakeSink();
    await (await open(store, { sink: again })).close();
    assert.equal(lines(again.text)[0]?.resource, "key:canary", "and the next start opens it");
  });
});

interface DisposableStore extends Store {
  [Symbol.asyncDispose](): Promise<void>;
}

async function storeWith(left: readonly AuditEntry[]): Promise<DisposableStore> {
  const store = await openSqlite(":memory:", () => undefined);
  if (left.length > 0) await store.commit(left.map(outboxRow));
  return { ...bound(store), [Symbol.asyncDispose]: () => store.close() };
}

function bound(store: Store): Store {
  return {
    exclusive: store.exclusive,
    select: (query) => store.select(query),
    commit: (writes) => store.commit(writes),
    writable: () => store.writable(),
    waiting: () => store.waiting(),
    close: () => store.close(),
  };
}

function watchCommits(store: Store, onCommit: () => void): Store {
  return {
    ...bound(store),
    commit: (writes) => {
      onCommit();
      return store.commit(writes);
    },
  };
}

const barrier = new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 7)) }]);
let boots = 0;

function open(store: Store, options: Partial<AuditorOptions>): Promise<Auditor> {
  return openAuditor(
    {
      store,
      barrier,
      node: "main",
      bootId: `boot${++boots}`,
      path: undefined,
      durability: "written",
      onFatal: (error) => assert.fail(error),
      onState: () => undefined,
      ...options,
    },
    nullSink,
  );
}

function leftEntry(id: string, node: string): AuditEntry {
  return {
    ...serviceFacts("test.change"),
    details: { count: 1 },
    id,
    node,
    time: "2026-11-22T00:00:00.000Z",
  };
}

function outboxRow(entry: AuditEntry): Write {
  return { insert: "outbox", row: sealOutboxRow(barrier, entry, 0) };
}

function lines(text: string): (AuditEntry & { readonly sequence: number })[] {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as AuditEntry & { readonly sequence: number });
}

function actions(text: string): string[] {
  return lines(text).map(({ action }) => action);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
