/** What somebody who can write to the database, and to nothing else, still cannot do. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { forEachStore, startServer, type OnStore, type TestService } from "../harness.ts";
import { keptDatabase, type Sql } from "./kept-database.ts";

const SECOND = "2030-01-01T00:00:00.000Z";

/** Makes a service with some of everything, stops it, edits its database, and starts it again. */
async function afterEdit(
  store: OnStore["store"],
  edit: (sql: Sql, reader: string) => Promise<unknown>,
): Promise<{
  service: TestService;
  admin: string;
  reader: string;
  ciphertext: unknown;
}> {
  const database = await keptDatabase(store);
  const settings = { ...database.settings, KEYSTEAD_EXPORT_ON_MAIN: "1" };
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
  await edit(database.sql, reader);
  return { service: await startServer(settings), admin, reader, ciphertext };
}

const isNoSuccess = (status: number): boolean => status >= 400;

forEachStore(({ store }) => {
  describe("an edited database", () => {
    test("does not enable a revoked key", async () => {
      const { service, admin } = await afterEdit(store, async (sql) => {
        const [revoked] = await sql("select id, revision from keys where name = 'revoked'");
        await sql("update keys set revision = 1 where id = ?", String(revoked?.["id"]));
        // The sealed record of another, enabled key at the same revision.
        await sql(
          "update keys set sealed = (select sealed from keys where name = 'a') where name = 'revoked'",
        );
      });
      await using running = service;
      assert.ok(
        isNoSuccess(
          (await running.request("POST", "/v1/encrypt/revoked", { plaintext: "x" }, { token: admin })).status,
        ),
      );
    });

    for (const [what, edit] of [
      ["overwritten bytes in a key's record", "update keys set sealed = ? where name = 'a'"],
      [
        "two keys' names swapped",
        "update keys set name = 'tmp' where name = 'revoked'; update keys set name = 'revoked' where name = 'a'; update keys set name = 'a' where name = 'tmp'",
      ],
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
        const { service, admin, ciphertext } = await afterEdit(store, async (sql) => {
          if (!edit.includes("?")) {
            for (const one of edit.split("; ")) await sql(one);
            return;
          }
          const [row] = await sql("select sealed from keys where name = 'a'");
          return sql(edit, Buffer.from(row!["sealed"] as Uint8Array).fill(0, 60, 68));
        });
        await using running = service;
        const encrypted = await running.request(
          "POST",
          "/v1/encrypt/a",
          { plaintext: "x" },
          { token: admin },
        );
        const decrypted = await running.request("POST", "/v1/decrypt/a", { ciphertext }, { token: admin });
        assert.equal(encrypted.json["code"], "internal_error");
        if (!edit.includes("usage_sealed")) assert.equal(decrypted.json["code"], "internal_error");
        assert.equal(
          (await running.request("POST", "/v1/encrypt/b", { plaintext: "x" }, { token: admin })).status,
          200,
        );
      });
    }

    test("does not show one secret's value under another's name", async () => {
      const { service, admin } = await afterEdit(store, async (sql) => {
        await sql(
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
      const { service, reader } = await afterEdit(store, async (sql) => {
        await sql(
          "update accounts set sealed = (select sealed from accounts where name = 'test-1') where name = 'test-2'",
        );
      });
      await using running = service;
      assert.ok(
        isNoSuccess((await running.request("POST", "/v1/keys", { name: "mine" }, { token: reader })).status),
      );
      const swapped = await afterEdit(store, async (sql) => {
        await sql("update tokens set account_id = (select id from accounts where name = 'test-1')");
      });
      await using other = swapped.service;
      assert.ok(
        isNoSuccess(
          (await other.request("POST", "/v1/keys", { name: "mine" }, { token: swapped.reader })).status,
        ),
      );
    });

    test("does not take a token whose hash was written into another's row", async () => {
      const { service, reader } = await afterEdit(store, async (sql, token) => {
        const hash = createHash("sha256").update(token).digest();
        await sql("delete from tokens where hash = ?", hash);
        await sql(
          "update tokens set hash = ? where account_id = (select id from accounts where name = 'test-1')",
          hash,
        );
      });
      await using running = service;
      const listed = await running.keystead.services.accounts.tokens("test-1");
      assert.equal(listed.length, 1, "the row of the administrator's token is there");
      const answer = await running.request("GET", "/v1/whoami", undefined, { token: reader });
      assert.equal(answer.status, 401, answer.text);
    });

    test("does not take a token for longer than it was made for", async () => {
      const { service, reader } = await afterEdit(store, (sql) =>
        sql("update tokens set expires_at = ?", SECOND),
      );
      await using running = service;
      const whoami = async (): Promise<number> =>
        (await running.request("GET", "/v1/whoami", undefined, { token: reader })).status;
      assert.equal(await whoami(), 200);
      const realNow = Date.now;
      try {
        // The tokens of the tests are good for an hour.
        Date.now = () => realNow() + 3_601_000;
        assert.equal(await whoami(), 401);
      } finally {
        Date.now = realNow;
      }
    });
  });

  /** Makes one object twice, in the state that gates it and in one that does not, and writes the second's record into the first's row. */
  describe("an edited database does not give back what was taken away", () => {
    const takes: readonly (readonly [
      what: string,
      made: object,
      path: string,
      body: object,
      use: string,
      used: object,
    ])[] = [
      ["a disabled state", {}, "disable", {}, "encrypt", { plaintext: "x" }],
      ["a revoked state", {}, "revoke", {}, "encrypt", { plaintext: "x" }],
      ["a deletion", {}, "schedule-deletion", { days: 7 }, "encrypt", { plaintext: "x" }],
      ["a disabled version", {}, "disable", { version: 1 }, "encrypt", { plaintext: "x" }],
      ["a least version", {}, "rotate", {}, "encrypt", { plaintext: "x", version: 1 }],
      [
        "a purpose",
        { type: "rsa-2048", purpose: "sign" },
        "disable",
        { version: 1 },
        "encrypt",
        { plaintext: "x" },
      ],
      ["that it is not exportable", { type: "hmac-256" }, "disable", { version: 1 }, "export", {}],
    ];
    const grants: Readonly<Record<string, object>> = {
      "a purpose": { type: "rsa-2048", purpose: "encrypt" },
      "that it is not exportable": { type: "hmac-256", exportable: true },
    };

    for (const [what, made, path, body, use, used] of takes) {
      test(what, async () => {
        const database = await keptDatabase(store);
        const settings = { ...database.settings, KEYSTEAD_EXPORT_ON_MAIN: "1" };
        const before = await startServer(settings);
        const admin = await before.token("admin", { project: "*" });
        const exporter = await before.token("exporter", { kind: "service" });
        const must = async (method: string, at: string, sent: object): Promise<Record<string, unknown>> => {
          const answer = await before.request(method, at, sent, { token: admin });
          assert.ok(answer.status < 300, answer.text);
          return answer.json;
        };
        const { id } = await must("POST", "/v1/keys", { name: "gated", ...made });
        const { id: freeId } = await must("POST", "/v1/keys", { name: "free", ...(grants[what] ?? made) });
        const [first] = await database.sql("select * from keys where id = ?", String(id));
        await must("POST", `/v1/keys/gated/${path}`, body);
        // The other key comes to the same revision in a harmless way.
        await must("PATCH", "/v1/keys/free", { description: "x" });
        if (what === "a least version") {
          await must("PATCH", "/v1/keys/gated", { min_encryption_version: 2 });
          await must("PATCH", "/v1/keys/free", { description: "y" });
        }
        await before.close();

        const edits: ((sql: Sql) => Promise<unknown>)[] = [
          // Its own record of before, under the revision of now.
          (sql) => sql("update keys set sealed = ? where id = ?", first!["sealed"] as Uint8Array, String(id)),
          // Another key's record of the same revision, with the name that the row has, and with the row's own.
          (sql) =>
            sql(
              "update keys set sealed = (select sealed from keys where id = ?) where id = ?",
              String(freeId),
              String(id),
            ),
          async (sql) => {
            await sql("update keys set name = 'tmp' where name = 'gated'");
            await sql("update keys set name = 'gated' where name = 'free'");
            await sql(
              "update key_versions set sealed = (select sealed from key_versions where key_id = ? limit 1) where key_id = ?",
              String(id),
              String(freeId),
            );
          },
          // The row of before but for its revision.
          (sql) => sql("update keys set revision = revision - 1 where id = ?", String(id)),
          (sql) => sql("update keys set due_at = null where id = ?", String(id)),
        ];
        for (const [index, edit] of edits.entries()) {
          const edited = await database.copy();
          await edit(edited.sql);
          await using running = await startServer({ ...settings, ...edited.settings });
          const token = use === "export" ? exporter : admin;
          for (const handle of [String(id), "gated"]) {
            const answer = await running.request("POST", `/v1/keys/${handle}/${use}`, used, { token });
            assert.ok(answer.status >= 400, `edit ${index} by ${handle}: ${answer.text}`);
          }
        }
      });
    }

    test("a project's deletion, by its record of before or by another project's", async () => {
      const database = await keptDatabase(store);
      const { settings } = database;
      const before = await startServer(settings);
      const admin = await before.token("admin", { project: "*" });
      const post = async (path: string, body: object, project = "default"): Promise<void> => {
        const answer = await before.request("POST", path, body, { token: admin, project });
        assert.ok(answer.status < 300, answer.text);
      };
      for (const name of ["gone", "free"]) await post("/v1/projects", { name });
      await post("/v1/keys", { name: "k" }, "gone");
      const [first] = await database.sql("select * from projects where name = 'gone'");
      const sealed = first!["sealed"] as Uint8Array;
      await post("/v1/projects/gone/schedule-deletion", {});
      await post("/v1/projects/free/schedule-deletion", {});
      await post("/v1/projects/free/cancel-deletion", {});
      await before.close();
      for (const [text, ...values] of [
        ["update projects set sealed = ? where name = 'gone'", sealed],
        [
          "update projects set revision = 3, sealed = (select sealed from projects where name = 'free') where name = 'gone'",
        ],
        ["update projects set due_at = null, created_at = '2020-01-01T00:00:00.000Z' where name = 'gone'"],
      ] as const) {
        const edited = await database.copy();
        await edited.sql(text, ...values);
        await using running = await startServer(edited.settings);
        const answer = await running.request("GET", "/v1/keys/k", undefined, {
          token: admin,
          project: "gone",
        });
        assert.ok(
          ["internal_error", "project_pending_deletion"].includes(String(answer.json["code"])),
          `${text}: ${answer.text}`,
        );
      }
    });
  });
});
