/** A key's life: what its keepers may change, how it is deleted, and what is left of it. */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { startServer, temporaryFolder, type Answer, type TestService } from "../harness.ts";

const DAY_MS = 86_400_000;

interface World {
  readonly service: TestService;
  readonly admin: string;
  readonly now: () => number;
  readonly wait: (days: number) => void;
  pass(days: number): Promise<void>;
  request(method: string, path: string, body?: unknown, token?: string): Promise<Answer>;
  must(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>>;
  code(method: string, path: string, body?: unknown, token?: string): Promise<unknown>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function world(
  settings: Record<string, string> = {},
  startMs = Date.now(),
  token = "",
): Promise<World> {
  let clock = startMs;
  const service = await startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1", ...settings }, { now: () => clock });
  const admin = token === "" ? await service.token("admin", { project: "*" }) : token;
  const request: World["request"] = (method, path, body, as = admin) =>
    service.request(method, path, body, { token: as });
  return {
    service,
    admin,
    now: () => clock,
    wait(days) {
      clock += days * DAY_MS;
    },
    async pass(days) {
      clock += days * DAY_MS;
      await service.keystead.runJobs();
    },
    request,
    async must(method, path, body, as) {
      const answer = await request(method, path, body, as);
      assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
      return answer.json;
    },
    async code(method, path, body, as) {
      const answer = await request(method, path, body, as);
      return answer.status < 300 ? "ok" : answer.json["code"];
    },
    [Symbol.asyncDispose]: () => service.close(),
  };
}

function namesOf(list: Record<string, unknown>): string[] {
  return (list["keys"] as { name: string }[]).map(({ name }) => name);
}

describe("labels, descriptions and filters", () => {
  test("are set at creation, replaced as a whole, and taken away", async () => {
    await using w = await world();
    const made = await w.must("POST", "/v1/keys", {
      name: "k",
      description: "Invoices",
      labels: { team: "payments", env: "prod" },
    });
    assert.deepEqual([made["description"], made["labels"]], ["Invoices", { team: "payments", env: "prod" }]);
    await w.must("PATCH", "/v1/keys/k", { labels: { team: "ledger" } });
    await w.must("PATCH", "/v1/keys/k", { description: null });
    const shown = await w.must("GET", "/v1/keys/k");
    assert.deepEqual([shown["description"], shown["labels"]], [undefined, { team: "ledger" }]);
    assert.deepEqual((await w.must("PATCH", "/v1/keys/k", { labels: {} }))["labels"], {});
  });

  test("that do not fit are refused, also those whose names mean something to the language", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k" });
    for (const body of [
      { labels: { Team: "x" } },
      { labels: { team: "a b" } },
      { labels: { team: "a,b" } },
      { labels: { team: 1 } },
      { labels: { "": "x" } },
      { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, "x"])) },
      { labels: ["x"] },
      { labels: null },
      { description: "x".repeat(1025) },
      { state: "enabled" },
      { purpose: "sign" },
    ])
      assert.notEqual(await w.code("PATCH", "/v1/keys/k", body), "ok", JSON.stringify(body));
    const proto = await w.service.request("PATCH", "/v1/keys/k", undefined, {
      token: w.admin,
      raw: '{"labels":{"__proto__":"x"}}',
    });
    assert.equal(proto.status, 400, proto.text);
    const shown = await w.must("PATCH", "/v1/keys/k", { labels: { constructor: "x" } });
    assert.deepEqual(shown["labels"], { constructor: "x" });
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?labels=constructor")), ["k"]);
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?labels=hasownproperty,tostring")), []);
  });

  test("find exactly the keys that have all that is asked for, page after page", async () => {
    await using w = await world();
    const wanted: string[] = [];
    for (let i = 0; i < 30; i++) {
      const name = `${i % 2 === 0 ? "even" : "odd"}-${String(i).padStart(2, "0")}`;
      const third = i % 3 === 0;
      await w.must("POST", "/v1/keys", {
        name,
        type: third ? "ed25519" : "xaes-256",
        labels: { team: i % 5 === 0 ? "five" : "other", ...(third ? { third: "" } : {}) },
      });
      if (i % 2 === 0 && third) wanted.push(name);
    }
    for (const filter of ["type=ed25519", "purpose=sign", "labels=third"]) {
      for (const limit of [1, 2, 5, 100]) {
        const found: string[] = [];
        let cursor: string | undefined;
        for (let pages = 0; ; pages++) {
          assert.ok(pages < 40);
          const page = await w.must(
            "GET",
            `/v1/keys?prefix=even&${filter}&limit=${limit}${cursor === undefined ? "" : `&cursor=${cursor}`}`,
          );
          assert.ok(namesOf(page).length <= limit);
          found.push(...namesOf(page));
          cursor = page["next_cursor"] as string | undefined;
          if (cursor === undefined) break;
        }
        assert.deepEqual(found, wanted, `${filter}, ${limit} a page`);
      }
    }
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?labels=team:five,third")), ["even-00", "odd-15"]);
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?labels=team:fiv")), []);
    await w.must("POST", "/v1/keys/even-00/disable", {});
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?state=disabled")), ["even-00"]);
    for (const query of ["state=gone", "type=des", "labels=", "labels=a:b:c", "labels=A", "colour=red"])
      assert.notEqual(await w.code("GET", `/v1/keys?${query}`), "ok", query);
  });
});

describe("exportable", () => {
  test("can be cleared and never set", async () => {
    await using w = await world();
    const exporter = await w.service.token("exporter", { kind: "service" });
    await w.must("POST", "/v1/keys", { name: "x", exportable: true });
    await w.must("POST", "/v1/keys", { name: "plain" });
    assert.equal(await w.code("PATCH", "/v1/keys/plain", { exportable: true }), "invalid_body");
    assert.equal(await w.code("PATCH", "/v1/keys/x", { exportable: true }), "ok");
    assert.equal(await w.code("POST", "/v1/keys/x/export", {}, exporter), "ok");
    assert.equal(await w.code("PATCH", "/v1/keys/x", { exportable: false }), "ok");
    assert.equal(await w.code("POST", "/v1/keys/x/export", {}, exporter), "key_not_exportable");
    assert.equal(await w.code("PATCH", "/v1/keys/x", { exportable: true }), "invalid_body");
    assert.equal((await w.must("GET", "/v1/keys/x"))["exportable"], false);
  });

  test("that was cleared lets a cipher encrypt with versions made since only: nobody else has those", async () => {
    await using w = await world();
    const exporter = await w.service.token("exporter", { kind: "service" });
    for (const type of ["aes-256", "xaes-256", "chacha20-poly1305"]) {
      await w.must("POST", "/v1/keys", { name: type, type, exportable: true });
      await w.must("POST", `/v1/keys/${type}/export`, {}, exporter);
      await w.must("POST", `/v1/keys/${type}/rotate`, {});
      await w.must("PATCH", `/v1/keys/${type}`, { exportable: false });
      const encrypt = (body: object): Promise<unknown> =>
        w.code("POST", `/v1/encrypt/${type}`, { plaintext: "x", ...body });
      assert.equal(await encrypt({}), "ok");
      // Not even when the oldest usable version is lowered.
      await w.must("PATCH", `/v1/keys/${type}`, { exportable: false, min_encryption_version: 1 });
      assert.deepEqual(
        [
          await encrypt({ version: 1 }),
          await encrypt({ version: 2 }),
          await encrypt({ version: 3 }),
          await encrypt({}),
        ],
        ["key_version_too_old", "key_version_too_old", "ok", "ok"],
      );
    }
  });

  test("of a cipher key, it never encrypts on the server, in whatever way it is asked", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "x", exportable: true });
    await w.must("POST", "/v1/keys", { name: "from" });
    const { ciphertext } = await w.must("POST", "/v1/encrypt/from", { plaintext: "x" });
    assert.equal(await w.code("POST", "/v1/encrypt/x", { plaintext: "x" }), "key_exportable");
    assert.equal(await w.code("POST", "/v1/keys/x/data-key", {}), "key_exportable");
    assert.equal(
      await w.code("POST", "/v1/keys/from/reencrypt", { ciphertext, to_key: "x" }),
      "key_exportable",
    );
    const { results } = await w.must("POST", "/v1/keys/x/encrypt/batch", { items: [{ plaintext: "x" }] });
    assert.equal((results as { error: { code: string } }[])[0]?.error.code, "key_exportable");
    const items = [{ ciphertext }];
    assert.equal(
      await w.code("POST", "/v1/keys/from/reencrypt/batch", { items, to_key: "x" }),
      "key_exportable",
    );
  });
});

describe("a deletion", () => {
  test("takes from 7 to 30 days, 30 where none are given", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k" });
    for (const days of [0, 6, 31, 7.5, -7, "7", null])
      assert.equal(await w.code("POST", "/v1/keys/k/schedule-deletion", { days }), "invalid_body");
    for (const [body, days] of [
      [{}, 30],
      [{ days: 7 }, 7],
      [{ days: 30 }, 30],
    ] as const) {
      const shown = await w.must("POST", "/v1/keys/k/schedule-deletion", body);
      assert.equal(Date.parse(String(shown["deletion_at"])), w.now() + days * DAY_MS);
      await w.must("POST", "/v1/keys/k/cancel-deletion", {});
    }
  });

  test("that is cancelled leaves the key in the state that it had: a revoked key stays revoked", async () => {
    await using w = await world();
    for (const [state, path] of [
      ["enabled", "enable"],
      ["disabled", "disable"],
      ["revoked", "revoke"],
    ] as const) {
      await w.must("POST", "/v1/keys", { name: state });
      await w.must("POST", `/v1/keys/${state}/${path}`, {});
      await w.must("POST", `/v1/keys/${state}/schedule-deletion`, {});
      assert.equal((await w.must("GET", `/v1/keys/${state}`))["state"], "pending_deletion");
      const shown = await w.must("POST", `/v1/keys/${state}/cancel-deletion`, {});
      assert.deepEqual([shown["state"], shown["deletion_at"]], [state, undefined]);
    }
    assert.equal(await w.code("POST", "/v1/encrypt/revoked", { plaintext: "x" }), "key_revoked");
    await w.pass(100);
    assert.equal(await w.code("POST", "/v1/encrypt/enabled", { plaintext: "x" }), "ok");
  });

  test("keeps the name until it is done", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k" });
    await w.must("POST", "/v1/keys/k/schedule-deletion", { days: 7 });
    assert.equal(await w.code("POST", "/v1/keys", { name: "k" }), "key_exists");
    await w.pass(6.999);
    assert.equal((await w.must("GET", "/v1/keys/k"))["state"], "pending_deletion");
  });

  test("whose window has passed leaves a record without material, and the name to another key, also after a restart", async () => {
    const folder = temporaryFolder();
    const settings = { KEYSTEAD_DATA_PATH: folder };
    let startMs = 0;
    let token = "";
    let id = "";
    let ciphertext: unknown;
    let sealed: Buffer[] = [];
    {
      await using w = await world(settings);
      token = w.admin;
      id = String((await w.must("POST", "/v1/keys", { name: "k", labels: { team: "a" } }))["id"]);
      ({ ciphertext } = await w.must("POST", "/v1/encrypt/k", { plaintext: "x" }));
      await w.must("POST", "/v1/keys/k/rotate", {});
      await w.must("POST", "/v1/keys", { name: "stays" });
      await w.must("POST", "/v1/keys/k/schedule-deletion", { days: 7 });
      const rows = read(folder, "select sealed, usage_sealed from key_versions where key_id = ?", id);
      sealed = rows.map((row) => Buffer.from(row["sealed"] as Uint8Array));
      assert.equal(sealed.length, 2);
      assert.ok(filesHold(folder, sealed[0]!).length > 0, "it is found while it is there");
      await w.pass(7);
      startMs = w.now();
      assert.deepEqual(read(folder, "select * from key_versions where key_id = ?", id), []);
      for (const bytes of sealed) assert.deepEqual(filesHold(folder, bytes), []);
      const [entry, ...more] = w.service.auditEntries().filter(({ action }) => action === "key.destroy");
      assert.deepEqual(more, []);
      assert.deepEqual(
        [entry?.["caller"], entry?.["resource"], entry?.["details"]],
        ["system:keystead", "key:k", { reason: "deletion" }],
      );
    }
    for (const bytes of sealed) assert.deepEqual(filesHold(folder, bytes), []);
    await using w = await world(settings, startMs, token);
    assert.equal(await w.code("GET", "/v1/keys/k"), "key_not_found");
    const old = await w.must("GET", `/v1/keys/${id}`);
    assert.deepEqual([old["name"], old["state"], old["labels"]], ["k", "destroyed", { team: "a" }]);
    assert.equal(Date.parse(String(old["destroyed_at"])), startMs);
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys")), ["stays"]);
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?state=destroyed")), ["k"]);
    const next = await w.must("POST", "/v1/keys", { name: "k" });
    assert.notEqual(next["id"], id);
    assert.equal(next["latest_version"], 1);
    assert.equal(await w.code("POST", "/v1/decrypt/k", { ciphertext }), "decryption_failed");
    for (const path of ["cancel-deletion", "enable", "rotate", "schedule-deletion"])
      assert.equal(await w.code("POST", `/v1/keys/${id}/${path}`, {}), "key_destroyed");
    assert.equal(await w.code("POST", `/v1/decrypt/${id}`, { ciphertext }), "key_destroyed");
    // The second key of the name goes the same way, beside the first.
    await w.must("POST", "/v1/keys/k/schedule-deletion", { days: 7 });
    await w.pass(7);
    assert.deepEqual(namesOf(await w.must("GET", "/v1/keys?state=destroyed")), ["k", "k"]);
  });

  test("leaves nothing in the write-ahead log that a crash right after it left behind", async () => {
    const folder = temporaryFolder();
    const crashed = temporaryFolder();
    const file = join(folder, "keystead.db");
    const store = await openSqlite(file, () => undefined);
    const material = Buffer.from("sealed-material-".repeat(8));
    await store.commit([
      { insert: "accounts", row: { id: "a", name: "a", revision: 1, created_at: "", sealed: material } },
    ]);
    await store.commit([{ delete: "accounts", where: { id: "a" }, expect: "one" }]);
    for (const name of readdirSync(folder))
      if (!name.endsWith("-shm")) cpSync(join(folder, name), join(crashed, name));
    await store.close();
    assert.ok(filesHold(crashed, material).length > 0, "the copy is as a crash leaves it");
    const again = await openSqlite(join(crashed, "keystead.db"), () => undefined);
    assert.ok(existsSync(join(crashed, "keystead.db")));
    assert.deepEqual(filesHold(crashed, material), []);
    await again.close();
  });
});

describe("at the same time", () => {
  test("a cancellation and a destruction have one winner, and the key is whole or gone", async () => {
    await using w = await world({ KEYSTEAD_DATA_PATH: temporaryFolder() });
    const project = await w.service.keystead.services.projects.byName("default");
    const outcomes = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const name = `k-${i}`;
      const { id } = await w.must("POST", "/v1/keys", { name, type: "xaes-256" });
      const { ciphertext } = await w.must("POST", `/v1/encrypt/${name}`, { plaintext: "x" });
      await w.must("POST", `/v1/keys/${name}/schedule-deletion`, { days: 7 });
      w.wait(7);
      const { auditor, keyring } = w.service.keystead.services;
      const commit: CommitChange = (writes, facts) =>
        auditor.commitChange({ ...serviceFacts("key.destroy"), ...facts, version: 0 }, writes);
      const destroy = (): Promise<string> =>
        keyring.destroy(project?.id ?? "", String(id), commit).then(
          () => "ok",
          () => "refused",
        );
      const cancel = (): Promise<unknown> => w.code("POST", `/v1/keys/${String(id)}/cancel-deletion`, {});
      let cancelled: unknown;
      let destroyed: string;
      if (i % 2 === 0) {
        const first = cancel();
        [destroyed, cancelled] = await Promise.all([destroy(), first]);
      } else {
        // The destruction comes a moment later, so that either may be first.
        const first = cancel();
        for (let turn = 0; turn < i * 4; turn++) await new Promise((resolve) => setImmediate(resolve));
        [cancelled, destroyed] = await Promise.all([first, destroy()]);
      }
      const { state } = await w.must("GET", `/v1/keys/${String(id)}`);
      const opened = await w.code("POST", `/v1/decrypt/${String(id)}`, { ciphertext });
      outcomes.add(`${String(cancelled)} ${destroyed} ${String(state)} ${String(opened)}`);
    }
    for (const outcome of outcomes)
      assert.ok(
        ["ok refused enabled ok", "key_destroyed ok destroyed key_destroyed"].includes(outcome),
        outcome,
      );
  });

  test("rotations and updates all take place, and no version number is used twice", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k" });
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0
          ? w.code("POST", "/v1/keys/k/rotate", {})
          : w.code("PATCH", "/v1/keys/k", { labels: { [`l${i}`]: "x" }, description: `d${i}` }),
      ),
    );
    assert.deepEqual(new Set(codes), new Set(["ok"]));
    const { versions, labels, description } = (await w.must("GET", "/v1/keys/k")) as {
      versions: { version: number }[];
      labels: Record<string, string>;
      description: string;
    };
    assert.deepEqual(
      versions.map(({ version }) => version),
      Array.from({ length: 11 }, (_, i) => i + 1),
    );
    // The last update is there as a whole.
    assert.deepEqual(Object.keys(labels), [description.replace("d", "l")]);
  });

  test("two creations of one name make one key", async () => {
    await using w = await world();
    const codes = await Promise.all(
      Array.from({ length: 8 }, () => w.code("POST", "/v1/keys", { name: "k" })),
    );
    assert.deepEqual(codes.sort(), [...Array.from({ length: 7 }, () => "key_exists"), "ok"]);
  });
});

function read(folder: string, sql: string, value: string): Record<string, unknown>[] {
  const database = new DatabaseSync(join(folder, "keystead.db"), { readOnly: true });
  try {
    return database.prepare(sql).all(value);
  } finally {
    database.close();
  }
}

/** The files of a data path that hold these bytes. */
function filesHold(folder: string, bytes: Buffer): string[] {
  return readdirSync(folder).filter(
    (name) => name !== "admin.sock" && readFileSync(join(folder, name)).includes(bytes),
  );
}
