/** What a key's state, and a version's, allows: the whole table, written out by hand. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { type Answer, forEachStore, serviceFor, type TestService } from "../harness.ts";

const DAY_MS = 86_400_000;

const states = ["enabled", "disabled", "revoked", "pending_deletion", "destroyed"] as const;
type State = (typeof states)[number];

const families = [
  "cipher",
  "public-cipher",
  "signature",
  "mac",
  "kem",
  "agreement",
  "wrap",
  "shown",
] as const;
type Family = (typeof families)[number];

/** One key type for each family. */
const specs: Readonly<Record<Family, { readonly type: string; readonly purpose?: string }>> = {
  cipher: { type: "aes-256" },
  "public-cipher": { type: "rsa-2048", purpose: "encrypt" },
  signature: { type: "ed25519" },
  mac: { type: "hmac-256" },
  kem: { type: "ml-kem-768" },
  agreement: { type: "x25519" },
  wrap: { type: "aes-256-kwp" },
  shown: { type: "bls12-381-g1" },
};

/** What each state answers; a use that the family has not is `key_usage` where the state would allow it. */
type Row = readonly [
  enabled: string,
  disabled: string,
  revoked: string,
  pending: string,
  destroyed: string,
  families: readonly Family[],
];
const ciphers: readonly Family[] = ["cipher", "public-cipher"];
const withPublicPart: readonly Family[] = ["public-cipher", "signature", "kem", "agreement", "shown"];

const table: Readonly<Record<string, Row>> = {
  get: ["ok", "ok", "ok", "ok", "ok", families],
  public_key: ["ok", "ok", "ok", "ok", "key_destroyed", withPublicPart],
  ...uses(ciphers, [
    "encrypt",
    "encrypt_batch",
    "encrypt_batch_binary",
    "decrypt",
    "decrypt_batch",
    "decrypt_batch_binary",
    "reencrypt_from",
    "reencrypt_to",
    "reencrypt_batch_from",
    "reencrypt_batch_to",
    "data_key",
    "data_key_wrapped_only",
  ]),
  ...uses(["signature"], ["sign", "sign_batch", "verify", "verify_batch"]),
  ...uses(["mac"], ["mac", "mac_batch", "verify_mac", "verify_mac_batch"]),
  ...uses(["kem"], ["encapsulate", "decapsulate"]),
  ...uses(["agreement"], ["agree"]),
  ...uses(["wrap", "public-cipher"], ["wrap", "unwrap"]),
  ...uses(families, ["export"]),
  rotate: ["ok", "key_disabled", "key_revoked", "key_pending_deletion", "key_destroyed", families],
  update: ["ok", "ok", "ok", "key_pending_deletion", "key_destroyed", families],
  enable: ["ok", "ok", "key_revoked", "key_pending_deletion", "key_destroyed", families],
  disable: ["ok", "ok", "key_revoked", "key_pending_deletion", "key_destroyed", families],
  enable_version: ["ok", "ok", "key_revoked", "key_pending_deletion", "key_destroyed", families],
  disable_version: ["ok", "ok", "key_revoked", "key_pending_deletion", "key_destroyed", families],
  revoke: ["ok", "ok", "ok", "ok", "key_destroyed", families],
  schedule_deletion: ["ok", "ok", "ok", "key_pending_deletion", "key_destroyed", families],
  cancel_deletion: [
    "key_not_pending_deletion",
    "key_not_pending_deletion",
    "key_not_pending_deletion",
    "ok",
    "key_destroyed",
    families,
  ],
};
const changes = new Set([
  "rotate",
  "update",
  "enable",
  "disable",
  "enable_version",
  "disable_version",
  "revoke",
  "schedule_deletion",
  "cancel_deletion",
]);

function uses(having: readonly Family[], names: readonly string[]): Record<string, Row> {
  const row: Row = ["ok", "key_disabled", "key_revoked", "key_pending_deletion", "key_destroyed", having];
  return Object.fromEntries(names.map((name) => [name, row]));
}

function expected(action: string, family: Family, state: State): string {
  const row = table[action];
  assert.ok(row);
  const outcome = row[states.indexOf(state)];
  assert.ok(typeof outcome === "string");
  return outcome === "ok" && !row[5].includes(family) ? "key_usage" : outcome;
}

/** What a key made while it was enabled. */
interface Made {
  readonly id: string;
  /** The same kind of key, exportable. */
  readonly exportableId: string;
  readonly ciphertext: string;
  readonly signature: string;
  readonly mac: string;
  readonly encapsulated: string;
  readonly wrapped: string;
}

interface World {
  readonly service: TestService;
  readonly admin: string;
  readonly exporter: string;
  /** An enabled cipher key, an exportable key, and a ciphertext of the first. */
  readonly other: string;
  readonly otherCiphertext: string;
  readonly plainX: string;
  readonly keys: ReadonlyMap<string, Made>;
  /** A fresh key in a state; not `destroyed`. */
  readonly fresh: (family: Family, state: State) => Promise<Made>;
}

let names = 0;
const freshName = (): string => `k-${++names}`;
const dummy = Buffer.alloc(64);
dummy.writeUInt32BE(1);
const rsaPkcs8 = generateKeyPairSync("rsa", { modulusLength: 2048 })
  .privateKey.export({ format: "der", type: "pkcs8" })
  .toString("base64");

forEachStore(({ startServer }) => {
  describe("a key's state decides what may be done with it", () => {
    let clock = Date.now();
    let world: World | undefined;
    const service = serviceFor(async () => {
      const started = await startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }, { now: () => clock });
      world = await makeWorld(started, (days) => (clock += days * DAY_MS));
      return started;
    });
    const ready = (): World => {
      assert.ok(world && service());
      return world;
    };

    for (const family of families) {
      for (const state of states) {
        test(`${state}, ${specs[family].type} to ${family}: every operation does what the table says`, async () => {
          const { keys, fresh } = ready();
          const outcomes: Record<string, string> = {};
          const wanted: Record<string, string> = {};
          for (const action of Object.keys(table)) {
            wanted[action] = expected(action, family, state);
            const spoils = changes.has(action) && wanted[action] === "ok";
            const made = spoils ? await fresh(family, state) : keys.get(`${family}/${state}`);
            assert.ok(made);
            outcomes[action] = await outcomeOf(ready(), action, made);
          }
          assert.deepEqual(outcomes, wanted);
        });
      }
    }

    test("by its id and by its name alike", async () => {
      const { service: running, admin, fresh } = ready();
      for (const state of ["enabled", "disabled", "revoked", "pending_deletion"] as const) {
        const { id } = await fresh("cipher", state);
        const { name } = (await running.request("GET", `/v1/keys/${id}`, undefined, { token: admin })).json;
        const answers = await Promise.all(
          [id, id.toUpperCase(), String(name)].map((handle) =>
            running.request("POST", `/v1/encrypt/${handle}`, { plaintext: "x" }, { token: admin }),
          ),
        );
        const codes = answers.map(({ status, json }) => (status === 200 ? "ok" : json["code"]));
        const one = expected("encrypt", "cipher", state);
        assert.deepEqual(codes, [one, one, one]);
      }
    });

    test("a destroyed key is reached by no name", async () => {
      const { service: running, admin, keys } = ready();
      const { id } = keys.get("cipher/destroyed")!;
      const { name } = (await running.request("GET", `/v1/keys/${id}`, undefined, { token: admin })).json;
      for (const handle of [String(name), `~${id}`, `%7E${id}`]) {
        const answer = await running.request("GET", `/v1/keys/${handle}`, undefined, { token: admin });
        assert.ok([400, 404].includes(answer.status), `${handle}: ${answer.text}`);
      }
    });
  });

  async function makeWorld(service: TestService, pass: (days: number) => unknown): Promise<World> {
    const admin = await service.token("admin", { project: "*" });
    const exporter = await service.token("exporter", { kind: "service" });
    const must = async (
      method: string,
      path: string,
      body?: unknown,
      token = admin,
    ): Promise<Record<string, unknown>> => {
      const answer = await service.request(method, path, body, { token });
      assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
      return answer.json;
    };
    await must("POST", "/v1/accounts/test-2/bindings", { role: "operator", project: "default" });
    const other = freshName();
    const plainX = freshName();
    await must("POST", "/v1/keys", { name: other });
    await must("POST", "/v1/keys", { name: plainX, type: "hmac-256", exportable: true });
    const { ciphertext: otherCiphertext } = await must("POST", `/v1/encrypt/${other}`, { plaintext: "x" });

    const make = async (family: Family): Promise<Made> => {
      const create = async (exportable: boolean): Promise<string> => {
        const name = freshName();
        const spec = { ...specs[family], exportable };
        const made =
          family === "public-cipher"
            ? await must("POST", `/v1/keys/${name}/import`, {
                ...spec,
                format: "pkcs8",
                material_b64: rsaPkcs8,
              })
            : await must("POST", "/v1/keys", { name, ...spec });
        return String(made["id"]);
      };
      const id = await create(false);
      const field = async (
        family_: readonly Family[],
        path: string,
        body: object,
        name: string,
      ): Promise<string> =>
        family_.includes(family)
          ? String((await must("POST", `/v1/keys/${id}/${path}`, body))[name])
          : dummy.toString("base64");
      let wrapped = dummy.toString("base64");
      if (family === "wrap" || family === "public-cipher") {
        const under =
          family === "wrap" ? { wrapping_key: id } : { wrapping_public_key_b64: await publicDer(must, id) };
        const answer = await must("POST", `/v1/keys/${plainX}/export`, { format: "raw", ...under }, exporter);
        wrapped = String(answer["wrapped_material_b64"]);
      }
      return {
        id,
        exportableId: await create(true),
        ciphertext: await field(ciphers, "encrypt", { plaintext: "x" }, "ciphertext"),
        signature: await field(["signature"], "sign", { message: "x" }, "signature_b64"),
        mac: await field(["mac"], "mac", { message: "x" }, "mac_b64"),
        encapsulated: await field(["kem"], "encapsulate", {}, "ciphertext"),
        wrapped,
      };
    };
    const move = async ({ id, exportableId }: Made, state: State): Promise<void> => {
      for (const one of [id, exportableId]) {
        if (state === "disabled") await must("POST", `/v1/keys/${one}/disable`, {});
        if (state === "revoked") await must("POST", `/v1/keys/${one}/revoke`, {});
        if (state === "pending_deletion" || state === "destroyed")
          await must("POST", `/v1/keys/${one}/schedule-deletion`, { days: 7 });
      }
    };
    const keys = new Map<string, Made>();
    const fill = async (state: State): Promise<void> => {
      for (const family of families) {
        const made = await make(family);
        await move(made, state);
        keys.set(`${family}/${state}`, made);
      }
    };
    await fill("destroyed");
    pass(7);
    await service.keystead.runJobs();
    for (const state of ["enabled", "disabled", "revoked", "pending_deletion"] as const) await fill(state);
    return {
      service,
      admin,
      exporter,
      other,
      otherCiphertext: String(otherCiphertext),
      plainX,
      keys,
      async fresh(family, state) {
        assert.notEqual(state, "destroyed");
        const made = await make(family);
        await move(made, state);
        return made;
      },
    };
  }

  async function publicDer(
    must: (method: string, path: string) => Promise<Record<string, unknown>>,
    id: string,
  ): Promise<string> {
    const { public_key_pem: pem } = await must("GET", `/v1/keys/${id}/public-key`);
    return String(pem)
      .split("\n")
      .filter((line) => !line.startsWith("-----"))
      .join("");
  }

  /** `ok`, or the code of what was refused: of the call, or of the batch's one item. */
  function outcome({ status, json, text }: Answer): string {
    if (status >= 300) return String(json["code"]);
    const results = (json as { results?: { error?: { code: string } }[] } | undefined)?.results;
    assert.ok(results === undefined || results.length === 1, text);
    return results?.[0]?.error?.code ?? "ok";
  }

  async function outcomeOf(world: World, action: string, made: Made): Promise<string> {
    const { service, admin, exporter, other, otherCiphertext, plainX } = world;
    const { id } = made;
    const post = (path: string, body: object, token = admin): Promise<Answer> =>
      service.request("POST", `/v1/keys/${path}`, body, { token });
    const binary = async (path: string, data: Uint8Array): Promise<string> => {
      const answer = await service.request("POST", `/v1/keys/${id}/${path}`, undefined, {
        token: admin,
        raw: frame(data),
        headers: { "content-type": "application/octet-stream" },
      });
      if (answer.status === 200) assert.equal(answer.text.charCodeAt(0), 0, "one item, done");
      return outcome({ ...answer, ...(answer.status === 200 ? { json: {} } : {}) });
    };
    const { ciphertext, signature, mac } = made;
    const signed = { message: "x", signature_b64: signature };
    const coded = { message: "x", mac_b64: mac };
    const calls: Record<string, () => Promise<Answer | string>> = {
      get: () => service.request("GET", `/v1/keys/${id}`, undefined, { token: admin }),
      public_key: () => service.request("GET", `/v1/keys/${id}/public-key`, undefined, { token: admin }),
      encrypt: () => post(`${id}/encrypt`, { plaintext: "x" }),
      encrypt_batch: () => post(`${id}/encrypt/batch`, { items: [{ plaintext: "x" }] }),
      encrypt_batch_binary: () => binary("encrypt/batch", Buffer.from("x")),
      decrypt: () => post(`${id}/decrypt`, { ciphertext }),
      decrypt_batch: () => post(`${id}/decrypt/batch`, { items: [{ ciphertext }] }),
      decrypt_batch_binary: () => binary("decrypt/batch", Buffer.from(ciphertext, "base64")),
      reencrypt_from: () => post(`${id}/reencrypt`, { ciphertext, to_key: other }),
      reencrypt_to: () => post(`${other}/reencrypt`, { ciphertext: otherCiphertext, to_key: id }),
      reencrypt_batch_from: () => post(`${id}/reencrypt/batch`, { items: [{ ciphertext }], to_key: other }),
      reencrypt_batch_to: () =>
        post(`${other}/reencrypt/batch`, { items: [{ ciphertext: otherCiphertext }], to_key: id }),
      data_key: () => post(`${id}/data-key`, {}),
      data_key_wrapped_only: () => post(`${id}/data-key`, { plaintext: false }),
      sign: () => post(`${id}/sign`, { message: "x" }),
      sign_batch: () => post(`${id}/sign/batch`, { items: [{ message: "x" }] }),
      verify: () => post(`${id}/verify`, signed),
      verify_batch: () => post(`${id}/verify/batch`, { items: [signed] }),
      mac: () => post(`${id}/mac`, { message: "x" }),
      mac_batch: () => post(`${id}/mac/batch`, { items: [{ message: "x" }] }),
      verify_mac: () => post(`${id}/verify-mac`, coded),
      verify_mac_batch: () => post(`${id}/verify-mac/batch`, { items: [coded] }),
      encapsulate: () => post(`${id}/encapsulate`, {}),
      decapsulate: () => post(`${id}/decapsulate`, { ciphertext: made.encapsulated }),
      agree: () => post(`${id}/agree`, { peer_public_key_b64: Buffer.alloc(32, 9).toString("base64") }),
      wrap: () => post(`${plainX}/export`, { wrapping_key: id }, exporter),
      unwrap: () =>
        post(`${freshName()}/import`, {
          type: "hmac-256",
          format: "raw",
          wrapped_material_b64: made.wrapped,
          wrapping_key: id,
        }),
      export: () => post(`${made.exportableId}/export`, {}, exporter),
      rotate: () => post(`${id}/rotate`, {}),
      update: () => service.request("PATCH", `/v1/keys/${id}`, { description: "d" }, { token: admin }),
      enable: () => post(`${id}/enable`, {}),
      disable: () => post(`${id}/disable`, {}),
      enable_version: () => post(`${id}/enable`, { version: 1 }),
      disable_version: () => post(`${id}/disable`, { version: 1 }),
      revoke: () => post(`${id}/revoke`, {}),
      schedule_deletion: () => post(`${id}/schedule-deletion`, {}),
      cancel_deletion: () => post(`${id}/cancel-deletion`, {}),
    };
    const answer = await calls[action]!();
    return typeof answer === "string" ? answer : outcome(answer);
  }

  /** One item of a binary batch, without context. */
  function frame(data: Uint8Array): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(8 + data.length);
    new DataView(bytes.buffer).setUint32(4, data.length);
    bytes.set(data, 8);
    return bytes;
  }

  describe("a version's state decides what may be done with it", () => {
    const service = serviceFor(() => startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" }));

    /** A key with the versions 1, 2 (disabled) and 3, and what each of them made. */
    interface Versions {
      readonly name: string;
      readonly made: readonly string[];
      readonly call: (path: string, body: object) => Promise<Answer>;
      readonly update: (body: object) => Promise<Answer>;
    }

    async function versions(spec: object, make: string, body: object, field: string): Promise<Versions> {
      const token = await service().token("admin");
      const name = freshName();
      const call = (path: string, sent: object): Promise<Answer> =>
        service().request("POST", `/v1/keys/${name}/${path}`, sent, { token });
      const created = await service().request("POST", "/v1/keys", { name, ...spec }, { token });
      assert.equal(created.status, 201, created.text);
      const made: string[] = [];
      for (let version = 1; version <= 3; version++) {
        if (version > 1) assert.equal((await call("rotate", {})).status, 200);
        const answer = await call(make, body);
        assert.deepEqual([answer.status, answer.json["version"]], [200, version], answer.text);
        made.push(String(answer.json[field]));
      }
      assert.equal((await call("disable", { version: 2 })).status, 200);
      return {
        name,
        made,
        call,
        update: (sent) => service().request("PATCH", `/v1/keys/${name}`, sent, { token }),
      };
    }

    for (const [what, spec, make, body, field] of [
      ["an AEAD cipher", { type: "aes-256" }, "encrypt", { plaintext: "x" }, "ciphertext"],
      ["RSA-OAEP", { type: "rsa-2048", purpose: "encrypt" }, "encrypt", { plaintext: "x" }, "ciphertext"],
      ["a signature", { type: "ed25519" }, "sign", { message: "x" }, "signature_b64"],
      ["a MAC", { type: "hmac-256" }, "mac", { message: "x" }, "mac_b64"],
      ["a KEM", { type: "ml-kem-768" }, "encapsulate", {}, "ciphertext"],
    ] as const) {
      test(`of ${what}: what makes something new`, async () => {
        const { call, update } = await versions(spec, make, body, field);
        const made = async (version?: number): Promise<unknown> => {
          const answer = await call(make, version === undefined ? body : { ...body, version });
          return answer.status === 200 ? answer.json["version"] : answer.json["code"];
        };
        assert.deepEqual(
          [await made(), await made(1), await made(2), await made(3), await made(4), await made(0xffff_ffff)],
          [3, 1, "key_version_disabled", 3, "key_version_not_found", "key_version_not_found"],
        );
        assert.equal((await update({ min_encryption_version: 2 })).status, 200);
        assert.deepEqual(
          [await made(), await made(1), await made(2), await made(3)],
          [3, "key_version_too_old", "key_version_disabled", 3],
        );
        // A version that nothing is opened with any more makes nothing either.
        assert.equal((await update({ min_encryption_version: 1, min_decryption_version: 2 })).status, 200);
        assert.deepEqual([await made(1), await made(3)], ["key_version_too_old", 3]);
        assert.equal((await call("enable", { version: 2 })).status, 200);
        assert.equal(await made(2), 2);
        // The latest alone stands for a call that names none.
        assert.equal((await call("disable", { version: 3 })).status, 200);
        assert.deepEqual([await made(), await made(2)], ["key_version_disabled", 2]);
        assert.equal((await call("rotate", {})).status, 200);
        assert.equal(await made(), 4);
      });
    }

    for (const [what, spec, make, open] of [
      ["an AEAD cipher", { type: "chacha20-poly1305" }, "encrypt", "decrypt"],
      ["RSA-OAEP", { type: "rsa-2048", purpose: "encrypt" }, "encrypt", "decrypt"],
      ["a KEM", { type: "ml-kem-1024" }, "encapsulate", "decapsulate"],
    ] as const) {
      test(`of ${what}: what opens`, async () => {
        const body = make === "encrypt" ? { plaintext: "x" } : {};
        const { made, call, update } = await versions(spec, make, body, "ciphertext");
        const opened = async (ciphertext: string): Promise<unknown> => {
          const answer = await call(open, { ciphertext });
          return answer.status === 200 ? answer.json["version"] : answer.json["code"];
        };
        const all = async (): Promise<unknown[]> => [
          await opened(made[0]!),
          await opened(made[1]!),
          await opened(made[2]!),
        ];
        assert.deepEqual(await all(), [1, "key_version_disabled", 3]);
        assert.equal((await update({ min_encryption_version: 3 })).status, 200);
        assert.deepEqual(await all(), [1, "key_version_disabled", 3]);
        assert.equal((await call("enable", { version: 2 })).status, 200);
        assert.equal((await update({ min_decryption_version: 2 })).status, 200);
        assert.deepEqual(await all(), ["key_version_too_old", 2, 3]);
        // A version that never was looks like any other ciphertext that does not open.
        for (const version of [0, 4, 0xffff_ffff]) {
          const bytes = Buffer.from(made[2]!, "base64");
          bytes.writeUInt32BE(version);
          assert.equal(await opened(bytes.toString("base64")), "decryption_failed");
        }
        assert.equal(await opened(""), "decryption_failed");
        assert.equal(await opened(Buffer.of(0, 0, 0, 3).toString("base64")), "decryption_failed");
      });
    }

    for (const [what, spec, make, verify, field] of [
      ["a signature", { type: "ecdsa-p256" }, "sign", "verify", "signature_b64"],
      ["a MAC", { type: "hmac-512" }, "mac", "verify-mac", "mac_b64"],
    ] as const) {
      test(`of ${what}: what verifies`, async () => {
        const { made, call, update } = await versions(spec, make, { message: "x" }, field);
        const verified = async (index: number, version?: number): Promise<unknown> => {
          const sent = { message: "x", [field]: made[index]! };
          const answer = await call(verify, version === undefined ? sent : { ...sent, version });
          if (answer.status !== 200) return answer.json["code"];
          assert.equal(answer.json["valid"], answer.json["version"] !== undefined);
          return answer.json["version"] ?? false;
        };
        assert.deepEqual([await verified(0), await verified(1), await verified(2)], [1, false, 3]);
        assert.deepEqual(
          [await verified(0, 1), await verified(0, 3), await verified(1, 2), await verified(0, 4)],
          [1, false, "key_version_disabled", "key_version_not_found"],
        );
        assert.equal((await call("enable", { version: 2 })).status, 200);
        assert.equal((await update({ min_decryption_version: 2 })).status, 200);
        assert.deepEqual([await verified(0), await verified(1), await verified(2)], [false, 2, 3]);
        assert.equal(await verified(0, 1), "key_version_too_old");
      });
    }

    test("a batch tells it item by item", async () => {
      const { made, call, update } = await versions({}, "encrypt", { plaintext: "x" }, "ciphertext");
      assert.equal((await update({ min_decryption_version: 2 })).status, 200);
      const answer = await call("decrypt/batch", { items: made.map((ciphertext) => ({ ciphertext })) });
      const { results, failed } = answer.json as {
        results: { version?: number; error?: { code: string } }[];
        failed: number;
      };
      assert.deepEqual(
        results.map(({ version, error }) => version ?? error?.code),
        ["key_version_too_old", "key_version_disabled", 3],
      );
      assert.equal(failed, 2);
    });

    test("a re-encryption names it for either side", async () => {
      const { made, call } = await versions({}, "encrypt", { plaintext: "x" }, "ciphertext");
      const code = async (body: object): Promise<unknown> => {
        const answer = await call("reencrypt", body);
        return answer.status === 200 ? answer.json["version"] : answer.json["code"];
      };
      const [first, second, third] = made;
      assert.equal(await code({ ciphertext: first }), 3);
      assert.equal(await code({ ciphertext: second }), "key_version_disabled");
      assert.equal(await code({ ciphertext: third, to_version: 2 }), "key_version_disabled");
      assert.equal(await code({ ciphertext: third, to_version: 1 }), 1);
      assert.equal(await code({ ciphertext: third, to_version: 4 }), "key_version_not_found");
    });

    test("neither a disabled version nor one that is too old is exported", async () => {
      const token = await service().token("exporter", { kind: "service" });
      const { name, call, update } = await versions(
        { type: "hmac-256", exportable: true },
        "mac",
        { message: "x" },
        "mac_b64",
      );
      const exported = async (version: number): Promise<unknown> => {
        const answer = await service().request("POST", `/v1/keys/${name}/export`, { version }, { token });
        return answer.status === 200 ? answer.json["version"] : answer.json["code"];
      };
      assert.deepEqual(
        [await exported(1), await exported(2), await exported(3), await exported(4)],
        [1, "key_version_disabled", 3, "key_version_not_found"],
      );
      assert.equal((await call("enable", { version: 2 })).status, 200);
      assert.equal((await update({ min_decryption_version: 2 })).status, 200);
      assert.deepEqual([await exported(1), await exported(2)], ["key_version_too_old", 2]);
    });

    test("of a wrapping key: a disabled or old one neither wraps nor unwraps", async () => {
      const admin = await service().token("admin");
      const exporter = await service().token("exporter", { kind: "service" });
      const post = (path: string, body: object, token = admin): Promise<Answer> =>
        service().request("POST", `/v1/keys${path}`, body, { token });
      const account = service()
        .auditEntries()
        .filter((entry) => String(entry["resource"]).startsWith("account:"))
        .at(-1);
      const wide = await service().token("admin", { project: "*" });
      const bound = await service().request(
        "POST",
        `/v1/accounts/${String(account?.["resource"]).slice("account:".length)}/bindings`,
        { role: "operator", project: "default" },
        { token: wide },
      );
      assert.equal(bound.status, 201, bound.text);
      const [kek, leaf] = [freshName(), freshName()];
      await post("", { name: kek, type: "aes-256-kwp" });
      await post("", { name: leaf, type: "hmac-256", exportable: true });
      const wrapped = async (): Promise<Answer> => post(`/${leaf}/export`, { wrapping_key: kek }, exporter);
      const unwraps = async (bytes: unknown): Promise<unknown> => {
        const sent = { type: "hmac-256", format: "raw", wrapped_material_b64: bytes, wrapping_key: kek };
        const answer = await post(`/${freshName()}/import`, sent);
        return answer.status === 201 ? "ok" : answer.json["code"];
      };
      const first = (await wrapped()).json["wrapped_material_b64"];
      assert.equal((await post(`/${kek}/rotate`, {})).status, 200);
      const second = (await wrapped()).json["wrapped_material_b64"];
      assert.deepEqual([await unwraps(first), await unwraps(second)], ["ok", "ok"]);
      await post(`/${kek}/disable`, { version: 1 });
      assert.deepEqual([await unwraps(first), await unwraps(second)], ["unwrap_failed", "ok"]);
      await post(`/${kek}/disable`, { version: 2 });
      assert.equal((await wrapped()).json["code"], "key_version_disabled");
      assert.equal(await unwraps(second), "unwrap_failed");
      await post(`/${kek}/enable`, { version: 1 });
      await post(`/${kek}/enable`, { version: 2 });
      await service().request("PATCH", `/v1/keys/${kek}`, { min_decryption_version: 2 }, { token: admin });
      assert.deepEqual([await unwraps(first), await unwraps(second)], ["unwrap_failed", "ok"]);
    });

    test("a version that the key has not is neither enabled nor disabled, nor a minimum", async () => {
      const { call, update } = await versions({}, "encrypt", { plaintext: "x" }, "ciphertext");
      for (const path of ["enable", "disable"])
        assert.equal((await call(path, { version: 4 })).json["code"], "key_version_not_found");
      for (const field of ["min_encryption_version", "min_decryption_version"])
        assert.equal((await update({ [field]: 4 })).json["code"], "invalid_body");
    });
  });
});
