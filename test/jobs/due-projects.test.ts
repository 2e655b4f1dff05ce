/** Projects whose deletion window has passed, and what a project that is to be deleted still does. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import { dueProjects } from "../../src/jobs/due-projects.ts";
import { startServer, temporaryFolder, type Answer, type TestService } from "../harness.ts";

const DAY_MS = 86_400_000;

interface World {
  readonly service: TestService;
  readonly admin: string;
  readonly now: () => number;
  /** Lets time pass, without a round of jobs. */
  readonly wait: (days: number) => void;
  /** The same, with a round. */
  pass(days: number): Promise<void>;
  request(method: string, path: string, body?: unknown, project?: string, token?: string): Promise<Answer>;
  must(method: string, path: string, body?: unknown, project?: string): Promise<Record<string, unknown>>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function world(
  settings: Record<string, string> = {},
  startMs = Date.now(),
  token = "",
): Promise<World> {
  let clock = startMs;
  const service = await startServer(settings, { now: () => clock });
  const admin = token === "" ? await service.token("admin", { project: "*" }) : token;
  const request: World["request"] = (method, path, body, project, as = admin) =>
    service.request(method, path, body, { token: as, ...(project === undefined ? {} : { project }) });
  return {
    service,
    admin,
    now: () => clock,
    request,
    async must(method, path, body, project) {
      const answer = await request(method, path, body, project);
      assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
      return answer.json;
    },
    wait(days) {
      clock += days * DAY_MS;
    },
    async pass(days) {
      clock += days * DAY_MS;
      await service.keystead.runJobs();
    },
    [Symbol.asyncDispose]: () => service.close(),
  };
}

/** A project with two keys and a secret. */
async function fill(w: World, name: string): Promise<{ keyIds: string[]; ciphertext: unknown }> {
  await w.must("POST", "/v1/projects", { name });
  const keyIds: string[] = [];
  for (const key of ["k1", "k2"])
    keyIds.push(String((await w.must("POST", "/v1/keys", { name: key }, name))["id"]));
  await w.must("POST", "/v1/secrets", { name: "s", value: "kept" }, name);
  const { ciphertext } = await w.must("POST", "/v1/encrypt/k1", { plaintext: "x" }, name);
  return { keyIds, ciphertext };
}

const uses: readonly (readonly [string, string, object?])[] = [
  ["GET", "/v1/keys"],
  ["GET", "/v1/keys/k1"],
  ["GET", "/v1/keys/none"],
  ["POST", "/v1/keys", { name: "new" }],
  ["POST", "/v1/keys/k1/rotate", {}],
  ["POST", "/v1/keys/k1/revoke", {}],
  ["POST", "/v1/keys/k1/cancel-deletion", {}],
  ["POST", "/v1/encrypt/k1", { plaintext: "x" }],
  ["POST", "/v1/keys/k1/encrypt/batch", { items: [{ plaintext: "x" }] }],
  ["POST", "/v1/keys/k1/data-key", {}],
  ["GET", "/v1/secrets"],
  ["GET", "/v1/secrets/s"],
  ["POST", "/v1/secrets", { name: "s", value: "y" }],
  ["DELETE", "/v1/secrets/s"],
];

describe("a project that is to be deleted", () => {
  test("refuses everything in it at once, to its members by that name, to others as if it were not there", async () => {
    await using w = await world();
    const { ciphertext } = await fill(w, "gone");
    const member = await w.service.token("operator", { project: "gone" });
    const outsider = await w.service.token("admin");
    const shown = await w.must("POST", "/v1/projects/gone/schedule-deletion", { days: 7 });
    assert.equal(Date.parse(String(shown["deletion_at"])), w.now() + 7 * DAY_MS);
    for (const [method, path, body] of [...uses, ["POST", "/v1/decrypt/k1", { ciphertext }] as const]) {
      for (const token of [w.admin, member]) {
        const answer = await w.request(method, path, body, "gone", token);
        assert.equal(answer.json["code"], "project_pending_deletion", `${method} ${path}: ${answer.text}`);
      }
      const foreign = await w.request(method, path, body, "gone", outsider);
      const absent = await w.request(method, path, body, "nowhere", outsider);
      assert.deepEqual([foreign.status, foreign.json["code"]], [404, "project_not_found"]);
      assert.deepEqual([foreign.status, foreign.json["code"]], [absent.status, absent.json["code"]]);
    }
  });

  test("takes from 7 to 30 days, 30 where none are given, and is not asked for twice", async () => {
    await using w = await world();
    await w.must("POST", "/v1/projects", { name: "p" });
    for (const days of [0, 6, 31, 7.5, "7", -7])
      assert.equal(
        (await w.request("POST", "/v1/projects/p/schedule-deletion", { days })).json["code"],
        "invalid_body",
      );
    const shown = await w.must("POST", "/v1/projects/p/schedule-deletion", {});
    assert.equal(Date.parse(String(shown["deletion_at"])), w.now() + 30 * DAY_MS);
    const again = await w.request("POST", "/v1/projects/p/schedule-deletion", { days: 7 });
    assert.equal(again.json["code"], "project_pending_deletion");
    assert.equal((await w.request("POST", "/v1/projects", { name: "p" })).json["code"], "project_exists");
  });

  test("is whole again when that is cancelled", async () => {
    await using w = await world();
    const { ciphertext } = await fill(w, "kept");
    await w.must("POST", "/v1/projects/kept/schedule-deletion", { days: 7 });
    await w.pass(6.9);
    const shown = await w.must("POST", "/v1/projects/kept/cancel-deletion", {});
    assert.equal(shown["deletion_at"], undefined);
    const opened = await w.must("POST", "/v1/decrypt/k1", { ciphertext }, "kept");
    assert.equal(opened["plaintext"], "x");
    await w.pass(100);
    assert.equal((await w.must("GET", "/v1/secrets/s", undefined, "kept"))["value"], "kept");
    const again = await w.request("POST", "/v1/projects/kept/cancel-deletion", {});
    assert.equal(again.json["code"], "project_not_pending_deletion");
  });

  test("is not the default project", async () => {
    await using w = await world();
    const answer = await w.request("POST", "/v1/projects/default/schedule-deletion", {});
    assert.equal(answer.json["code"], "invalid_body");
    assert.equal((await w.request("POST", "/v1/keys", { name: "k" })).status, 201);
  });

  test("is deleted and kept by administrators of all projects only", async () => {
    await using w = await world();
    await w.must("POST", "/v1/projects", { name: "p" });
    const own = await w.service.token("admin", { project: "p" });
    const schedule = await w.request("POST", "/v1/projects/p/schedule-deletion", {}, undefined, own);
    assert.equal(schedule.json["code"], "forbidden");
    await w.must("POST", "/v1/projects/p/schedule-deletion", {});
    const cancel = await w.request("POST", "/v1/projects/p/cancel-deletion", {}, undefined, own);
    assert.equal(cancel.json["code"], "forbidden");
  });

  test("cannot be kept any more once the window has passed: parts of it may be gone", async () => {
    await using w = await world();
    await fill(w, "late");
    await w.must("POST", "/v1/projects/late/schedule-deletion", { days: 7 });
    const { services, log } = w.service.keystead;
    const cancelled: (Answer | undefined)[] = [];
    // A round that is under way: it destroys the first key, and somebody cancels before it comes to the second.
    const job = dueProjects({
      projects: services.projects,
      keyring: services.keyring,
      secrets: services.secrets,
      credentials: services.credentials,
      log,
      now: () => w.now(),
      isClockSteady: () => true,
      commitOwn: (action) => async (writes, facts) => {
        await services.auditor.commitChange({ ...serviceFacts(action), ...facts, version: 0 }, writes);
        if (cancelled.length === 0)
          cancelled.push(await w.request("POST", "/v1/projects/late/cancel-deletion", {}));
      },
    });
    w.wait(7);
    await job.run(() => false);
    assert.equal(cancelled[0]?.json["code"], "project_pending_deletion");
    assert.equal((await w.request("GET", "/v1/keys", undefined, "late")).json["code"], "project_not_found");
  });
});

describe("a project whose window has passed", () => {
  test("is destroyed with its keys and secrets, each with an entry, and its name is free for another project", async () => {
    const folder = temporaryFolder();
    await using w = await world({ KEYSTEAD_DATA_PATH: folder });
    const { keyIds, ciphertext } = await fill(w, "gone");
    const member = await w.service.token("admin", { project: "gone" });
    await fill(w, "other");
    await w.must("POST", "/v1/keys/k2/schedule-deletion", { days: 30 }, "gone");
    await w.must("POST", "/v1/projects/gone/schedule-deletion", { days: 7 });
    await w.pass(6.999);
    assert.equal(
      (await w.request("GET", "/v1/keys", undefined, "gone")).json["code"],
      "project_pending_deletion",
    );
    const sealed = sealedOf(folder);
    await w.pass(0.001);
    for (const token of [w.admin, member])
      assert.equal(
        (await w.request("GET", "/v1/keys", undefined, "gone", token)).json["code"],
        "project_not_found",
      );
    const { projects } = await w.must("GET", "/v1/projects");
    assert.deepEqual((projects as { name: string }[]).map(({ name }) => name).sort(), ["default", "other"]);
    const own = w.service
      .auditEntries()
      .filter(({ caller, project }) => caller === "system:keystead" && project === "gone")
      .map(({ action, resource, details }) => ({ action, resource, details }));
    assert.deepEqual(own, [
      { action: "key.destroy", resource: "key:k1", details: { reason: "deletion" } },
      { action: "key.destroy", resource: "key:k2", details: { reason: "deletion" } },
      { action: "secret.delete", resource: "secret:s", details: { reason: "deletion" } },
      { action: "project.destroy", resource: "project:gone", details: { reason: "deletion" } },
    ]);
    // Nothing of what was sealed is left in any file, while the service still runs.
    for (const [what, bytes] of sealed.get("gone") ?? [])
      for (const name of readdirSync(folder).filter((file) => file !== "admin.sock"))
        assert.ok(!readFileSync(join(folder, name)).includes(bytes), `${name} holds ${what}`);
    assert.equal((await w.must("GET", "/v1/secrets/s", undefined, "other"))["value"], "kept");

    // A new project of the name is another one.
    await w.must("POST", "/v1/projects", { name: "gone" });
    assert.deepEqual((await w.must("GET", "/v1/keys", undefined, "gone"))["keys"], []);
    assert.deepEqual((await w.must("GET", "/v1/keys?state=destroyed", undefined, "gone"))["keys"], []);
    const old = await w.request("GET", `/v1/keys/${keyIds[0]!}`, undefined, "gone");
    assert.equal(old.json["code"], "key_not_found");
    assert.equal(
      (await w.request("GET", "/v1/keys", undefined, "gone", member)).json["code"],
      "project_not_found",
    );
    await w.must("POST", "/v1/keys", { name: "k1" }, "gone");
    const opened = await w.request("POST", "/v1/decrypt/k1", { ciphertext }, "gone");
    assert.equal(opened.json["code"], "decryption_failed");
  });

  test("goes on being destroyed after a stop in the middle", async () => {
    const settings = {
      KEYSTEAD_DATA_PATH: temporaryFolder(),
      KEYSTEAD_AUDIT_LOG: join(temporaryFolder(), "audit.log"),
    };
    let startMs = 0;
    let token = "";
    {
      await using w = await world(settings);
      token = w.admin;
      await fill(w, "gone");
      await w.must("POST", "/v1/projects/gone/schedule-deletion", { days: 7 });
      w.wait(7);
      startMs = w.now();
      const { services, log } = w.service.keystead;
      let committed = 0;
      const job = dueProjects({
        projects: services.projects,
        keyring: services.keyring,
        secrets: services.secrets,
        credentials: services.credentials,
        log,
        now: () => w.now(),
        isClockSteady: () => true,
        commitOwn: (action) => async (writes, facts) => {
          await services.auditor.commitChange({ ...serviceFacts(action), ...facts, version: 0 }, writes);
          committed++;
        },
      });
      await job.run(() => committed === 1);
      assert.equal(committed, 1);
      assert.equal(
        (await w.request("GET", "/v1/keys", undefined, "gone")).json["code"],
        "project_pending_deletion",
      );
    }
    await using w = await world(settings, startMs, token);
    await w.pass(0);
    assert.equal((await w.request("GET", "/v1/keys", undefined, "gone")).json["code"], "project_not_found");
    const destroyed = w.service.auditEntries().filter(({ action }) => action === "key.destroy");
    assert.deepEqual(destroyed.map(({ resource }) => resource).sort(), ["key:k1", "key:k2"]);
  });

  test("is destroyed by what its sealed record says, whatever date stands in a row, and hidden by no bad record", async () => {
    const folder = temporaryFolder();
    const settings = { KEYSTEAD_DATA_PATH: folder };
    let startMs = 0;
    let token = "";
    {
      await using w = await world(settings);
      token = w.admin;
      startMs = w.now();
      for (const name of ["a-bad", "b-plain", "c-early", "d-due"]) await fill(w, name);
      for (const [name, days] of [
        ["a-bad", 7],
        ["c-early", 30],
        ["d-due", 7],
      ] as const)
        await w.must("POST", `/v1/projects/${name}/schedule-deletion`, { days });
    }
    const database = new DatabaseSync(join(folder, "keystead.db"));
    database.exec("update projects set due_at = '2020-01-01T00:00:00.000Z' where name < 'd-due'");
    database.exec("update projects set sealed = x'010000000100' where name = 'a-bad'");
    database.close();
    await using w = await world(settings, startMs + 8 * DAY_MS, token);
    await w.pass(0);
    const code = async (project: string): Promise<unknown> =>
      (await w.request("GET", "/v1/keys/k1", undefined, project)).json["code"] ?? "ok";
    assert.deepEqual(
      [await code("a-bad"), await code("b-plain"), await code("c-early"), await code("d-due")],
      ["internal_error", "ok", "project_pending_deletion", "project_not_found"],
    );
  });
});

/** Every sealed material and value, by the project's name. */
function sealedOf(folder: string): Map<string, [string, Buffer][]> {
  const database = new DatabaseSync(join(folder, "keystead.db"), { readOnly: true });
  try {
    const rows = database
      .prepare(
        `select p.name as project, 'the material of ' || k.name as what, v.sealed from key_versions v
           join keys k on k.id = v.key_id join projects p on p.id = k.project_id
         union all
         select p.name, 'the value of ' || s.name, v.sealed from secret_versions v
           join secrets s on s.id = v.secret_id join projects p on p.id = s.project_id`,
      )
      .all() as { project: string; what: string; sealed: Uint8Array }[];
    const found = new Map<string, [string, Buffer][]>();
    for (const { project, what, sealed } of rows)
      found.set(project, [...(found.get(project) ?? []), [what, Buffer.from(sealed)]]);
    return found;
  } finally {
    database.close();
  }
}
