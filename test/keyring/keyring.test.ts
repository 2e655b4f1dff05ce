/** Keyrings over one database, as two nodes have them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CommitChange } from "../../src/audit/change.ts";
import { secretBytes } from "../../src/bytes.ts";
import { Providers } from "../../src/crypto/providers.ts";
import { KeyAliases } from "../../src/keyring/key-aliases.ts";
import { KeyStore } from "../../src/keyring/key-store.ts";
import { Keyring, VERSIONS_MAX } from "../../src/keyring/keyring.ts";
import type { Step } from "../../src/keyring/lifecycle.ts";
import { Barrier } from "../../src/seal/barrier.ts";
import { ServiceSecrets } from "../../src/seal/service-secrets.ts";
import { openSqlite } from "../../src/storage/sqlite.ts";
import type { Store } from "../../src/storage/store.ts";

const PROJECT = "p";

/** Keyrings that do not see each other's changes until what they remember is old. */
function nodes(store: Store): [Keyring, Keyring] {
  const barrier = new Barrier([{ version: 1, key: secretBytes(Buffer.alloc(32, 7)) }]);
  const secrets = new ServiceSecrets(store, barrier);
  const commit: CommitChange = (writes) => store.commit(writes);
  const node = (): Keyring =>
    new Keyring({
      keys: new KeyStore(store, barrier, undefined, new Providers()),
      aliases: new KeyAliases(store, barrier, secrets),
      exclusive: false,
      now: Date.now,
      commitOwnRotation: () => commit,
    });
  return [node(), node()];
}

async function withNodes(
  use: (a: Keyring, b: Keyring, commit: CommitChange) => Promise<void>,
): Promise<void> {
  const store = await openSqlite(":memory:", () => undefined);
  try {
    const row = {
      id: PROJECT,
      name: PROJECT,
      revision: 1,
      created_at: "",
      sealed: Buffer.alloc(1),
      due_at: null,
    };
    await store.commit([{ insert: "projects", row }]);
    await use(...nodes(store), (writes) => store.commit(writes));
  } finally {
    await store.close();
  }
}

describe("a keyring", () => {
  test("makes one version more where two nodes find a version's nonces used up", () =>
    withNodes(async (a, b, commit) => {
      const { id } = await a.create(PROJECT, { name: "k", type: "aes-256", exportable: false }, commit);
      const [spentOnA, spentOnB] = [await a.get(PROJECT, id), await b.get(PROJECT, id)];
      assert.equal((await a.rotateSpent(spentOnA)).versions.length, 2);
      assert.equal((await b.rotateSpent(spentOnB)).versions.length, 2);
    }));

  test("gives a key no more versions than a key has, whoever asks for one", () =>
    withNodes(async (keyring, _, commit) => {
      const made = await keyring.create(PROJECT, { name: "k", type: "aes-256", exportable: true }, commit);
      const filled: Step = (key) => ({
        ...key,
        revision: key.revision + 1,
        versions: Array.from({ length: VERSIONS_MAX }, (__, i) => ({ version: i + 1, createdAt: "" })),
      });
      const full = await keyring.change(PROJECT, made.id, filled, commit);
      const imported = { format: "raw", bytes: Buffer.alloc(32, 1) } as const;
      for (const more of [
        () => keyring.rotate(PROJECT, "k", commit),
        () => keyring.rotateSpent(full),
        () => keyring.importVersion(PROJECT, "k", imported, undefined, commit),
        () => keyring.update(PROJECT, "k", { exportable: false }, commit),
      ])
        await assert.rejects(more, { code: "limit_reached" });
      assert.equal((await keyring.get(PROJECT, "k")).revision, full.revision);
      assert.equal((await keyring.update(PROJECT, "k", { description: "x" }, commit)).description, "x");
    }));
});
