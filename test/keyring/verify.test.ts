import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { CommitChange } from "../../src/audit/change.ts";
import type { KeyType } from "../../src/crypto/catalogue.ts";
import type { Signed } from "../../src/crypto/signing-key.ts";
import {
  sign as signInput,
  verify as verifyInput,
  VERSIONS_TRIED_MAX,
  type Signature,
  type Verdict,
} from "../../src/keyring/signature-use.ts";
import { latestVersion, type Key } from "../../src/keyring/key.ts";
import type { Keyring } from "../../src/keyring/keyring.ts";
import { mac, verifyMac } from "../../src/keyring/mac-use.ts";
import { DEFAULT_PROJECT } from "../../src/identity/projects.ts";
import { serviceFor, startServer, type TestService } from "../harness.ts";

const signed: Signed = { message: Buffer.from("a message") };

const options = {};
const sign = async (keyring: Keyring, key: Key, what: Signed): Promise<Signature> =>
  signInput(keyring, key, { signed: what, options });
const verify = (
  keyring: Keyring,
  key: Key,
  what: Signed,
  signature: Uint8Array,
  version?: number,
): Promise<Verdict> => verifyInput(keyring, key, { signed: what, signature, options, version });

/** A key of as many versions. */
async function keyOf(
  service: TestService,
  name: string,
  type: KeyType,
  versions: number,
): Promise<{ keyring: Keyring; key: Key }> {
  const { auditor, keyring, projects } = service.keystead.services;
  const project = await projects.byName(DEFAULT_PROJECT);
  assert.ok(project);
  const commit: CommitChange = (writes, facts) =>
    auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
  let key = await keyring.create(project.id, { name, type, exportable: false }, commit);
  while (latestVersion(key) < versions) key = await keyring.rotate(project.id, name, commit);
  return { keyring, key };
}

/** A signing key of as many versions, and what its first one signed. */
async function signingKey(
  service: TestService,
  name: string,
  versions: number,
): Promise<{ keyring: Keyring; key: Key; signature: Uint8Array }> {
  const { keyring, key } = await keyOf(service, name, "ecdsa-p256", versions);
  const { signature } = await signInput(keyring, key, { signed, options }, 1);
  return { keyring, key, signature };
}

describe("a signature that names no version", () => {
  const service = serviceFor(() => startServer());

  test("is tried against the newest versions only; one that is older is named", async () => {
    const { keyring, key, signature } = await signingKey(service(), "many", VERSIONS_TRIED_MAX + 1);
    const latest = latestVersion(key);
    assert.deepEqual(await verify(keyring, key, signed, signature), { valid: false, version: latest });
    assert.deepEqual(await verify(keyring, key, signed, signature, 1), { valid: true, version: 1 });
    assert.deepEqual(await verify(keyring, key, signed, signature, 2), { valid: false, version: 2 });
    const ofLatest = await sign(keyring, key, signed);
    assert.deepEqual(await verify(keyring, key, signed, ofLatest.signature), {
      valid: true,
      version: latest,
    });
  });

  test("is found where the oldest of those that are tried made it", async () => {
    const { keyring, key, signature } = await signingKey(service(), "oldest", VERSIONS_TRIED_MAX);
    assert.deepEqual(await verify(keyring, key, signed, signature), { valid: true, version: 1 });
  });

  test("lets others have their turn between two versions", async () => {
    const { keyring, key, signature } = await signingKey(service(), "polite", VERSIONS_TRIED_MAX);
    // Once before: with every version at hand nothing waits for the database.
    await verify(keyring, key, signed, signature);
    const turns = await turnsDuring(() => verify(keyring, key, signed, signature));
    assert.ok(turns >= VERSIONS_TRIED_MAX - 2, `${turns} turns`);
  });
});

describe("a code that names no version", () => {
  const service = serviceFor(() => startServer());

  test("lets others have their turn between two versions, also where many are asked for at once", async () => {
    const { keyring, key } = await keyOf(service(), "mac", "hmac-512", VERSIONS_TRIED_MAX);
    const message = Buffer.alloc(512 * 1024);
    const good = await mac(keyring, key, { message }, 1);
    const asked = { message, mac: good.mac, version: undefined };
    assert.deepEqual(await verifyMac(keyring, key, asked), { valid: true, version: 1 });
    const wrong = { message, mac: Buffer.alloc(64), version: undefined };
    let verdicts: Verdict[] = [];
    const turns = await turnsDuring(async () => {
      verdicts = await Promise.all(Array.from({ length: 6 }, () => verifyMac(keyring, key, wrong)));
    });
    assert.deepEqual(new Set(verdicts.map(({ valid }) => valid)), new Set([false]));
    // A turn for each version would hold all six at once: no more than a few go into one.
    assert.ok(turns >= VERSIONS_TRIED_MAX + 4, `${turns} turns`);
  });
});

/** How often the event loop turned meanwhile. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let working = true;
  const takeTurn = (): void => {
    turns++;
    if (working) setImmediate(takeTurn);
  };
  setImmediate(takeTurn);
  await work();
  working = false;
  return turns;
}
