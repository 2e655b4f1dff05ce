/** What somebody who can write to the database, and to nothing else, still cannot do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { describe, test } from "node:test";
import { startServer, temporaryFolder, type TestService } from "../harness.ts";

const SECOND = "2030-01-01T00:00:00.000Z";

/** Makes a service with some of everything, stops it, edits its database, and starts it again. */
async function afterEdit(
  edit: (sql: (text: string, ...values: SQLInputValue[]) => Record<string, unknown>[]) => void,
): Promise<{
  service: TestService;
  admin: string;
  reader: string;
  ciphertext: unknown;
}> {
  const folder = temporaryFolder();
  const settings = { KEYSTEAD_DATA_PATH: folder, KEYSTEAD_EXPORT_ON_MAIN: "1" };
  const before = await startServer(settings);
  const admin = await before.token("admin", { project: "*" });
  const reader = await before.token("reader");
  const exporter = await before.token("exporter", { kind: "service" });
  for (const name of ["a", "b", "revoked"])
    await before.request("POST", "/v1/keys", { name }, { token: admin });
  await before.request("POST", "/v1/keys/revoked/revoke", {}, { token: admin });
  await before.request("POST", "/v1/keys", { name: "exportable" }, { token: exporter });
  for (const name of ["s1", "s2"])
    await before.request("POST", "/v1/secrets", { name, value: name }, { token: admin });
  const { ciphertext } = (await before.request("POST", "/v1/encrypt/a", { plaintext: "x" }, { token: admin }))
    .json;
  await before.close();
  const database = new DatabaseSync(join(folder, "keystead.db"));
  edit((text, ...values) => database.prepare(text).all(...values));
  database.close();
  return { service: await startServer(settings), admin, reader, ciphertext };
}

const isNoSuccess = (status: number): boolean => status >= 400;

describe("an edited database", () => {
  test("does not enable a revoked key", async () => {
    const { service, admin } = await afterEdit((sql) => {
      const [revoked] = sql("select id, revision from keys where name = 'revoked'");
      sql("update keys set revision = 1 where id = ?", String(revoked?.["id"]));
      // The sealed record of another, enabled key at the same revision.
      sql("update keys set sealed = (select sealed from keys where name = 'a') where name = 'revoked'");
    });
    await using running = service;
    assert.ok(
      isNoSuccess(
        (await running.request("POST", "/v1/encrypt/revoked", { plaintext: "x" }, { token: admin })).status,
      ),
    );
  });

  for (const [what, edit] of [
    [
      "overwritten bytes in a key's record",
      "update keys set sealed = cast(substr(sealed, 1, 60) || x'0000000000000000' || substr(sealed, 69) as blob) where name = 'a'",
    ],
    ["two keys' names swapped", "update keys set name = case name when 'a' then 'tmp' else name end"],
    [
      "a key's material taken from another key",
      "update key_versions set sealed = (select v.sealed from key_versions v join keys k on k.id = v.key_id where k.name = 'b') where key_id = (select id from keys where name = 'a')",
    ],
    [
      "a nonce count taken from another key",
      "update key_versions set usage_sealed = (select v.usage_sealed from key_versions v join keys k on k.id = v.key_id where k.name = 'b') where key_id = (select id from keys where name = 'a')",
    ],
    ["a key's revision raised", "update keys set revision = revision + 1 where name = 'a'"],
    ["a truncated record", "update keys set sealed = substr(sealed, 1, 20) where name = 'a'"],
  ] as const) {
    test(`fails closed: ${what}`, async () => {
      const { service, admin, ciphertext } = await afterEdit((sql) => sql(edit));
      await using running = service;
      const name = edit.includes("'tmp'") ? "tmp" : "a";
      const encrypted = await running.request(
        "POST",
        `/v1/encrypt/${name}`,
        { plaintext: "x" },
        { token: admin },
      );
      const decrypted = await running.request(
        "POST",
        `/v1/decrypt/${name}`,
        { ciphertext },
        { token: admin },
      );
      assert.ok(isNoSuccess(encrypted.status), encrypted.text);
      if (!edit.includes("usage_sealed")) assert.ok(isNoSuccess(decrypted.status), decrypted.text);
      assert.equal(encrypted.json["code"], "internal_error");
      assert.equal(
        (await running.request("POST", "/v1/encrypt/b", { plaintext: "x" }, { token: admin })).status,
        200,
      );
    });
  }

  test("does not show one secret's value under another's name", async () => {
    const { service, admin } = await afterEdit((sql) => {
      sql(
        "update secret_versions set sealed = (select v.sealed from secret_versions v join secrets s on s.id = v.secret_id where s.name = 's2') where secret_id = (select id from secrets where name = 's1')",
      );
    });
    await using running = service;
    const answer = await running.request("GET", "/v1/secrets/s1", undefined, { token: admin });
    assert.equal(answer.json["code"], "internal_error");
    assert.equal(
      (await running.request("GET", "/v1/secrets/s2", undefined, { token: admin })).json["value"],
      "s2",
    );
  });

  test("does not make an admin of a reader, by its record or by its token", async () => {
    const { service, reader } = await afterEdit((sql) => {
      sql(
        "update accounts set sealed = (select sealed from accounts where name = 'test-1') where name = 'test-2'",
      );
    });
    await using running = service;
    assert.ok(
      isNoSuccess((await running.request("POST", "/v1/keys", { name: "mine" }, { token: reader })).status),
    );
    const swapped = await afterEdit((sql) => {
      sql("update tokens set account_id = (select id from accounts where name = 'test-1')");
    });
    await using other = swapped.service;
    assert.ok(
      isNoSuccess(
        (await other.request("POST", "/v1/keys", { name: "mine" }, { token: swapped.reader })).status,
      ),
    );
  });

  test("does not take a token whose hash was written into another's row, nor longer than it was made for", async () => {
    const { service } = await afterEdit((sql) => {
      sql("update tokens set expires_at = ?", SECOND);
    });
    await using running = service;
    const listed = await running.keystead.services.accounts.tokens("test-1");
    assert.notEqual(listed[0]?.expiresAt, SECOND, "the sealed record says when it expires");
  });
});
