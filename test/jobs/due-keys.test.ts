/** Keys whose time has come: rotation periods and deletion windows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { latestVersion } from "../../src/keyring/key.ts";
import { cancellingDeletion, schedulingDeletion } from "../../src/keyring/lifecycle.ts";
import { ClockWatch } from "../../src/telemetry/clock-watch.ts";
import { forEachStore, startServer, temporaryFolder, type TestService } from "../harness.ts";
import { twoNodes } from "./nodes.ts";

const DAY_MS = 86_400_000;

interface World {
  readonly service: TestService;
  readonly admin: string;
  pass(days: number): Promise<void>;
  must(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  latest(name: string): Promise<unknown>;
  own(action: string): Record<string, unknown>[];
  [Symbol.asyncDispose](): Promise<void>;
}

async function world(settings: Record<string, string> = {}): Promise<World> {
  let clock = Date.now();
  const service = await startServer(settings, { now: () => clock });
  const admin = await service.token("admin", { project: "*" });
  const must: World["must"] = async (method, path, body) => {
    const answer = await service.request(method, path, body, { token: admin });
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
    return answer.json;
  };
  return {
    service,
    admin,
    must,
    async pass(days) {
      clock += days * DAY_MS;
      await service.keystead.runJobs();
    },
    latest: async (name) => (await must("GET", `/v1/keys/${name}`))["latest_version"],
    own: (action) =>
      service
        .auditEntries()
        .filter((entry) => entry["action"] === action && entry["caller"] === "system:keystead"),
    [Symbol.asyncDispose]: () => service.close(),
  };
}

test("a deletion whose day came by a jump of the clock waits for an hour", async () => {
  let jumpMs = 0;
  let passedMs = 0;
  const clock = new ClockWatch({
    wall: () => jumpMs + passedMs,
    monotonic: () => passedMs,
    onJump: () => undefined,
  });
  const now = (): number => Date.now() + jumpMs + passedMs;
  await using service = await startServer({}, { now, clock });
  const token = await service.token("admin", { project: "*" });
  const ask = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> =>
    (await service.request(method, path, body, { token })).json;
  const { id } = await ask("POST", "/v1/keys", { name: "k" });
  await ask("POST", "/v1/keys/k/schedule-deletion", { days: 7 });
  jumpMs = 8 * DAY_MS;
  await service.keystead.runJobs();
  assert.equal((await ask("GET", "/v1/keys/k"))["state"], "pending_deletion");
  assert.equal(((await ask("GET", "/health"))["checks"] as Record<string, unknown>)["clock"], "jumped");
  passedMs = 3_600_001;
  await service.keystead.runJobs();
  assert.equal((await ask("GET", `/v1/keys/${String(id)}`))["state"], "destroyed");
});

describe("a rotation period", () => {
  test("rotates the key when it is over, not a moment before, and once a period", async () => {
    await using w = await world();
    const made = await w.must("POST", "/v1/keys", { name: "k", rotation_period_days: 10 });
    assert.equal(
      Date.parse(String(made["next_rotation_at"])),
      Date.parse(String(made["created_at"])) + 10 * DAY_MS,
    );
    await w.pass(10 - 1 / DAY_MS);
    assert.equal(await w.latest("k"), 1);
    await w.pass(1 / DAY_MS);
    assert.equal(await w.latest("k"), 2);
    await w.pass(0);
    assert.equal(await w.latest("k"), 2);
    await w.pass(10);
    assert.equal(await w.latest("k"), 3);
  });

  test("is told in the audit log as the service's own doing, with its reason", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k", rotation_period_days: 1 });
    await w.pass(1);
    const [entry, ...more] = w.own("key.rotate");
    assert.deepEqual(more, []);
    const { project, resource, version, details, outcome, decision } = entry ?? {};
    assert.deepEqual(
      { project, resource, version, details, outcome, decision },
      {
        project: "default",
        resource: "key:k",
        version: 2,
        details: { reason: "period" },
        outcome: "ok",
        decision: "allow",
      },
    );
  });

  test("that passed many times while the service was stopped rotates once", async () => {
    const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
    let clock = Date.now();
    let token = "";
    {
      await using service = await startServer(settings, { now: () => clock });
      token = await service.token("admin");
      const made = await service.request(
        "POST",
        "/v1/keys",
        { name: "k", rotation_period_days: 7 },
        { token },
      );
      assert.equal(made.status, 201, made.text);
    }
    clock += 100 * DAY_MS;
    for (let start = 0; start < 2; start++) {
      await using service = await startServer(settings, { now: () => clock });
      await service.keystead.runJobs();
      const { json } = await service.request("GET", "/v1/keys/k", undefined, { token });
      assert.equal(json["latest_version"], 2);
      assert.equal(Date.parse(String(json["next_rotation_at"])), clock + 7 * DAY_MS);
    }
  });

  test("begins anew with a rotation by hand", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k", rotation_period_days: 10 });
    await w.pass(6);
    await w.must("POST", "/v1/keys/k/rotate", {});
    await w.pass(6);
    assert.equal(await w.latest("k"), 2);
    await w.pass(4);
    assert.equal(await w.latest("k"), 3);
  });

  test("rotates neither a disabled, nor a revoked, nor a key that is to be deleted; a key that is enabled again at once", async () => {
    await using w = await world();
    for (const [name, path] of [
      ["disabled", "disable"],
      ["revoked", "revoke"],
      ["pending", "schedule-deletion"],
    ] as const) {
      await w.must("POST", "/v1/keys", { name, rotation_period_days: 1 });
      await w.must("POST", `/v1/keys/${name}/${path}`, {});
      assert.equal((await w.must("GET", `/v1/keys/${name}`))["next_rotation_at"], undefined);
    }
    await w.pass(5);
    for (const name of ["disabled", "revoked", "pending"]) assert.equal(await w.latest(name), 1);
    await w.must("POST", "/v1/keys/disabled/enable", {});
    await w.must("POST", "/v1/keys/pending/cancel-deletion", {});
    await w.pass(0);
    assert.deepEqual(
      [await w.latest("disabled"), await w.latest("pending"), await w.latest("revoked")],
      [2, 2, 1],
    );
  });

  test("is given to no exportable key and to none of which only the public part is here", async () => {
    await using w = await world();
    const refused = async (method: string, path: string, body: object): Promise<unknown> =>
      (await w.service.request(method, path, body, { token: w.admin })).json["code"];
    const days = { rotation_period_days: 1 };
    assert.equal(await refused("POST", "/v1/keys", { name: "x", exportable: true, ...days }), "invalid_body");
    await w.must("POST", "/v1/keys", { name: "x", exportable: true });
    assert.equal(await refused("PATCH", "/v1/keys/x", days), "invalid_body");
    await w.must("POST", "/v1/keys", { name: "pair", type: "ed25519" });
    const { public_key_pem: pem } = await w.must("GET", "/v1/keys/pair/public-key");
    const spki = {
      type: "ed25519",
      format: "spki",
      material_b64: String(pem).split("\n").slice(1, -2).join(""),
    };
    assert.equal(await refused("POST", "/v1/keys/half/import", { ...spki, ...days }), "key_public_only");
    await w.must("POST", "/v1/keys/half/import", spki);
    assert.equal(await refused("PATCH", "/v1/keys/half", days), "key_public_only");
    await w.pass(400);
    assert.deepEqual([await w.latest("x"), await w.latest("half")], [1, 1]);
    // A service that may export gets no exportable key where it asks for a period.
    const token = await w.service.token("exporter", { kind: "service" });
    const made = await w.service.request("POST", "/v1/keys", { name: "own", ...days }, { token });
    assert.equal(made.json["exportable"], false, made.text);
  });

  test("is taken away by null", async () => {
    await using w = await world();
    await w.must("POST", "/v1/keys", { name: "k", rotation_period_days: 1 });
    const shown = await w.must("PATCH", "/v1/keys/k", { rotation_period_days: null });
    assert.deepEqual([shown["rotation_period_days"], shown["next_rotation_at"]], [undefined, undefined]);
    await w.pass(5);
    assert.equal(await w.latest("k"), 1);
  });

  test("rotates more keys than one look-up gives", async () => {
    await using w = await world();
    const names = Array.from({ length: 205 }, (_, i) => `k-${i}`);
    await Promise.all(names.map((name) => w.must("POST", "/v1/keys", { name, rotation_period_days: 1 })));
    await w.pass(1);
    assert.equal(w.own("key.rotate").length, 205);
  });
});

forEachStore(({ store }) => {
  describe("two rounds of jobs at the same time", () => {
    for (const exclusive of ["on one node", "on two nodes that remember different things"] as const) {
      test(`rotate a due key once: ${exclusive}`, async () => {
        let clock = Date.now();
        const now = (): number => clock;
        await using running = await twoNodes([now, now], store);
        const [first, second] = running.nodes;
        const project = await first.services.projects.create("default", first.commit);
        const ids: string[] = [];
        for (let i = 0; i < 10; i++) {
          const spec = { name: `k-${i}`, type: "aes-256", exportable: false, rotationPeriodDays: 1 } as const;
          ids.push((await first.services.keyring.create(project.id, spec, first.commit)).id);
        }
        for (const id of ids) await second.services.keyring.get(project.id, id);
        clock += 3 * DAY_MS;
        const other = exclusive === "on one node" ? first : second;
        await Promise.all(
          ids.flatMap((id) => [
            first.services.keyring.rotateDue(project.id, id, first.commit),
            other.services.keyring.rotateDue(project.id, id, other.commit),
          ]),
        );
        const versions = await running.store.select({ from: "key_versions" });
        assert.deepEqual(versions.map(({ version }) => version).sort(), [
          ...ids.map(() => 1),
          ...ids.map(() => 2),
        ]);
        // What the other node remembers it may use for a second.
        const known = async (id: string): Promise<number> =>
          latestVersion(await other.services.keyring.get(project.id, id));
        for (const id of ids) {
          for (const end = performance.now() + 1000; (await known(id)) < 2 && performance.now() < end;)
            await new Promise((resolve) => setTimeout(resolve, 20));
          assert.equal(await known(id), 2);
        }
      });
    }

    test("destroy a due key once, and cancelling at that moment wins or loses as a whole", async () => {
      let clock = Date.now();
      const now = (): number => clock;
      await using running = await twoNodes([now, now], store);
      const [first, second] = running.nodes;
      const project = await first.services.projects.create("default", first.commit);
      const ids: string[] = [];
      for (let i = 0; i < 6; i++) {
        const spec = { name: `k-${i}`, type: "aes-256", exportable: false } as const;
        const { id } = await first.services.keyring.create(project.id, spec, first.commit);
        await first.services.keyring.change(project.id, id, schedulingDeletion(7), first.commit);
        ids.push(id);
      }
      clock += 7 * DAY_MS;
      const written = (): number => first.auditor.log.head + second.auditor.log.head;
      const before = written();
      const cancel = async (id: string, turns: number): Promise<boolean> => {
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        const { keyring } = second.services;
        return keyring.change(project.id, id, cancellingDeletion(undefined), second.commit).then(
          () => true,
          () => false,
        );
      };
      // The last ones are left to the jobs.
      const cancelling = Promise.all(ids.slice(0, 4).map((id, i) => cancel(id, i * 10)));
      await Promise.all([first.jobs.runDue(), second.jobs.runDue()]);
      const kept = await cancelling;
      const versions = await running.store.select({ from: "key_versions" });
      const rows = await running.store.select({ from: "keys" });
      for (const [i, id] of ids.entries()) {
        const isKept = kept[i] === true;
        assert.equal(versions.filter(({ key_id: key }) => key === id).length, isKept ? 1 : 0);
        const row = rows.find((one) => one.id === id);
        assert.deepEqual([row?.name, row?.revision, row?.due_at], [isKept ? `k-${i}` : `~${id}`, 3, null]);
      }
      // One entry a key: of what became of it.
      assert.equal(written() - before, ids.length);
    });
  });
});

describe("what a job does is said by the sealed record", () => {
  async function edited(
    sql: string,
    days: number,
  ): Promise<{ shown: Record<string, unknown>[]; logLines: string[] }> {
    const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
    let clock = Date.now();
    const before = await startServer(settings, { now: () => clock });
    const token = await before.token("admin");
    const post = (path: string, body: object): Promise<unknown> =>
      before.request("POST", `/v1/keys${path}`, body, { token });
    await post("", { name: "a-rotating", rotation_period_days: 30 });
    await post("", { name: "b-deleted" });
    await post("/b-deleted/schedule-deletion", { days: 30 });
    await post("", { name: "c-plain" });
    await before.close();
    const database = new DatabaseSync(join(settings.KEYSTEAD_DATA_PATH, "keystead.db"));
    database.exec(sql);
    database.close();
    clock += days * DAY_MS;
    await using service = await startServer(settings, { now: () => clock });
    await service.keystead.runJobs();
    const shown: Record<string, unknown>[] = [];
    for (const name of ["a-rotating", "b-deleted", "c-plain"])
      shown.push((await service.request("GET", `/v1/keys/${name}`, undefined, { token })).json);
    return { shown, logLines: service.logLines };
  }

  test("a date that was edited in the row neither rotates nor destroys early", async () => {
    const { shown } = await edited("update keys set due_at = '2020-01-01T00:00:00.000Z'", 1);
    assert.deepEqual(
      shown.map(({ state, latest_version }) => [state, latest_version]),
      [
        ["enabled", 1],
        ["pending_deletion", 1],
        ["enabled", 1],
      ],
    );
  });

  test("a record that does not open keeps no other key from its rotation", async () => {
    const { shown, logLines } = await edited(
      `update keys set due_at = '2020-01-01T00:00:00.000Z', sealed = x'010000000100' where name = 'c-plain'`,
      31,
    );
    assert.deepEqual(
      shown.map((answer) => [answer["state"] ?? answer["code"], answer["latest_version"]]),
      [
        ["enabled", 2],
        ["key_not_found", undefined],
        ["internal_error", undefined],
      ],
    );
    assert.ok(
      logLines.some((line) => line.includes("due key")),
      logLines.join("\n"),
    );
  });
});
