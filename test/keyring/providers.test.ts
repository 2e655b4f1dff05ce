/** Keys of a provider whose material never leaves it, through the service: the provider of docs/provider.md. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import { softwareProvider } from "../../src/crypto/software-provider.ts";
import { KeysteadError, type ErrorCode } from "../../src/errors.ts";
import { openProviders } from "../../src/provider-modules.ts";
import { StartRefused } from "../../src/start-refused.ts";
import { ROOT_KEY, startDev, temporaryFolder, type Answer, type TestService } from "../harness.ts";
import { sealedFiles } from "../sealed-files.ts";

const DAY_MS = 86_400_000;

describe("a key that its provider keeps", () => {
  const sample = sealedFiles();
  const dataPath = temporaryFolder();
  const settings = {
    KEYSTEAD_PROVIDERS: sample.file,
    KEYSTEAD_DATA_PATH: dataPath,
    KEYSTEAD_ROOT_KEY: ROOT_KEY,
  };
  let nowMs = Date.now();
  const start = (more: Record<string, string> = {}): Promise<TestService> =>
    startDev({ ...settings, ...more }, { now: () => nowMs });
  const caller =
    (service: TestService) =>
    (method: string, path: string, body?: object): Promise<Answer> =>
      service.request(method, path, body);
  const created = (service: TestService, body: object): Promise<Answer> =>
    caller(service)("POST", "/v1/keys", body);

  test("is made, used, rotated, found again after a restart, and destroyed there with its versions", async () => {
    const before = sample.keys().length;
    let ciphertext = "";
    {
      await using service = await start();
      const call = caller(service);
      const made = await created(service, { name: "kept", type: "aes-256", provider: "sealed-files" });
      assert.equal(made.status, 201, made.text);
      assert.deepEqual([made.json["provider"], made.json["exportable"]], ["sealed-files", false]);
      const sealed = await call("POST", "/v1/encrypt/kept", { plaintext: "x", aad: "y" });
      ciphertext = String(sealed.json["ciphertext"]);
      assert.equal((await call("POST", "/v1/keys/kept/rotate", {})).json["provider"], "sealed-files");
      assert.equal(sample.keys().length, before + 2);
      const items = Array.from({ length: 50 }, () => ({ plaintext: "x" }));
      const batch = await call("POST", "/v1/keys/kept/encrypt/batch", { items });
      assert.equal(batch.json["failed"], 0, batch.text);
    }
    await using service = await start();
    const call = caller(service);
    const opened = await call("POST", "/v1/decrypt/kept", { ciphertext, aad: "y" });
    assert.deepEqual([opened.json["plaintext"], opened.json["version"]], ["x", 1], opened.text);
    assert.equal(
      (await call("POST", "/v1/decrypt/kept", { ciphertext, aad: "z" })).json["code"],
      "decryption_failed",
    );
    await call("POST", "/v1/keys/kept/schedule-deletion", { days: 7 });
    nowMs += 8 * DAY_MS;
    // What is due may be destroyed already: it does not come back.
    assert.equal((await call("POST", "/v1/keys/kept/cancel-deletion", {})).json["code"], "conflict");
    await service.keystead.runJobs();
    assert.equal(sample.keys().length, before);
    assert.equal((await call("GET", "/v1/keys/kept")).json["code"], "key_not_found");
  });

  test("signs, makes codes, agrees and decrypts as others do", async () => {
    await using service = await start({ KEYSTEAD_PROVIDER: "sealed-files" });
    const call = caller(service);
    const make = async (name: string, type: string, purpose?: string): Promise<void> => {
      const made = await created(service, { name, type, purpose });
      assert.deepEqual([made.status, made.json["provider"]], [201, "sealed-files"], made.text);
    };
    await make("s", "ed25519");
    const { signature_b64 } = (await call("POST", "/v1/keys/s/sign", { message: "x" })).json;
    const verified = await call("POST", "/v1/keys/s/verify", { message: "x", signature_b64 });
    assert.equal(verified.json["valid"], true);
    await make("m", "hmac-256");
    const { mac_b64 } = (await call("POST", "/v1/keys/m/mac", { message: "x" })).json;
    assert.equal(
      (await call("POST", "/v1/keys/m/verify-mac", { message: "x", mac_b64 })).json["valid"],
      true,
    );
    await make("r", "rsa-2048", "encrypt");
    const { ciphertext } = (await call("POST", "/v1/encrypt/r", { plaintext: "x" })).json;
    assert.equal((await call("POST", "/v1/decrypt/r", { ciphertext })).json["plaintext"], "x");
    const leaf = { type: "hmac-256", exportable: true, name: "leaf", provider: "software" };
    assert.equal((await created(service, leaf)).status, 201);
    await make("a", "x25519");
    const peer = await call("GET", "/v1/keys/a/public-key");
    const { x } = peer.json["jwk"] as { x: string };
    const agreed = await call("POST", "/v1/keys/a/agree", {
      peer_public_key_b64: Buffer.from(x, "base64url").toString("base64"),
    });
    assert.equal(agreed.status, 200, agreed.text);
  });

  test("is not exportable, and what the provider has not or takes not is refused with its field", async () => {
    await using service = await start();
    const before = sample.keys().length;
    const provider = "sealed-files";
    for (const [body, field] of [
      [{ name: "n", type: "aes-256", provider, exportable: true }, "exportable"],
      [{ name: "n", type: "xaes-256", provider }, "type"],
      [{ name: "n", type: "aes-256", provider: "absent" }, "provider"],
      [{ name: "n", type: "aes-256", provider: "No Name" }, "provider"],
    ] as const) {
      const refused = await created(service, body);
      assert.deepEqual([refused.status, refused.json["code"]], [400, "invalid_body"], refused.text);
      assert.equal(refused.json["field"], field);
    }
    const call = caller(service);
    const key = { type: "x25519", format: "jwk", jwk: { kty: "OKP", crv: "X25519" }, provider };
    const refused = await call("POST", "/v1/keys/n/import", key);
    assert.deepEqual([refused.json["code"], refused.json["field"]], ["invalid_body", "provider"]);
    assert.equal(sample.keys().length, before);
    // A name that is taken leaves nothing behind either.
    const body = { name: "twice", type: "aes-256", provider };
    assert.equal((await created(service, body)).status, 201);
    assert.equal((await created(service, body)).json["code"], "key_exists");
    assert.equal(sample.keys().length, before + 1);
  });

  test("is taken back by its provider where it was certainly not stored, and left there where nobody knows", async () => {
    await using service = await start();
    const { auditor, keyring, projects } = service.keystead.services;
    const { id: project } = (await projects.byName("default")) ?? { id: "" };
    const commit: CommitChange = (writes, facts) =>
      auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
    const failing =
      (code: ErrorCode): CommitChange =>
      () =>
        Promise.reject(new KeysteadError(code));
    const spec = { name: "n", type: "ed25519", provider: "sealed-files", exportable: false } as const;
    const key = generateKeyPairSync("ed25519");
    const imported = {
      format: "spki",
      bytes: key.publicKey.export({ format: "der", type: "spki" }),
    } as const;
    const whole = {
      format: "pkcs8",
      bytes: key.privateKey.export({ format: "der", type: "pkcs8" }),
    } as const;
    await keyring.create(project, { ...spec, name: "public", imported }, commit);
    const before = sample.keys().length;
    await assert.rejects(keyring.create(project, spec, failing("conflict")), { code: "conflict" });
    await assert.rejects(keyring.importVersion(project, "public", whole, undefined, commit), {
      code: "invalid_key_material",
    });
    assert.equal(sample.keys().length, before);
    const code = "audit_unavailable";
    await assert.rejects(keyring.create(project, spec, failing(code)), { code });
    assert.equal(sample.keys().length, before + 1);
  });

  test("answers provider_unavailable where its provider is not there, and the others go on", async () => {
    {
      await using service = await start();
      assert.equal((await created(service, { name: "away", provider: "sealed-files" })).status, 201);
      assert.equal((await created(service, { name: "here" })).json["provider"], "software");
    }
    await using service = await start({ KEYSTEAD_PROVIDERS: "" });
    const call = caller(service);
    const away = await call("POST", "/v1/encrypt/away", { plaintext: "x" });
    assert.deepEqual([away.status, away.json["code"]], [503, "provider_unavailable"]);
    assert.equal((await call("GET", "/v1/keys/away")).json["provider"], "sealed-files");
    await call("PATCH", "/v1/keys/here", { exportable: false });
    assert.equal((await call("POST", "/v1/encrypt/here", { plaintext: "x" })).status, 200);
    // Its destruction waits for the provider.
    await call("POST", "/v1/keys/away/schedule-deletion", { days: 7 });
    nowMs += 8 * DAY_MS;
    await service.keystead.runJobs();
    assert.equal((await call("GET", "/v1/keys/away")).json["state"], "pending_deletion");
  });
});

describe("a start", () => {
  const refusal = async (file: string, provider = "software"): Promise<string> => {
    try {
      await openProviders([file], provider);
    } catch (error) {
      assert.ok(error instanceof StartRefused, String(error));
      assert.doesNotMatch(error.message, /\n/);
      return error.message;
    }
    return assert.fail("the start was not refused");
  };
  const provider = (name: string): string =>
    `export default ({ software }) => ({ ...software, name: "${name}" });\n`;
  const fileOf = (text: string): string => {
    const file = join(temporaryFolder(), "provider.mjs");
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };

  test("is refused with one line where a provider's file is missing, broken, or gives none", async () => {
    assert.match(await refusal("/absent/provider.mjs"), /cannot be read/);
    assert.match(await refusal(temporaryFolder()), /is not a file/);
    assert.match(await refusal(fileOf("export const x = 1;\n")), /default export/);
    assert.match(await refusal(fileOf("throw new Error('no\\nway');\n")), /is not used: no$/);
    assert.match(await refusal(fileOf("export default () => ({});\n")), /name/);
    assert.match(await refusal(fileOf(provider("software"))), /same name/);
    assert.match(await refusal(fileOf(provider("one")), "two"), /KEYSTEAD_PROVIDER .*\(software, one\)/);
    await assert.rejects(startDev({ KEYSTEAD_PROVIDER: "absent" }), /KEYSTEAD_PROVIDER/);
  });

  test("that is refused closes the providers that were there already", async () => {
    let closed = 0;
    const close = (): void => {
      closed++;
    };
    const first = { ...softwareProvider, name: "first", close };
    await assert.rejects(openProviders(["/absent/provider.mjs"], "first", [first]), /cannot be read/);
    assert.equal(closed, 1);
  });

  test("loads no file that others may have written: by its mode, its folder's, or by a link from such a folder", async () => {
    const file = fileOf(provider("one"));
    assert.equal((await openProviders([file], "one")).defaultName, "one");
    for (const mode of [0o620, 0o602, 0o666]) {
      chmodSync(file, mode);
      assert.match(await refusal(file), /can be written by others/);
    }
    chmodSync(file, 0o644);
    const open = join(temporaryFolder(), "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const inOpen = join(open, "provider.mjs");
    writeFileSync(inOpen, provider("one"), { mode: 0o600 });
    assert.match(await refusal(inOpen), /folder that others may write to/);
    const link = join(open, "link.mjs");
    symlinkSync(file, link);
    assert.match(await refusal(link), /folder that others may write to/);
    // Where others may add files, and neither rename nor remove ours, it is ours alone.
    chmodSync(open, 0o1777);
    assert.equal((await openProviders([inOpen], "one")).defaultName, "one");
  });
});
