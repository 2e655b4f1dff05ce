/** Tries, servers and tokens, against servers that fail as they are told to. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { KeysteadClient, type KeysteadClientOptions } from "../../sdk/client.ts";
import { backoffMs, retryAfterSeconds } from "../../sdk/retry.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";

type Answer = (response: ServerResponse, request: IncomingMessage, count: number) => void;

const ok: Answer = (response) => response.end('{"kind":"person","caller":"a","bindings":[]}');
const status =
  (code: number, name = "busy", headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end(JSON.stringify({ code: name, title: "no" }));
const cut: Answer = (response) => response.destroy();
const silent: Answer = () => undefined;

/** Answers in turn; the last one for good. */
async function servers(
  plans: readonly (readonly Answer[])[],
  run: (urls: string[], asked: IncomingMessage[][]) => Promise<void>,
): Promise<void> {
  const asked: IncomingMessage[][] = plans.map(() => []);
  const started = await Promise.all(
    plans.map(async (plan, i) => {
      const server = createServer((request, response) => {
        request.resume();
        const count = asked[i]!.push(request);
        plan[Math.min(count, plan.length) - 1]!(response, request, count);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  try {
    const urls = started.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await run(urls, asked);
  } finally {
    for (const server of started) {
      server.closeAllConnections();
      server.close();
    }
  }
}

async function against(
  plan: readonly Answer[],
  options: KeysteadClientOptions,
  run: (client: KeysteadClient, asked: IncomingMessage[]) => Promise<void>,
): Promise<void> {
  await servers([plan], ([url], [asked]) => run(new KeysteadClient({ url, ...options }), asked!));
}

const keysOf = (asked: readonly IncomingMessage[]): unknown[] =>
  asked.map(({ headers }) => headers["idempotency-key"]);

describe("tries", () => {
  for (const [what, failure] of Object.entries({
    "429": status(429, "rate_limited"),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "a cut connection": cut,
  })) {
    test(`are repeated after ${what}, and no more often than allowed`, async () => {
      await against([failure, failure, ok], {}, async (client, asked) => {
        assert.equal((await client.whoami()).caller, "a");
        assert.equal(asked.length, 3);
      });
      await against([failure], { retriesMax: 1 }, async (client, asked) => {
        await assert.rejects(client.whoami());
        assert.equal(asked.length, 2);
      });
      await against([failure], { retriesMax: 0 }, async (client, asked) => {
        await assert.rejects(client.whoami());
        assert.equal(asked.length, 1);
      });
    });
  }

  test("are not repeated where the answer would be the same", async () => {
    for (const code of [400, 401, 403, 404, 409, 413, 500]) {
      await against([status(code, "conflict")], { token: "kst_x" }, async (client, asked) => {
        await assert.rejects(client.whoami(), { status: code });
        assert.equal(asked.length, 1, String(code));
      });
    }
  });

  test("of a change carry one idempotency key, which each change has for itself", async () => {
    await against([cut, status(503), status(409, "idempotency_pending"), ok], {}, async (client, asked) => {
      await client.key.rotate("k");
      await client.key.rotate("k");
      const keys = keysOf(asked);
      assert.match(String(keys[0]), /^[0-9a-f-]{36}$/);
      assert.equal(new Set(keys.slice(0, 4)).size, 1);
      assert.notEqual(keys[4], keys[0]);
      await client.key.rotate("k", { idempotencyKey: "mine" });
      assert.equal(keysOf(asked)[5], "mine");
    });
  });

  test("every operation that changes something is sent with an idempotency key, and no other", async () => {
    const byte = new Uint8Array(1);
    const signed = { message: "m" };
    const calls: Record<string, (client: KeysteadClient) => Promise<unknown>> = {
      "key.create": ({ key }) => key.create("k"),
      "key.import": ({ key }) => key.import("k", "aes-256", { format: "raw", bytes: byte }),
      "key.list": ({ key }) => key.list(),
      "key.get": ({ key }) => key.get("k"),
      "key.update": ({ key }) => key.update("k", {}),
      "key.rotate": ({ key }) => key.rotate("k"),
      "key.enable": ({ key }) => key.enable("k"),
      "key.disable": ({ key }) => key.disable("k"),
      "key.revoke": ({ key }) => key.revoke("k"),
      "key.schedule_deletion": ({ key }) => key.scheduleDeletion("k"),
      "key.cancel_deletion": ({ key }) => key.cancelDeletion("k"),
      "key.public": ({ key }) => key.public("k"),
      "key.export": ({ key }) => key.export("k"),
      "key.encrypt": ({ key }) => key.encrypt("k", "a"),
      "key.decrypt": ({ key }) => key.decrypt("k", byte),
      "key.reencrypt": ({ key }) => key.reencrypt("k", byte),
      "key.generate_data_key": ({ key }) => key.generateDataKey("k"),
      "key.generate_wrapped_data_key": ({ key }) => key.generateWrappedDataKey("k"),
      "key.sign": ({ key }) => key.sign("k", signed),
      "key.verify": ({ key }) => key.verify("k", signed, byte),
      "key.mac": ({ key }) => key.mac("k", "m"),
      "key.verify_mac": ({ key }) => key.verifyMac("k", "m", byte),
      "key.agree": ({ key }) => key.agree("k", byte),
      "key.encapsulate": ({ key }) => key.encapsulate("k"),
      "key.decapsulate": ({ key }) => key.decapsulate("k", byte),
      "key.encrypt_batch": ({ key }) => key.encryptBatch("k", []),
      "key.decrypt_batch": ({ key }) => key.decryptBatch("k", []),
      "key.reencrypt_batch": ({ key }) => key.reencryptBatch("k", []),
      "key.sign_batch": ({ key }) => key.signBatch("k", []),
      "key.verify_batch": ({ key }) => key.verifyBatch("k", []),
      "key.mac_batch": ({ key }) => key.macBatch("k", []),
      "key.verify_mac_batch": ({ key }) => key.verifyMacBatch("k", []),
      "secret.put": ({ secret }) => secret.put("k", "a"),
      "secret.get": ({ secret }) => secret.get("k"),
      "secret.list": ({ secret }) => secret.list(),
      "secret.delete": ({ secret }) => secret.delete("k"),
      "project.create": ({ project }) => project.create("k"),
      "project.list": ({ project }) => project.list(),
      "project.schedule_deletion": ({ project }) => project.scheduleDeletion("k"),
      "project.cancel_deletion": ({ project }) => project.cancelDeletion("k"),
      "account.create": ({ account }) => account.create("k", "service"),
      "account.list": ({ account }) => account.list(),
      "account.get": ({ account }) => account.get("k"),
      "account.bind": ({ account }) => account.bind("k", { role: "reader", project: "p" }),
      "account.unbind": ({ account }) => account.unbind("k", "id"),
      "account.disable": ({ account }) => account.disable("k"),
      "account.enable": ({ account }) => account.enable("k"),
      "account.delete": ({ account }) => account.delete("k"),
      "password.set": ({ password }) => password.set("k", "p"),
      "session.list": ({ session }) => session.list("k"),
      "session.revoke": ({ session }) => session.revoke("k", "id"),
      "login.create": ({ login }) => login.create("k", "p"),
      "login.refresh": ({ login }) => login.refresh("r"),
      "login.revoke": ({ login }) => login.revoke(),
      "login_key.rotate": ({ loginKey }) => loginKey.rotate(),
      "signup.create": ({ signup }) => signup.create("k", "person"),
      "signup.list": ({ signup }) => signup.list(),
      "signup.revoke": ({ signup }) => signup.revoke("id"),
      "signup.redeem": ({ signup }) => signup.redeem("t", "p"),
      "role.create": ({ role }) => role.create("k", []),
      "role.list": ({ role }) => role.list(),
      "role.get": ({ role }) => role.get("k"),
      "role.update": ({ role }) => role.update("k", {}),
      "role.delete": ({ role }) => role.delete("k"),
      "issuer.create": ({ issuer }) => issuer.create("k", { issuer: "u", audiences: [], rules: [] }),
      "issuer.list": ({ issuer }) => issuer.list(),
      "issuer.get": ({ issuer }) => issuer.get("k"),
      "issuer.update": ({ issuer }) => issuer.update("k", {}),
      "issuer.delete": ({ issuer }) => issuer.delete("k"),
      "policy.explain": ({ policy }) => policy.explain("key.get"),
      "barrier.status": ({ barrier }) => barrier.status(),
      "barrier.rotate": ({ barrier }) => barrier.rotate(),
      "token.create": ({ token }) => token.create("k"),
      "token.list": ({ token }) => token.list("k"),
      "token.revoke": ({ token }) => token.revoke("k", "id"),
      "jwt.revoke": ({ jwt }) => jwt.revoke("k", 1),
      "random.generate": ({ random }) => random.generate(),
      "caller.whoami": (client) => client.whoami(),
    };
    await against([status(400, "invalid_body")], {}, async (client, asked) => {
      for (const { operation } of nativeRoutes) {
        const before = asked.length;
        await assert.rejects(
          async () => calls[operation.id]?.(client),
          { code: "invalid_body" },
          operation.id,
        );
        assert.equal(asked.length, before + 1, `${operation.id} is sent once`);
        const isChange = "replay" in operation;
        assert.equal(keysOf(asked)[before] !== undefined, isChange, operation.id);
      }
    });
  });

  test("wait as long as the service asks, and not at all where there is no time for it", async () => {
    await against([status(429, "rate_limited", { "retry-after": "1" }), ok], {}, async (client) => {
      const start = performance.now();
      await client.whoami();
      assert.ok(performance.now() - start >= 990);
    });
    const later = status(429, "rate_limited", { "retry-after": "60" });
    await against([later], { timeoutMs: 5000 }, async (client, asked) => {
      const start = performance.now();
      await assert.rejects(client.whoami(), { status: 429, retryAfterSeconds: 60 });
      assert.ok(performance.now() - start < 4000);
      assert.equal(asked.length, 1);
    });
  });

  test("each have their time, and all together theirs", async () => {
    await against([silent, ok], { tryTimeoutMs: 150 }, async (client, asked) => {
      assert.equal((await client.whoami()).caller, "a");
      assert.equal(asked.length, 2);
    });
    await against(
      [silent],
      { tryTimeoutMs: 100, timeoutMs: 350, retriesMax: 1000 },
      async (client, asked) => {
        await assert.rejects(client.whoami(), { code: "timed_out" });
        assert.ok(asked.length >= 2);
      },
    );
  });

  test("take limits that are longer than a timer, and refuse what is none", async () => {
    const source = async (): Promise<{ token: string }> => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { token: "kst_x" };
    };
    for (const limitMs of [Infinity, 2 ** 32]) {
      const options = { token: source, timeoutMs: limitMs, tryTimeoutMs: limitMs };
      const late: Answer = (...all) => setTimeout(() => ok(...all), 20);
      await against([late], options, async (client) => {
        assert.equal((await client.whoami()).caller, "a");
        assert.equal((await client.whoami({ timeoutMs: limitMs })).caller, "a");
      });
    }
    for (const options of [{ timeoutMs: NaN }, { tryTimeoutMs: 0 }, { timeoutMs: -1 }, { retriesMax: NaN }]) {
      assert.throws(() => new KeysteadClient(options), { code: "invalid_option" });
    }
    await assert.rejects(new KeysteadClient().whoami({ timeoutMs: NaN }), { code: "invalid_option" });
  });

  test("end when the caller says so, also between two of them", async () => {
    const abort = new AbortController();
    const refuse: Answer = (response, request, count) => {
      status(429, "rate_limited", { "retry-after": "20" })(response, request, count);
      setTimeout(() => abort.abort(), 50);
    };
    await against([refuse], {}, async (client, asked) => {
      await assert.rejects(client.whoami({ signal: abort.signal }), { code: "aborted" });
      assert.equal(asked.length, 1);
    });
  });

  test("wait a random time below a limit that doubles", () => {
    for (let failed = 1; failed < 12; failed++) {
      const waits = Array.from({ length: 200 }, () => backoffMs(failed, undefined));
      const limit = Math.min(5000, 100 * 2 ** (failed - 1));
      assert.ok(waits.every((wait) => wait >= 0 && wait < limit));
      assert.ok(Math.max(...waits) > limit / 2 && Math.min(...waits) < limit / 2);
    }
    assert.equal(retryAfterSeconds("7"), 7);
    assert.equal(retryAfterSeconds("soon"), undefined);
    assert.ok(Math.abs(retryAfterSeconds(new Date(Date.now() + 60_000).toUTCString())! - 60) < 2);
  });
});

describe("several servers", () => {
  test("a call goes to the next one at once where one fails, and calls stay with the one that works", async () => {
    await servers([[cut], [status(503)], [ok]], async (url, [first, second, third]) => {
      const client = new KeysteadClient({ url, retriesMax: 1 });
      for (let i = 0; i < 5; i++) await client.whoami();
      assert.deepEqual([first!.length, second!.length, third!.length], [1, 1, 5]);
    });
  });

  test("one that was set aside is asked again when the others fail too", async () => {
    await servers([[cut, ok], [cut]], async (url, [first, second]) => {
      const client = new KeysteadClient({ url });
      await client.whoami();
      await client.whoami();
      assert.deepEqual([first!.length, second!.length], [3, 1]);
    });
  });

  test("a change that moves to another server keeps its idempotency key", async () => {
    await servers([[cut], [ok]], async (url, [first, second]) => {
      await new KeysteadClient({ url }).key.rotate("k");
      assert.deepEqual(keysOf(first!), keysOf(second!));
      assert.notEqual(keysOf(first!)[0], undefined);
    });
  });

  test("an empty list is refused, and one bad address among good ones", () => {
    for (const url of [[], ["http://localhost", "localhost"]]) {
      assert.throws(() => new KeysteadClient({ url }), { code: "invalid_url" });
    }
  });
});

describe("tokens from a source", () => {
  const bearer = (asked: readonly IncomingMessage[]): unknown[] =>
    asked.map(({ headers }) => headers.authorization);

  test("are fetched once for many calls, and again shortly before they expire", async () => {
    let fetches = 0;
    let lifeMs = 3_600_000;
    const token = async (): Promise<{ token: string; expiresAt: number }> => ({
      token: `t${++fetches}`,
      expiresAt: Date.now() + lifeMs,
    });
    await against([ok], { token }, async (client, asked) => {
      await Promise.all(Array.from({ length: 50 }, () => client.whoami()));
      assert.equal(fetches, 1);
      assert.deepEqual(new Set(bearer(asked)), new Set(["Bearer t1"]));
    });
    lifeMs = 0;
    await against([ok], { token }, async (client) => {
      await client.whoami();
      await client.whoami();
      assert.equal(fetches, 3);
    });
  });

  test("are fetched anew once when one is refused, for all calls together, and only once a call", async () => {
    let fetches = 0;
    const token = async (): Promise<{ token: string }> => ({ token: `t${++fetches}` });
    const onlySecond: Answer = (response, request, count) => {
      const isGood = request.headers.authorization === "Bearer t2";
      (isGood ? ok : status(401, "unauthenticated"))(response, request, count);
    };
    await against([onlySecond], { token }, async (client) => {
      await Promise.all(Array.from({ length: 20 }, () => client.whoami()));
      assert.equal(fetches, 2);
    });
    await against([status(401, "unauthenticated")], { token }, async (client, asked) => {
      await assert.rejects(client.whoami(), { status: 401 });
      assert.equal(asked.length, 2);
    });
  });

  test("a source that fails, is late, or brings what is no token is an error of its own, and nothing is sent", async () => {
    const failing = async (): Promise<never> => Promise.reject(new Error("login is down"));
    const odd = async (): Promise<{ token: string }> => ({ token: "a\r\nb: c" });
    await against([ok], {}, async (_, asked) => {
      for (const token of [failing, odd]) {
        const client = new KeysteadClient({ token });
        await assert.rejects(client.whoami(), (error: Error) => {
          assert.equal(error.name, "KeysteadCredentialError");
          assert.ok(!error.message.includes("b: c"));
          return true;
        });
      }
      const never = (): Promise<never> => new Promise(() => undefined);
      const client = new KeysteadClient({ token: never, timeoutMs: 50 });
      await assert.rejects(client.whoami(), { code: "timed_out" });
      assert.equal(asked.length, 0);
    });
  });
});
