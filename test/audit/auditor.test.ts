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
import { StartRefused } from "../../src/start-refused.ts";
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

  test("is named in the refusal to start where its disk is full", async () => {
    const folder = temporaryFolder();
    await (await durable(folder)).close();
    // Something that has to be recorded before anything is served.
    appendFileSync(join(folder, "audit.log"), '{"action":"key.enc');
    const sink = new FakeSink();
    sink.failing = true;
    const settings = {
      KEYSTEAD_DATA_PATH: join(folder, "data"),
      KEYSTEAD_AUDIT_LOG: join(folder, "audit.log"),
    };
    await assert.rejects(startServer(settings, { auditSink: sink }), (error: Error) => {
      assert.ok(error instanceof StartRefused, String(error));
      assert.match(error.message, /^KEYSTEAD_AUDIT_LOG cannot be written at .*: is its disk full\?$/);
      return true;
    });
    await (await durable(folder)).close();
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
