import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { KeysteadClient } from "../../sdk/client.ts";
import { keyTypes } from "../../sdk/wire.ts";
import { serviceFor, startDev } from "../harness.ts";

const purposes = {
  encrypt: [
    "aes-256",
    "xaes-256",
    "aes-128-gcm",
    "aes-128-cbc-hmac-sha-256",
    "aes-256-cbc-hmac-sha-512",
    "chacha20-poly1305",
    "xchacha20-poly1305",
  ],
  mac: ["hmac-256", "hmac-384", "hmac-512"],
  encapsulate: ["ml-kem-768", "ml-kem-1024"],
  agree: ["x25519"],
  wrap: ["aes-128-kw", "aes-256-kw", "aes-128-kwp", "aes-256-kwp"],
  show: ["bls12-381-g1", "bls12-381-g2", "bls12-381-g1g2"],
};

describe("the life of a key through the client", () => {
  const service = serviceFor(() => startDev());
  const client = (token?: string): KeysteadClient => new KeysteadClient({ url: service().url, token });

  test("every type can be made, has the purpose that it is for, and carries what is said of it", async () => {
    const { key } = client();
    for (const type of keyTypes) {
      const made = await key.create(`l-${type}`, { type, labels: { type }, description: `Type ${type}` });
      const [expected = "sign"] = Object.entries(purposes).flatMap(([purpose, types]) =>
        types.includes(type) ? [purpose] : [],
      );
      const { purpose, labels, description, state } = made;
      const said = { labels: { type }, description: `Type ${type}`, state: "enabled" };
      assert.deepEqual({ purpose, labels, description, state }, { purpose: expected, ...said });
    }
    const made = await key.create("l-rsa-encrypts", { type: "rsa-2048", purpose: "encrypt" });
    assert.equal(made.purpose, "encrypt");
  });

  test("a list shows what all its filters ask for together", async () => {
    const { key } = client();
    await key.create("f-1", { labels: { team: "payments", env: "prod" } });
    await key.create("f-2", { labels: { team: "payments" }, type: "xaes-256" });
    await key.create("f-3", { labels: { team: "web" } });
    await key.disable("f-3");
    const names = async (options: Parameters<typeof key.list>[0]): Promise<string[]> =>
      (await key.list({ prefix: "f-", limit: 1000, ...options })).keys.map(({ name }) => name);
    assert.deepEqual(await names({}), ["f-1", "f-2", "f-3"]);
    assert.deepEqual(await names({ labels: { team: "payments" } }), ["f-1", "f-2"]);
    assert.deepEqual(await names({ labels: { team: "payments", env: "" } }), ["f-1"]);
    assert.deepEqual(await names({ state: "disabled" }), ["f-3"]);
    assert.deepEqual(await names({ type: "xaes-256" }), ["f-2"]);
    assert.deepEqual(await names({ purpose: "sign" }), []);
    for (const labels of [{ "a,b": "c" }, { "a:b": "c" }, { a: "b,c" }, { "": "" }]) {
      await assert.rejects(async () => key.list({ labels }), { code: "invalid_label" });
    }
  });

  test("an update changes what it names, null takes away, and the rest stays", async () => {
    const { key } = client();
    await key.create("u", { description: "first", labels: { a: "1" }, rotationPeriodDays: 30 });
    const changed = await key.update("u", { labels: { b: "2" } });
    assert.deepEqual([changed.labels, changed.description], [{ b: "2" }, "first"]);
    assert.equal(changed.rotation_period_days, 30);
    const taken = await key.update("u", { description: null, rotationPeriodDays: null });
    assert.deepEqual([taken.description, taken.rotation_period_days], [undefined, undefined]);
    assert.deepEqual(taken.labels, { b: "2" });
    const { ciphertext } = await key.encrypt("u", "old");
    await key.rotate("u");
    const floored = await key.update("u", { minDecryptionVersion: 2 });
    assert.deepEqual([floored.min_encryption_version, floored.min_decryption_version], [2, 2]);
    await assert.rejects(key.decrypt("u", ciphertext), { code: "key_version_too_old" });
  });

  test("a disabled key or version refuses its uses until it is enabled again", async () => {
    const { key } = client();
    await key.create("d");
    const { ciphertext } = await key.encrypt("d", "x");
    await key.rotate("d");
    const disabled = await key.disable("d", { version: 1 });
    assert.deepEqual(
      disabled.versions.map(({ state }) => state),
      ["disabled", "enabled"],
    );
    await assert.rejects(key.decrypt("d", ciphertext), { code: "key_version_disabled" });
    await key.encrypt("d", "x");
    await key.enable("d", { version: 1 });
    await key.decrypt("d", ciphertext);
    assert.equal((await key.disable("d")).state, "disabled");
    await assert.rejects(key.decrypt("d", ciphertext), { code: "key_disabled" });
    await key.enable("d");
    await key.decrypt("d", ciphertext);
  });

  test("a deletion can be cancelled until it is due, of a key and of a project", async () => {
    const { key, project } = client();
    await key.create("x");
    const pending = await key.scheduleDeletion("x", { days: 7 });
    assert.equal(pending.state, "pending_deletion");
    const days = (Date.parse(pending.deletion_at ?? "") - Date.now()) / 86_400_000;
    assert.ok(days > 6.9 && days <= 7, String(days));
    await assert.rejects(key.encrypt("x", "x"), { code: "key_pending_deletion" });
    assert.equal((await key.cancelDeletion("x")).state, "enabled");
    await key.encrypt("x", "x");
    await assert.rejects(key.scheduleDeletion("x", { days: 6 }), { field: "days" });

    await project.create("x-project");
    const inside = new KeysteadClient({ url: service().url, project: "x-project" });
    await inside.key.create("inside");
    assert.equal((await project.scheduleDeletion("x-project")).state, "pending_deletion");
    await assert.rejects(inside.key.get("inside"), { name: "KeysteadApiError" });
    assert.equal((await project.cancelDeletion("x-project")).state, "enabled");
    await inside.key.get("inside");
  });

  test("a key comes out in each of its formats, and goes in again as the same key", async () => {
    const token = await service().token("exporter", { kind: "service" });
    const exporter = client(token).key;
    const { key } = client();
    await key.create("e-ec", { type: "ecdsa-p256", exportable: true });
    const { signature } = await key.sign("e-ec", { message: "hello" });
    const pkcs8 = await exporter.export("e-ec");
    assert.deepEqual([pkcs8.format, pkcs8.isWrapped], ["pkcs8", false]);
    createPrivateKey({ key: Buffer.from(pkcs8.keyMaterial), format: "der", type: "pkcs8" });
    const { jwk } = await exporter.export("e-ec", { format: "jwk", version: 1 });
    await key.import("e-again", "ecdsa-p256", { format: "jwk", jwk }, { labels: { from: "export" } });
    assert.equal((await key.verify("e-again", { message: "hello" }, signature)).valid, true);
    const shown = await key.public("e-ec");
    assert.deepEqual(await key.public("e-again", { version: 1 }), shown);
    assert.match(shown.public_key_pem ?? "", /^-----BEGIN PUBLIC KEY-----\n/);
    assert.equal(shown.jwk["crv"], "P-256");
  });

  test("material goes from key to key wrapped, and unwraps to what it was", async () => {
    const { key } = client();
    const token = await service().token("exporter", { kind: "service" });
    const bytes = new Uint8Array(32).fill(7);
    await key.import("w-source", "aes-256", { format: "raw", bytes }, { exportable: true });
    await key.create("w-intake", { type: "rsa-2048", purpose: "encrypt" });
    const { public_key_pem: pem = "" } = await key.public("w-intake");
    const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
    const exported = await client(token).key.export("w-source", { wrappingPublicKey: der });
    assert.equal(exported.isWrapped, true);
    assert.notDeepEqual(Uint8Array.from(exported.keyMaterial), bytes);
    const wrapped = { format: "raw", wrapped: exported.keyMaterial, wrappingKey: "w-intake" } as const;
    await key.import("w-target", "aes-256", wrapped, { exportable: true });
    const back = await client(token).key.export("w-target");
    assert.deepEqual(Uint8Array.from(back.keyMaterial), bytes);
    const damaged = Buffer.from(exported.keyMaterial);
    damaged[0] = (damaged[0] ?? 0) ^ 1;
    await assert.rejects(key.import("w-bad", "aes-256", { ...wrapped, wrapped: damaged }), {
      code: "unwrap_failed",
    });
  });

  test("a public key alone verifies", async () => {
    const { key } = client();
    const pair = generateKeyPairSync("ed25519");
    const bytes = pair.publicKey.export({ format: "der", type: "spki" });
    const made = await key.import("p-only", "ed25519", { format: "spki", bytes });
    assert.equal(made.public_only, true);
    await assert.rejects(key.sign("p-only", { message: "x" }), { code: "key_public_only" });
  });
});
