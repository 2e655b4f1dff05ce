/** Two whole services on one PostgreSQL database: what is changed on one holds on the other. */
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { describe, test } from "node:test";
import { GRACE_MS } from "../../src/jobs/barrier-rewrap.ts";
import { onPostgres, startServer, type Answer, type TestService } from "../harness.ts";
import { newDatabase, query } from "../postgres.ts";

/** The published bound. */
const HELD_MS = 1000;

interface Both {
  readonly one: TestService;
  readonly two: TestService;
  readonly url: string;
  readonly admin: string;
  [Symbol.asyncDispose](): Promise<void>;
}

async function both(now: () => number = Date.now): Promise<Both> {
  const url = await newDatabase();
  const settings = { ...(await onPostgres()), KEYSTEAD_DATABASE_URL: url };
  const one = await startServer({ ...settings, KEYSTEAD_NODE: "one" }, { now });
  const two = await startServer({ ...settings, KEYSTEAD_NODE: "two" }, { now });
  return {
    one,
    two,
    url,
    admin: await one.token("admin", { project: "*" }),
    async [Symbol.asyncDispose]() {
      await Promise.all([one.close(), two.close()]);
    },
  };
}

async function must(answering: Promise<Answer>): Promise<Record<string, unknown>> {
  const answer = await answering;
  assert.ok(answer.status < 300, answer.text);
  return answer.json;
}

describe("two nodes on one database", { skip: !("bun" in process.versions) }, () => {
  test("a revoked token, a disabled account, a lost role and a disabled key are refused on the other within a second", async () => {
    await using nodes = await both();
    const { one, two, admin } = nodes;
    const asAdmin = (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> =>
      must(one.request(method, path, body, { token: admin }));
    for (const name of ["k", "disabled"]) await asAdmin("POST", "/v1/keys", { name });
    // Accounts test-2 to test-4.
    const tokens = [await one.token("operator"), await one.token("operator"), await one.token("operator")];
    const [{ id: tokenId }] = (await asAdmin("GET", "/v1/accounts/test-2/tokens"))["tokens"] as [
      { id: string },
    ];
    const [{ id: binding }] = (await asAdmin("GET", "/v1/accounts/test-4"))["bindings"] as [{ id: string }];
    const uses = (): Promise<Answer[]> =>
      Promise.all([
        ...tokens.map((token) => two.request("POST", "/v1/encrypt/k", { plaintext: "x" }, { token })),
        two.request("POST", "/v1/encrypt/disabled", { plaintext: "x" }, { token: admin }),
      ]);
    assert.deepEqual(
      (await uses()).map(({ status }) => status),
      [200, 200, 200, 200],
    );
    await asAdmin("DELETE", `/v1/accounts/test-2/tokens/${tokenId}`);
    await asAdmin("POST", "/v1/accounts/test-3/disable", {});
    await asAdmin("DELETE", `/v1/accounts/test-4/bindings/${binding}`);
    await asAdmin("POST", "/v1/keys/disabled/disable", {});
    await wait(HELD_MS);
    assert.deepEqual(
      (await uses()).map(({ json }) => json["code"]),
      ["unauthenticated", "unauthenticated", "project_not_found", "key_disabled"],
    );
  });

  test("a key rotated on both at once has two versions more, which both nodes open", async () => {
    await using nodes = await both();
    const { one, two, url, admin: token } = nodes;
    await must(one.request("POST", "/v1/keys", { name: "k" }, { token }));
    await must(two.request("GET", "/v1/keys/k", undefined, { token }));
    const rotated = await Promise.all(
      [one, two].map((node) => must(node.request("POST", "/v1/keys/k/rotate", {}, { token }))),
    );
    assert.deepEqual(rotated.map((key) => key["latest_version"]).sort(), [2, 3]);
    assert.deepEqual(await query(url, "select version::int4 as version from key_versions order by 1"), [
      { version: 1 },
      { version: 2 },
      { version: 3 },
    ]);
    await wait(HELD_MS);
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      for (const version of [2, 3]) {
        const sent = { plaintext: "x", version };
        const { ciphertext } = await must(from.request("POST", "/v1/encrypt/k", sent, { token }));
        const opened = await must(to.request("POST", "/v1/decrypt/k", { ciphertext }, { token }));
        assert.equal(opened["plaintext"], "x");
      }
    }
  });

  test("a change under an idempotency key is made once, whichever nodes are asked, one after the other or at once", async () => {
    await using nodes = await both();
    const { one, two, url, admin: token } = nodes;
    const make = (node: TestService, name: string, key: string): Promise<Answer> =>
      node.request("POST", "/v1/keys", { name }, { token, headers: { "idempotency-key": key } });
    const made = await must(make(one, "k", "first"));
    assert.equal((await must(make(two, "k", "first")))["id"], made["id"]);
    assert.equal((await make(two, "other", "first")).json["code"], "idempotency_mismatch");
    for (let round = 0; round < 5; round++) {
      const name = `raced-${round}`;
      const raced = await Promise.all([one, two, one, two].map((node) => make(node, name, name)));
      const ids = new Set(raced.filter(({ status }) => status === 201).map(({ json }) => json["id"]));
      assert.equal(ids.size, 1, raced.map(({ text }) => text).join("\n"));
      const again = await Promise.all([one, two].map((node) => must(make(node, name, name))));
      for (const { id } of again) assert.ok(ids.has(id));
    }
    assert.equal((await query(url, "select 1 from keys")).length, 6);
  });

  test("a new barrier key is understood by the other at once, and the old one goes when neither needs it", async () => {
    let nowMs = Date.now();
    await using nodes = await both(() => nowMs);
    const { one, two, url, admin: token } = nodes;
    const secret = async (node: TestService, name: string): Promise<unknown> =>
      (await must(node.request("GET", `/v1/secrets/${name}`, undefined, { token })))["value"];
    const write = (node: TestService, name: string): Promise<unknown> =>
      must(node.request("POST", "/v1/secrets", { name, value: name }, { token }));
    const versions = async (): Promise<unknown> =>
      (await query(url, "select version::int4 as v from barrier_keys order by 1")).map(({ v }) => v);
    await write(one, "before");
    await must(one.request("POST", "/v1/barrier/rotate", {}, { token }));
    await write(one, "after");
    assert.equal(await secret(two, "after"), "after");
    assert.equal(await secret(two, "before"), "before");
    await wait(HELD_MS);
    await write(two, "from-two");
    const sealed = await query(url, "select sealed from secret_versions order by created_at desc");
    assert.equal((sealed[0]!["sealed"] as Buffer).readUInt32BE(1), 2, "it seals with the new one");

    // One of them has the lease.
    for (const node of [one, two]) await node.keystead.runJobs();
    const left = await query(url, "select records_left::int4 as n from barrier_keys where version = 1");
    assert.deepEqual(left, [{ n: 0 }]);
    nowMs += GRACE_MS;
    for (const node of [one, two]) await node.keystead.runJobs();
    nowMs += GRACE_MS;
    for (const node of [one, two]) await node.keystead.runJobs();
    assert.deepEqual(await versions(), [2]);
    await wait(HELD_MS);
    for (const node of [one, two]) {
      for (const name of ["before", "after", "from-two"]) assert.equal(await secret(node, name), name);
      const status = await must(node.request("GET", "/v1/barrier", undefined, { token }));
      assert.equal((status["keys"] as unknown[]).length, 1);
    }
    const both2 = await Promise.all(
      [one, two].map((node) => must(node.request("POST", "/v1/barrier/rotate", {}, { token }))),
    );
    assert.equal(Math.max(...both2.map(({ version }) => Number(version))), 4);
    assert.deepEqual(await versions(), [2, 3, 4]);
  });
});
