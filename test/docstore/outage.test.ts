/** The key service is killed while a store runs: what is in memory goes on for its time, everything else fails at once. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DocStore } from "../../docstore/doc-store.ts";
import { dekForms, docStoreErrorOf, type DekForm } from "../../docstore/dek-source.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { KeysteadConnectionError } from "../../sdk/connection-error.ts";
import { KeysteadCredentialError } from "../../sdk/credential-error.ts";
import { ROOT_KEY, temporaryFolder } from "../harness.ts";
import { LAUNCHER, startProcess } from "../server-process.ts";
import { filesBelow, isAnywhereBelow, refused } from "./store-harness.ts";

const CANARY = "canary-outage-31";

test("a token that a silent service does not renew is an outage, one that it refuses is not", () => {
  const codeOf = (cause: unknown): string =>
    docStoreErrorOf(new KeysteadCredentialError("credential_unavailable", "no token", cause)).code;
  assert.equal(codeOf(new KeysteadConnectionError("unreachable", "silent")), "key_service_unavailable");
  assert.equal(codeOf(new Error("no file")), "key_refused");
});

for (const form of dekForms) {
  test(`with ${form} keys, a killed key service stops cold projects at once and warm ones in their time`, async () => {
    const folder = temporaryFolder();
    const settings = {
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: join(folder, "service"),
      KEYSTEAD_EXPORT_ON_MAIN: "1",
    };
    const admin = initialise(settings);
    const running = await startProcess(settings);
    const url = `http://127.0.0.1:${running.port}`;
    const token = await storeToken(url, admin, form);
    const data = join(folder, "data");
    let now = 0;
    const client = new KeysteadClient({ url, token });
    const store = new DocStore({ data, client, form, cache: { now: () => now } });
    await store.put("warm", "c", "d", { secret: CANARY });
    await new DocStore({ data, client, form }).put("cold", "c", "d", { secret: CANARY });

    await running.end("SIGKILL");
    assert.deepEqual(await store.get("warm", "c", "d"), { secret: CANARY });
    await store.put("warm", "c", "e", { secret: CANARY });
    const files = filesBelow(data).length;
    const startedAt = performance.now();
    await assert.rejects(store.get("cold", "c", "d"), refused("key_service_unavailable"));
    await assert.rejects(store.put("cold", "c", "e", { secret: CANARY }), refused("key_service_unavailable"));
    await assert.rejects(store.put("new", "c", "d", { secret: CANARY }), refused("key_service_unavailable"));
    assert.ok(performance.now() - startedAt < 10_000, "it does not wait for an answer that will not come");
    assert.equal(filesBelow(data).length, files);
    assert.equal(existsSync(join(data, "projects", "new", "docs")), false);

    now += 899_999;
    assert.deepEqual(await store.get("warm", "c", "e"), { secret: CANARY });
    now += 1;
    await assert.rejects(store.get("warm", "c", "d"), refused("key_service_unavailable"));
    await assert.rejects(store.put("warm", "c", "f", { secret: CANARY }), refused("key_service_unavailable"));
    assert.deepEqual((await store.list("warm", "c")).names, ["d", "e"]);
    assert.equal(filesBelow(data).length, files);
    assert.equal(isAnywhereBelow(data, CANARY), false);
  });
}

/** The first account's token. */
function initialise(settings: Record<string, string>): string {
  const { status, stdout, stderr } = spawnSync(LAUNCHER, ["init"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...settings },
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

/** A token with the rights that the form needs, made through the API as an operator would. */
async function storeToken(url: string, admin: string, form: DekForm): Promise<string> {
  const client = new KeysteadClient({ url, token: admin });
  await client.account.create("docs", "service");
  await client.account.bind("docs", { role: form === "wrapped" ? "admin" : "exporter", project: "default" });
  return (await client.token.create("docs")).token;
}
