import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { latestVersion } from "../../src/keyring/key.ts";
import { startDev, startServer, temporaryFolder, type TestService } from "../harness.ts";

const LIMIT = 8;

describe("a key whose nonces run out", () => {
  test("rotates by itself before the limit, once, with an audit entry, and opens what it encrypted before", async () => {
    await using service = await startDev(
      { KEYSTEAD_AUDIT_LOG: join(temporaryFolder(), "audit.log") },
      { noncesMax: LIMIT },
    );
    await create(service, "counted", "aes-256");
    const ciphertexts: string[] = [];
    for (let i = 0; i < LIMIT; i++) {
      const { version, ciphertext } = await encrypt(service, "counted");
      assert.equal(version, 1);
      ciphertexts.push(ciphertext);
    }
    assert.deepEqual(rotations(service), []);
    const after = await encrypt(service, "counted");
    assert.equal(after.version, 2);
    ciphertexts.push(after.ciphertext);
    assert.equal((await service.request("GET", "/v1/keys/counted")).json["latest_version"], 2);
    const [entry, ...more] = rotations(service);
    assert.deepEqual(more, []);
    const { caller, project, resource, version, details, outcome } = entry ?? {};
    assert.deepEqual(
      { caller, project, resource, version, details, outcome },
      {
        caller: "system:keystead",
        project: "default",
        resource: "key:counted",
        version: 2,
        details: { reason: "nonces" },
        outcome: "ok",
      },
    );
    for (const ciphertext of ciphertexts) {
      const opened = await service.request("POST", "/v1/decrypt/counted", { ciphertext });
      assert.equal(opened.json["plaintext"], "text", opened.text);
    }
  });

  test("makes no more versions than it needs under concurrent encryption, and no version encrypts beyond the limit", async () => {
    await using service = await startDev(
      { KEYSTEAD_AUDIT_LOG: join(temporaryFolder(), "audit.log") },
      { noncesMax: LIMIT },
    );
    await create(service, "busy", "aes-256");
    const encrypted = await Promise.all(Array.from({ length: 5 * LIMIT }, () => encrypt(service, "busy")));
    const perVersion = new Map<number, number>();
    for (const { version } of encrypted) perVersion.set(version, (perVersion.get(version) ?? 0) + 1);
    assert.deepEqual(
      [...perVersion].sort(([a], [b]) => a - b),
      [1, 2, 3, 4, 5].map((version) => [version, LIMIT]),
    );
    assert.deepEqual(
      rotations(service)
        .map((entry) => entry["version"])
        .sort(),
      [2, 3, 4, 5],
    );
  });

  test("of type xaes-256 needs no counting and never rotates by itself", async () => {
    await using service = await startDev({}, { noncesMax: LIMIT });
    await create(service, "uncounted", "xaes-256");
    for (let i = 0; i < 3 * LIMIT; i++) assert.equal((await encrypt(service, "uncounted")).version, 1);
  });
});

describe("the count of nonces after a restart", () => {
  test("goes on from what was reserved, and is never less", async () => {
    const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
    const counts: number[] = [];
    let token: string | undefined;
    for (let start = 0; start < 4; start++) {
      await using service = await startServer(settings, { noncesMax: 1_000_000 });
      if (token === undefined) {
        token = await service.token("admin");
        await create(service, "kept", "aes-256", token);
      }
      const before = await usedNonces(service, "kept");
      assert.ok(before >= (counts.at(-1) ?? 0), `${before} after ${String(counts.at(-1))}`);
      for (let i = 0; i < 10; i++) await encrypt(service, "kept", token);
      const after = await usedNonces(service, "kept");
      assert.equal(after, before + 10);
      counts.push(after);
    }
  });

  test("brings the rotation no later than the limit, however often the service restarts", async () => {
    const settings = { KEYSTEAD_DATA_PATH: temporaryFolder() };
    const perVersion = new Map<number, number>();
    let token: string | undefined;
    for (let start = 0; start < 4; start++) {
      await using service = await startServer(settings, { noncesMax: LIMIT });
      if (token === undefined) {
        token = await service.token("admin");
        await create(service, "kept", "aes-256", token);
      }
      for (let i = 0; i < 3; i++) {
        const { version } = await encrypt(service, "kept", token);
        perVersion.set(version, (perVersion.get(version) ?? 0) + 1);
      }
    }
    for (const [version, count] of perVersion) assert.ok(count <= LIMIT, `version ${version}: ${count}`);
    // Three of the first block were drawn and the rest given up, so each start finds its version spent.
    assert.deepEqual(
      [...perVersion],
      [
        [1, 3],
        [2, 3],
        [3, 3],
        [4, 3],
      ],
    );
  });
});

async function create(service: TestService, name: string, type: string, token?: string): Promise<void> {
  const created = await service.request("POST", "/v1/keys", { name, type }, withToken(token));
  assert.equal(created.status, 201, created.text);
}

async function encrypt(
  service: TestService,
  name: string,
  token?: string,
): Promise<{ version: number; ciphertext: string }> {
  const answer = await service.request(
    "POST",
    `/v1/encrypt/${name}`,
    { plaintext: "text" },
    withToken(token),
  );
  assert.equal(answer.status, 200, answer.text);
  return answer.json as { version: number; ciphertext: string };
}

function withToken(token: string | undefined): { token?: string } {
  return token === undefined ? {} : { token };
}

function rotations(service: TestService): Record<string, unknown>[] {
  return service.auditEntries().filter((entry) => entry["action"] === "key.rotate");
}

/** What the service itself counts as drawn for the key's latest version. */
async function usedNonces(service: TestService, name: string): Promise<number> {
  const { keyring, projects } = service.keystead.services;
  const project = await projects.byName("default");
  const key = await keyring.get(project?.id ?? "", name);
  const opened = await keyring.version(key, latestVersion(key));
  assert.ok(opened?.family === "cipher" && opened.nonces !== undefined);
  return opened.nonces.used;
}
