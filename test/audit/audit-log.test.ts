import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AuditLog } from "../../src/audit/audit-log.ts";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { AuditEntry } from "../../src/audit/entry.ts";
import { startDev } from "../harness.ts";
import { FakeSink } from "./fake-sink.ts";

let ids = 0;
const entry = (): AuditEntry => ({
  ...serviceFacts("test.event"),
  id: `t-${++ids}`,
  node: "main",
  time: "2026-11-22T00:00:00.000Z",
});

interface Opened {
  readonly log: AuditLog;
  readonly sink: FakeSink;
  readonly fatal: Error[];
  readonly states: boolean[];
  readonly keptWritten: string[];
}

function open(head = 0): Opened {
  const sink = new FakeSink();
  const fatal: Error[] = [];
  const states: boolean[] = [];
  const keptWritten: string[] = [];
  const log = new AuditLog({
    sink,
    head,
    onFatal: (error) => fatal.push(error),
    onState: (available) => states.push(available),
    resumeEntry: (kept) => ({ ...entry(), action: "audit.resume", details: { kept } }),
    onKeptWritten: (written) => keptWritten.push(...written),
  });
  return { log, sink, fatal, states, keptWritten };
}

describe("the audit log", () => {
  test("writes all entries of a turn at once, numbered without gaps from its head", async () => {
    const { log, sink } = open(41);
    await Promise.all(Array.from({ length: 50 }, () => log.append(entry(), false)));
    assert.equal(sink.writes, 1);
    assert.deepEqual(
      sink.sequences,
      Array.from({ length: 50 }, (_, i) => 42 + i),
    );
    await log.close();
  });

  test("does not resolve before the entry is written", async () => {
    const { log, sink } = open();
    sink.hold();
    let resolved = false;
    const appended = log.append(entry(), false).then(() => (resolved = true));
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(resolved, false);
    sink.release();
    await appended;
    assert.equal(sink.sequences.length, 1);
    await log.close();
  });

  test("flushes to disk what asks for it, and only that", async () => {
    const { log, sink } = open();
    await log.append(entry(), false);
    assert.equal(sink.syncs, 0);
    await Promise.all([log.append(entry(), true), log.append(entry(), true)]);
    assert.equal(sink.syncs, 1);
    await log.close();
  });

  test("refuses what waits and what comes while it cannot be written, then goes on without a gap", async () => {
    const { log, sink, states } = open();
    await log.append(entry(), false);
    sink.failing = true;
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    assert.equal(log.available, false);
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    sink.failing = false;
    await until(() => log.available);
    await log.append(entry(), false);
    assert.deepEqual(sink.sequences, [1, 2, 3], "the second says that it goes on");
    assert.deepEqual(states, [false, true]);
    await log.close();
  });

  test("stays unavailable while the disk takes no real line, however gladly it takes none", async () => {
    const { log, sink, states } = open();
    sink.failing = true;
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    await wait(1200);
    assert.deepEqual(states, [false]);
    sink.failing = false;
    await until(() => log.available);
    assert.deepEqual(states, [false, true]);
    assert.match(sink.text, /^{"action":"audit.resume",.*"details":{"kept":0},/);
    await log.close();
  });

  test("leaves a SIGHUP that comes while it cannot be written to the next try", async () => {
    const { log, sink } = open();
    sink.failing = true;
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    log.reopen();
    await wait(50);
    assert.equal(sink.reopens, 0, "nothing else touches the sink beside the try");
    sink.failing = false;
    await until(() => log.available);
    await log.append(entry(), false);
    assert.equal(sink.reopens, 1);
    await log.close();
  });

  test("does not forget a SIGHUP that comes during the try", async () => {
    const { log, sink } = open();
    sink.failing = true;
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    sink.failing = false;
    sink.hold();
    await wait(700);
    log.reopen();
    await wait(20);
    assert.equal(sink.reopens, 0);
    sink.release();
    await until(() => sink.reopens === 1);
    await log.close();
  });

  test("closes only after a try that is under way", async () => {
    const { log, sink } = open();
    sink.failing = true;
    const committed = entry();
    await assert.rejects(log.append(committed, true, true), { code: "audit_unavailable" });
    sink.failing = false;
    sink.hold();
    await wait(700);
    const closed = log.close();
    await wait(50);
    assert.equal(sink.closed, false);
    sink.release();
    await closed;
    assert.ok(sink.text.includes(committed.id));
    assert.equal(sink.syncs, 1);
  });

  test("keeps the entries of committed changes until the disk takes them, and writes them first", async () => {
    const { log, sink, keptWritten } = open();
    sink.failing = true;
    const committed = [entry(), entry()];
    await assert.rejects(log.append(committed[0]!, true, true), { code: "audit_unavailable" });
    await assert.rejects(log.append(committed[1]!, true, true), { code: "audit_unavailable" });
    sink.failing = false;
    await until(() => log.available);
    await log.append(entry(), false);
    const lines = sink.text
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as AuditEntry).id);
    const kept = committed.map(({ id }) => id);
    assert.deepEqual(lines.slice(1, 3), kept);
    assert.match(sink.text, /^{"action":"audit.resume",.*"details":{"kept":2},/);
    assert.deepEqual(sink.sequences, [1, 2, 3, 4]);
    assert.deepEqual(keptWritten, kept);
    assert.equal(sink.syncs, 1, "and says so when the disk has them");
    await log.close();
  });

  test("never tries a failed flush again: it tells its owner, who ends the process", async () => {
    const { log, sink, fatal } = open();
    sink.flushFailing = true;
    await assert.rejects(log.append(entry(), true), { code: "audit_unavailable" });
    assert.equal(fatal.length, 1);
    sink.flushFailing = false;
    await assert.rejects(log.append(entry(), true), { code: "audit_unavailable" });
    assert.equal(sink.syncs, 1);
  });

  test("refuses what waits when a flush fails at the opening of a new file, and writes nothing more", async () => {
    const { log, sink, fatal } = open();
    sink.flushFailing = true;
    log.reopen();
    await assert.rejects(log.append(entry(), false), { code: "audit_unavailable" });
    assert.equal(fatal.length, 1);
    await wait(20);
    assert.equal(sink.text, "");
  });
});

describe("the service while its audit log cannot be written", () => {
  test("serves nothing, says so in /health, and goes on by itself when it can", async () => {
    const sink = new FakeSink();
    await using service = await startDev({}, { auditSink: sink });
    assert.equal((await service.request("POST", "/v1/keys", { name: "before" })).status, 201);
    sink.failing = true;
    // The first to notice has done its work, and still gets no answer but this.
    for (const [method, path, body] of [
      ["POST", "/v1/encrypt/before", { plaintext: "x" }],
      ["GET", "/v1/keys", undefined],
      ["POST", "/v1/keys", { name: "during" }],
    ] as const) {
      const answer = await service.request(method, path, body);
      assert.equal(answer.status, 503);
      assert.equal(answer.json["code"], "audit_unavailable");
    }
    await until(async () => (await service.request("GET", "/health")).status === 503);
    assert.equal((await service.request("GET", "/ready")).status, 503);
    sink.failing = false;
    await until(async () => (await service.request("GET", "/health")).status === 200);
    assert.equal((await service.request("GET", "/v1/keys/before")).status, 200);
    assert.equal((await service.request("GET", "/v1/keys/during")).json["code"], "key_not_found");
    assert.deepEqual(
      sink.sequences,
      Array.from({ length: sink.sequences.length }, (_, i) => i + 1),
    );
  });

  test("answers a change whose entry could not be written with 503, and writes the entry when it can", async () => {
    const sink = new FakeSink();
    await using service = await startDev({}, { auditSink: sink });
    sink.failing = true;
    assert.equal((await service.request("POST", "/v1/keys", { name: "made" })).status, 503);
    sink.failing = false;
    await until(() => service.keystead.services.auditor.available);
    assert.equal((await service.request("GET", "/v1/keys/made")).status, 200, "the change was committed");
    const created = sink.text
      .split("\n")
      .filter((line) => line.includes('"key.create"') && line.includes('"key:made"'));
    assert.equal(created.length, 1, "and has exactly one entry");
  });

  test("releases no plaintext before the entry of its decryption is written", async () => {
    const sink = new FakeSink();
    await using service = await startDev({}, { auditSink: sink });
    await service.request("POST", "/v1/keys", { name: "k" });
    const { json } = await service.request("POST", "/v1/encrypt/k", { plaintext: "x" });
    sink.hold();
    let answered = false;
    const answer = service
      .request("POST", "/v1/decrypt/k", { ciphertext: json["ciphertext"] })
      .then((value) => {
        answered = true;
        return value;
      });
    await until(() => service.keystead.services.auditor.log.waiting === 0 && sink.writes > 0);
    // Other answers come and go meanwhile; this one waits for its entry.
    for (let i = 0; i < 5; i++) assert.equal((await service.request("GET", "/ready")).status, 200);
    assert.equal(answered, false);
    sink.release();
    assert.equal((await answer).json["plaintext"], "x");
    assert.ok(sink.text.includes('"key.decrypt"'));
  });
});

async function wait(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
