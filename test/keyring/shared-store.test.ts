/** Two nodes that use and change one key. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommitChange } from "../../src/audit/change.ts";
import { disabling } from "../../src/keyring/lifecycle.ts";
import { twoNodes } from "../jobs/nodes.ts";

test("what another node changed while a change here waited for its audit entry counts at once", async () => {
  await using running = await twoNodes([Date.now, Date.now]);
  const [one, two] = running.nodes;
  const project = await one.services.projects.create("p", one.commit);
  const key = { name: "k", type: "xaes-256", exportable: false } as const;
  await one.services.keyring.create(project.id, key, one.commit);
  // The database has committed; the flush of the log takes its time.
  const slow: CommitChange = async (writes, facts) => {
    await one.commit(writes, facts);
    await two.services.keyring.change(project.id, "k", disabling(undefined), two.commit);
  };
  await one.services.keyring.rotate(project.id, "k", slow);
  assert.equal((await one.services.keyring.get(project.id, "k")).state, "disabled");
});
