/** How long an issuer's keys are used, and how often it is asked: with a clock that the test moves, and a real server. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { candidates, parseKeySet, type IssuerKey } from "../../src/identity/issuer-key.ts";
import { IssuerKeys } from "../../src/identity/issuer-keys.ts";
import type { Issuer, KeySource } from "../../src/identity/issuer.ts";
import { makeSigningKey, startIssuer, type SigningKey, type TestIssuer } from "./test-issuer.ts";

const MINUTE = 60_000;

describe("the keys of an issuer", () => {
  let first: SigningKey;
  let second: SigningKey;
  let server: TestIssuer;
  let clock = 0;
  let failures: string[] = [];
  let keys: IssuerKeys;
  before(async () => {
    [first, second] = [await makeSigningKey("ES256", "k1"), await makeSigningKey("ES256", "k2")];
    server = await startIssuer([first]);
  });
  after(() => server.close());
  beforeEach(() => {
    clock = 0;
    failures = [];
    server.keys = [first.jwk];
    server.answer = undefined;
    server.asked.length = 0;
    keys = new IssuerKeys({
      plainLoopback: true,
      monotonicMs: () => clock,
      onFailure: (_, reason) => failures.push(reason),
      answerMsMax: 300,
    });
  });

  const issuer = (
    keySource: KeySource = { from: "url", url: `${server.url}/keys` },
    revision = 1,
  ): Issuer => ({
    ...{
      id: "i",
      revision,
      name: "main",
      issuer: server.url,
      createdAt: "",
      enabled: true,
      audiences: ["a"],
    },
    ...{ algorithms: ["ES256"], subjectClaim: "sub", lifetimeSecondsMax: 60, rules: [], keySource },
  });
  const kids = async (found: readonly IssuerKey[] | Promise<readonly IssuerKey[]>): Promise<unknown[]> =>
    (await found).map(({ kid }) => kid);
  const down = (): void => {
    server.answer = (_, response) => response.writeHead(500).end();
  };

  test("are fetched once for many who ask at once, and remembered", async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => kids(keys.current(issuer()))));
    assert.ok(all.every(([kid]) => kid === "k1"));
    assert.deepEqual(server.asked, ["/keys"]);
    assert.ok(!(keys.current(issuer()) instanceof Promise));
  });

  test("are found through the issuer's configuration, which has to be its own", async () => {
    assert.deepEqual(await kids(keys.current(issuer({ from: "discovery" }))), ["k1"]);
    assert.deepEqual(server.asked, ["/.well-known/openid-configuration", "/keys"]);
    const other = { ...issuer({ from: "discovery" }), id: "other", issuer: `${server.url}/` };
    assert.deepEqual(await kids(keys.current(other)), []);
    assert.deepEqual(failures, ["its configuration is another issuer's"]);
  });

  test("that were withdrawn are gone within five minutes, and new ones are there", async () => {
    await keys.current(issuer());
    server.keys = [second.jwk];
    clock = 4 * MINUTE;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
    clock = 5 * MINUTE + 1;
    assert.deepEqual(await kids(keys.current(issuer())), ["k2"]);
  });

  test("are fetched anew before their time is over, while they are still used", async () => {
    await keys.current(issuer());
    server.keys = [second.jwk];
    clock = 4 * MINUTE + 1;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
    // The same fetch under way.
    assert.deepEqual(await kids(keys.afterMiss(issuer())), ["k2"]);
    assert.equal(server.asked.length, 2);
  });

  test("are asked for after an unknown one, but every 30 seconds at most", async () => {
    await keys.current(issuer());
    server.keys = [first.jwk, second.jwk];
    clock = 29_999;
    for (let i = 0; i < 20; i++) assert.deepEqual(await kids(keys.afterMiss(issuer())), ["k1"]);
    assert.equal(server.asked.length, 1);
    clock = 30_000;
    const all = await Promise.all(Array.from({ length: 20 }, () => kids(keys.afterMiss(issuer()))));
    assert.ok(all.every((found) => found.length === 2));
    assert.equal(server.asked.length, 2);
  });

  test("are used for an hour where the issuer is down, without waiting for it, and then not at all", async () => {
    await keys.current(issuer());
    down();
    clock = 6 * MINUTE;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
    clock = 7 * MINUTE;
    assert.ok(!(keys.current(issuer()) instanceof Promise));
    await keys.afterMiss(issuer());
    clock = 60 * MINUTE;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
    await keys.afterMiss(issuer());
    clock = 60 * MINUTE + 30_001;
    assert.deepEqual(await kids(keys.current(issuer())), []);
    assert.ok(failures.length > 2 && failures.every((reason) => reason === "it did not answer with 200"));
    server.answer = undefined;
    clock += 30_000;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
  });

  test("of an issuer that never answered are asked for every 30 seconds at most", async () => {
    down();
    for (let i = 0; i < 10; i++) assert.deepEqual(await kids(keys.current(issuer())), []);
    assert.equal(server.asked.length, 1);
    server.answer = undefined;
    clock = 30_000;
    assert.deepEqual(await kids(keys.current(issuer())), ["k1"]);
  });

  test("come from an issuer's new settings at once", async () => {
    await keys.current(issuer());
    server.keys = [second.jwk];
    assert.deepEqual(await kids(keys.current(issuer({ from: "discovery" }, 2))), ["k2"]);
  });

  test("are used on where something else of the issuer was changed while it is down", async () => {
    await keys.current(issuer());
    await keys.current({ ...issuer(), id: "kept" });
    down();
    assert.deepEqual(await kids(keys.current({ ...issuer(undefined, 2), audiences: ["b"] })), ["k1"]);
    for (let i = 0; i < 99; i++) await keys.current({ ...issuer(), id: `more-${i}` });
    assert.deepEqual(await kids(keys.current({ ...issuer(undefined, 3), id: "kept" })), ["k1"]);
    assert.deepEqual(await kids(keys.current(issuer())), [], "the oldest of too many went, and no other");
  });

  const bad: [string, string, NonNullable<TestIssuer["answer"]>][] = [
    ["slow", "it did not answer in time", () => undefined],
    [
      "endless",
      "it did not answer in time",
      (_, response) => {
        response.writeHead(200).write("{");
      },
    ],
    [
      "huge",
      "its answer is too large",
      (_, response) => response.end(JSON.stringify({ keys: [], more: "x".repeat(300 * 1024) })),
    ],
    [
      "redirecting",
      "it did not answer with 200",
      (_, response) => response.writeHead(302, { location: "/" }).end(),
    ],
    ["HTML", "its answer is not JSON", (_, response) => response.end("<html>")],
    ["no set", "its answer is no key set", (_, response) => response.end("[]")],
    [
      "of too many keys",
      "its answer is no key set",
      (_, response) => response.end(JSON.stringify({ keys: Array.from({ length: 101 }, () => ({})) })),
    ],
    ["without a key", "its key set has no key for signatures", (_, response) => response.end('{"keys":[]}')],
  ];
  for (const [what, reason, answer] of bad) {
    test(`are none where the answer is ${what}`, async () => {
      server.answer = answer;
      assert.deepEqual(await kids(keys.current(issuer())), []);
      assert.deepEqual(failures, [reason]);
    });
  }

  test("are not asked for without TLS where that is not allowed", async () => {
    const strict = new IssuerKeys({
      plainLoopback: false,
      monotonicMs: () => clock,
      onFailure: (_, reason) => failures.push(reason),
    });
    assert.deepEqual(await kids(strict.current(issuer())), []);
    assert.deepEqual(failures, ["its address is not https"]);
    assert.deepEqual(server.asked, []);
  });

  test("that are private, shared, for other uses or oversized are passed over", async () => {
    const rsa = (await makeSigningKey("RS256", "r")).jwk;
    const sets: [object, number][] = [
      [first.jwk, 1],
      [{ ...first.jwk, d: "x" }, 0],
      [{ kty: "oct", k: "c2VjcmV0" }, 0],
      [{ ...first.jwk, use: "enc" }, 0],
      [{ ...first.jwk, key_ops: ["sign"] }, 0],
      [{ ...first.jwk, key_ops: ["verify"] }, 1],
      [{ ...first.jwk, crv: "secp256k1" }, 0],
      [{ ...first.jwk, kty: "constructor" }, 0],
      [{ ...first.jwk, kid: 7 }, 0],
      [rsa, 1],
      [{ ...rsa, n: String(rsa.n).slice(0, 171) }, 0],
      [{ ...rsa, n: "A".repeat(2000) }, 0],
      [{ ...rsa, e: "A".repeat(40) }, 0],
    ];
    for (const [jwk, expected] of sets)
      assert.equal(parseKeySet({ keys: [jwk] })?.length, expected, JSON.stringify(jwk));
  });

  test("verify algorithms that fit them, and one name that two of them bear leads to both", () => {
    const set = parseKeySet({
      keys: [first.jwk, { ...second.jwk, kid: "k1" }, { ...second.jwk, alg: "ES256" }],
    });
    assert.ok(set);
    assert.equal(candidates(set, "ES256", "k1").length, 2);
    assert.equal(candidates(set, "ES256", "k2").length, 1);
    assert.equal(candidates(set, "ES256", undefined).length, 3);
    for (const algorithm of ["ES384", "RS256", "EdDSA"] as const)
      assert.equal(candidates(set, algorithm, undefined).length, 0);
    const limited = parseKeySet({ keys: [{ ...first.jwk, alg: "ES384" }] });
    assert.equal(candidates(limited ?? [], "ES256", "k1").length, 0);
  });
});
