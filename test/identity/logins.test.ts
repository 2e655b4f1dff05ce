/** Passwords, sessions, signups and the state of accounts, through the API. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { passwordHashRuns } from "../../src/crypto/password-hash.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { forEachStore, serviceFor, type Answer, type TestService } from "../harness.ts";
import { cheap } from "./cheap-hash.ts";

const PASSWORD = "correct horse battery";

interface Login {
  readonly token: string;
  readonly refresh_token: string;
  readonly session: string;
}

let clock = Date.now();
const now = (): number => clock;
let last = 0;

forEachStore(({ startServer }) => {
  const start = (): Promise<TestService> =>
    startServer({ KEYSTEAD_TRUSTED_PROXIES: "127.0.0.1,::1" }, { now, passwordCost: cheap });

  describe("logins", () => {
    const service = serviceFor(start);
    let admin = "";
    before(async () => {
      admin = await service().token("admin", { project: "*" });
    });

    const asAdmin = (method: string, path: string, body?: unknown): Promise<Answer> =>
      service().request(method, path, body, { token: admin });
    const person = async (password = PASSWORD): Promise<string> => {
      const name = `person-${++last}`;
      await asAdmin("POST", "/v1/accounts", { name, kind: "person" });
      assert.equal((await asAdmin("POST", `/v1/accounts/${name}/password`, { password })).status, 204);
      return name;
    };
    const login = (
      account: string,
      password = PASSWORD,
      address = `10.0.${++last % 250}.1`,
    ): Promise<Answer> =>
      service().request(
        "POST",
        "/v1/login",
        { account, password },
        { headers: { "x-forwarded-for": address } },
      );
    const loggedIn = async (account: string): Promise<Login> => {
      const answer = await login(account);
      assert.equal(answer.status, 200, answer.text);
      return answer.json as unknown as Login;
    };
    const refresh = (refresh_token: string): Promise<Answer> =>
      service().request("POST", "/v1/login/refresh", { refresh_token });
    const whoami = (token: string): Promise<Answer> =>
      service().request("GET", "/v1/whoami", undefined, { token });
    const status = async (token: string): Promise<number> => (await whoami(token)).status;

    test("make the caller the account, and end with the session", async () => {
      const name = await person();
      const { token } = await loggedIn(name);
      const { json } = await whoami(token);
      assert.equal(json["caller"], `person:${name}`);
      assert.equal(json["authenticated_by"], "login");
      nativeRoutes.find(({ operation }) => operation.id === "caller.whoami")?.response?.parse(json);
      const out = await service().request("POST", "/v1/logout", {}, { token });
      assert.equal(out.status, 204, out.text);
      assert.equal(await status(token), 401);
    });

    test("end after the token's time, and go on with the refresh token", async () => {
      const name = await person();
      const first = await loggedIn(name);
      clock += 901_000;
      assert.equal(await status(first.token), 401);
      const renewed = (await refresh(first.refresh_token)).json as unknown as Login;
      assert.equal(renewed.session, first.session);
      assert.equal(await status(renewed.token), 200);
      clock += 7 * 24 * 3600_000;
      assert.equal((await refresh(renewed.refresh_token)).status, 401);
    });

    test("lose the whole session where a refresh token comes again", async () => {
      const name = await person();
      const first = await loggedIn(name);
      const second = (await refresh(first.refresh_token)).json as unknown as Login;
      clock += 61_000;
      assert.equal((await refresh(first.refresh_token)).status, 401);
      assert.equal(await status(second.token), 401);
      assert.equal((await refresh(second.refresh_token)).status, 401);
      const entry = service()
        .auditEntries()
        .find(
          ({ action, details }) =>
            action === "session.revoke" && (details as { session?: string }).session === first.session,
        );
      assert.equal((entry?.["details"] as { reason?: string }).reason, "refresh_reuse");
    });

    test("survive a lost answer: the old refresh token is good for a minute, until a newer one is used", async () => {
      const name = await person();
      const first = await loggedIn(name);
      const answers = await Promise.all([refresh(first.refresh_token), refresh(first.refresh_token)]);
      // A client gives up an answer after some time, tries again under the same key, and then asks anew.
      clock += 59_000;
      answers.push(await refresh(first.refresh_token));
      assert.deepEqual(
        answers.map((answer) => answer.status),
        [200, 200, 200],
      );
      const [one, two] = answers.map(({ json }) => json as unknown as Login);
      assert.equal((await refresh(one!.refresh_token)).status, 200);
      assert.equal((await refresh(two!.refresh_token)).status, 401);
      assert.equal(await status(one!.token), 401);
    });

    test("are not ended by who guesses at a refresh token", async () => {
      const { token, refresh_token: good } = await loggedIn(await person());
      for (const bad of [`${good.slice(0, 4)}${"A".repeat(64)}`, `${good}A`, good.slice(4), "ksr_", token]) {
        assert.equal((await refresh(bad)).status, 401);
      }
      assert.equal((await refresh(good)).status, 200);
    });

    test("are refused the same way whatever is wrong, for the same work", async () => {
      const [known, disabled] = [await person(), await person()];
      await asAdmin("POST", `/v1/accounts/${disabled}/disable`, {});
      const without = `person-${++last}`;
      await asAdmin("POST", "/v1/accounts", { name: without, kind: "person" });
      const texts = new Set<string>();
      for (const [name, password] of [
        [known, "wrong horse battery"],
        [disabled, PASSWORD],
        [without, PASSWORD],
        ["never-there", PASSWORD],
        [known, "x"],
        [known, ""],
      ] as const) {
        const runs = passwordHashRuns();
        const answer = await login(name, password);
        assert.equal(answer.status, 401);
        assert.equal(passwordHashRuns() - runs, 1, name);
        texts.add(answer.text.replace(/"request_id":"[^"]*"/, ""));
      }
      assert.equal(texts.size, 1);
      const outcomes = service()
        .auditEntries()
        .filter(({ action, outcome }) => action === "login.create" && outcome === "unauthenticated");
      assert.ok(outcomes.some(({ resource }) => resource === `account:${known}`));
      assert.ok(!JSON.stringify(outcomes).includes("never-there"));
    });

    test("slow down who fails, and nobody else", async () => {
      const name = await person();
      const bad = (address: string): Promise<Answer> => login(name, "wrong horse battery", address);
      await login(name, PASSWORD, "10.9.0.1");
      for (let i = 0; i < 3; i++) assert.equal((await bad("10.9.0.2")).status, 401);
      const runs = passwordHashRuns();
      const early = await login(name, PASSWORD, "10.9.0.2");
      assert.equal(early.status, 429);
      assert.equal(passwordHashRuns(), runs);
      assert.equal(early.headers.get("retry-after"), "1");
      for (let i = 0; i < 40; i++) await bad(`10.8.0.${i}`);
      assert.equal((await login(name, PASSWORD, "10.9.0.1")).status, 200, "who logged in before");
      assert.equal((await login(name, PASSWORD, "10.9.0.3")).status, 200, "who never failed");
      clock += 1000;
      assert.equal(
        (await login(name, PASSWORD, "10.9.0.2")).status,
        429,
        "many fail, so this address waits longer",
      );
      clock += 60_000;
      assert.equal((await login(name, PASSWORD, "10.9.0.2")).status, 200);
    });

    test("count tries that are under way, so that many at once are no way around", async () => {
      const name = await person();
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => login(name, "wrong horse battery", "10.7.0.1")),
      );
      assert.equal(answers.filter(({ status: code }) => code === 401).length, 3);
      assert.equal(answers.filter(({ status: code }) => code === 429).length, 17);
    });

    test("in a storm from everywhere are refused as busy, in a line a second of the service's own log", async () => {
      const before = service().logLines.length;
      const answers = await Promise.all(
        Array.from({ length: 150 }, (_, i) => login(`nobody-${i}`, PASSWORD, `10.20.${i}.1`)),
      );
      const busy = answers.filter(({ json }) => json["code"] === "busy").length;
      const lines = service().logLines.slice(before);
      assert.ok(busy > 10, String(busy));
      assert.ok(lines.length <= busy / 2, `${lines.length} of ${busy}`);
      assert.ok(lines.every((line) => line.includes("busy")));
    });

    test("are refused unread where no password can be checked, with one audit entry a second for all", async () => {
      const { passwords } = service().keystead.services;
      const before = service().auditEntries().length;
      passwords.hasRoomFor = () => false;
      let answers: readonly Answer[];
      try {
        answers = await Promise.all(
          Array.from({ length: 40 }, (_, i) =>
            service().request("POST", "/v1/login", ["no login at all"], {
              headers: { "x-forwarded-for": `10.21.${i}.1` },
            }),
          ),
        );
      } finally {
        Reflect.deleteProperty(passwords, "hasRoomFor");
      }
      assert.deepEqual([...new Set(answers.map(({ json }) => json["code"]))], ["busy"]);
      assert.equal((await login(await person())).status, 200);
      const metrics = (await service().request("GET", "/metrics", undefined, { token: admin })).text;
      const counted = /operation="login\.create",status="busy"\} (\d+)/.exec(metrics)?.[1];
      assert.ok(Number(counted) >= 40, "the metrics count them all");
      const deadline = performance.now() + 5000;
      const found = (): Record<string, unknown>[] =>
        service()
          .auditEntries()
          .slice(before)
          .filter(({ outcome }) => outcome === "busy");
      while (found().length === 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.ok(found().length <= 3, "one for each second");
      assert.ok(found().every(({ address, resource }) => address === "many" && resource === ""));
    });

    test("write one entry an address and second for failures, and count the others", async () => {
      const before = service().auditEntries().length;
      await Promise.all(Array.from({ length: 30 }, (_, i) => login(`nobody-${i}`, PASSWORD, "10.6.0.1")));
      const entries = service().auditEntries().slice(before);
      // The first of a second and a summary of the others, however many seconds a slow machine takes for them.
      assert.ok(entries.filter(({ address }) => address === "10.6.0.1").length < 8);
    });

    test("end with a disabled account at once, whatever it came with, and not with an enabled one", async () => {
      const name = await person();
      const { token, refresh_token } = await loggedIn(name);
      const made = await asAdmin("POST", `/v1/accounts/${name}/tokens`, {});
      const api = String(made.json["token"]);
      assert.deepEqual([await status(token), await status(api)], [200, 200]);
      const disabled = await asAdmin("POST", `/v1/accounts/${name}/disable`, {});
      assert.equal(disabled.json["state"], "disabled");
      assert.deepEqual([await status(token), await status(api)], [401, 401]);
      assert.equal((await refresh(refresh_token)).status, 401);
      assert.equal((await login(name)).status, 401);
      assert.equal((await asAdmin("POST", `/v1/accounts/${name}/enable`, {})).json["state"], "enabled");
      assert.deepEqual([await status(token), await status(api)], [401, 200], "its sessions stay ended");
      assert.equal((await login(name)).status, 200);
    });

    test("end with a deleted account, whose name is another's afterwards", async () => {
      const name = await person();
      const { token, refresh_token } = await loggedIn(name);
      const api = String((await asAdmin("POST", `/v1/accounts/${name}/tokens`, {})).json["token"]);
      assert.equal(await status(api), 200);
      assert.equal((await asAdmin("DELETE", `/v1/accounts/${name}`)).status, 204);
      await asAdmin("POST", "/v1/accounts", { name, kind: "person" });
      assert.deepEqual([await status(token), await status(api)], [401, 401]);
      assert.equal((await refresh(refresh_token)).status, 401);
      assert.equal((await login(name)).status, 401);
      const { json } = await asAdmin("GET", `/v1/accounts/${name}/sessions`);
      assert.deepEqual(json, { sessions: [] });
    });

    test("cannot disable or delete themselves, and of two who end one another one stays", async () => {
      const admins = await Promise.all([1, 2].map(() => service().token("admin", { project: "*" })));
      const names = await Promise.all(
        admins.map(async (token) => String((await whoami(token)).json["caller"]).replace("person:", "")),
      );
      for (const [method, action] of [
        ["POST", "/disable"],
        ["DELETE", ""],
      ] as const) {
        const path = `/v1/accounts/${names[0]!}${action}`;
        const answer = await service().request(method, path, method === "POST" ? {} : undefined, {
          token: admins[0]!,
        });
        assert.equal(answer.json["code"], "invalid_body");
      }
      const answers = await Promise.all(
        admins.map((token, i) =>
          service().request("POST", `/v1/accounts/${names[1 - i]!}/disable`, {}, { token }),
        ),
      );
      assert.equal(answers.filter(({ status: code }) => code === 200).length, 1);
    });
  });

  describe("passwords", () => {
    const service = serviceFor(start);
    let admin = "";
    before(async () => {
      admin = await service().token("admin", { project: "*" });
      await service().request("POST", "/v1/accounts", { name: "ann", kind: "person" }, { token: admin });
    });
    const set = (body: object, token = admin, headers = {}): Promise<Answer> =>
      service().request("POST", "/v1/accounts/ann/password", body, { token, headers });
    const login = (password: string): Promise<Answer> =>
      service().request("POST", "/v1/login", { account: "ann", password });

    test("have 12 to 128 characters of any kind, and are the same however they were typed", async () => {
      for (const password of ["eleven char", "é".repeat(11), "x".repeat(129), "\ud800".repeat(12), ""]) {
        assert.equal((await set({ password })).json["code"], "invalid_body");
      }
      for (const password of ["aaaaaaaaaaaa", "😀".repeat(12), "x".repeat(128), "a\u030aéèüöä ſ ﬁ ab"]) {
        assert.equal((await set({ password })).status, 204);
      }
      assert.equal((await login("\u00e5e\u0301èüöä ſ ﬁ ab")).status, 200);
      clock += 120_000;
      assert.equal((await login("\u00e5e\u0301èüöä s fi ab")).status, 401);
      clock += 120_000;
    });

    test("are changed with the current one only, which ends the other sessions", async () => {
      assert.equal((await set({ password: PASSWORD })).status, 204);
      const [one, two] = [(await login(PASSWORD)).json, (await login(PASSWORD)).json];
      const token = String(one["token"]);
      const next = "another horse battery";
      assert.equal((await set({ password: next }, token)).json["field"], "current_password");
      assert.equal((await set({ password: next, current_password: "no horse battery" }, token)).status, 403);
      assert.equal((await set({ password: next, current_password: PASSWORD }, token)).status, 204);
      const whoami = async (bearer: unknown): Promise<number> =>
        (await service().request("GET", "/v1/whoami", undefined, { token: String(bearer) })).status;
      assert.deepEqual([await whoami(token), await whoami(two["token"])], [200, 401]);
      assert.equal((await login(PASSWORD)).status, 401);
      assert.equal((await login(next)).status, 200);
      assert.equal((await set({ password: PASSWORD })).status, 204);
      assert.equal(await whoami(token), 401, "an administrator's reset ends them all");
    });

    for (const reset of [false, true]) {
      const by = reset ? "reset by an administrator" : "changed";
      test(`are ${by} with an end to what was opened with the old one a moment before`, async () => {
        const { sessions } = service().keystead.services;
        assert.equal((await set({ password: PASSWORD })).status, 204);
        const own = String((await login(PASSWORD)).json["token"]);
        const whoami = async (bearer: string): Promise<number> =>
          (await service().request("GET", "/v1/whoami", undefined, { token: bearer })).status;
        // The thief logs in, and uses it, between the look at the sessions and the commit.
        const ending = sessions.ending.bind(sessions);
        let thief = "";
        sessions.ending = async (...asked) => {
          const found = await ending(...asked);
          thief = String((await login(PASSWORD)).json["token"]);
          assert.equal(await whoami(thief), 200);
          return found;
        };
        try {
          const answer = reset
            ? await set({ password: "another horse battery" })
            : await set({ password: "another horse battery", current_password: PASSWORD }, own);
          assert.equal(answer.status, 204, answer.text);
        } finally {
          Reflect.deleteProperty(sessions, "ending");
        }
        assert.deepEqual([await whoami(own), await whoami(thief)], [reset ? 401 : 200, 401]);
      });
    }

    test("of others are set by administrators alone", async () => {
      const other = await service().token("reader");
      for (const path of ["/v1/accounts/ann/password", "/v1/accounts/nobody/password"]) {
        const answer = await service().request("POST", path, { password: PASSWORD }, { token: other });
        assert.equal(answer.json["code"], "forbidden");
      }
      const { json } = await service().request("GET", "/v1/whoami", undefined, { token: other });
      const own = `/v1/accounts/${String(json["caller"]).replace("person:", "")}/password`;
      const answer = await service().request("POST", own, { password: PASSWORD }, { token: other });
      assert.equal(answer.json["code"], "forbidden", "whoever stole a token shall not stay by a password");
    });

    test("are not changed by who proved one that was changed meanwhile", async () => {
      const { accounts, passwords } = service().keystead.services;
      assert.equal((await set({ password: PASSWORD })).status, 204);
      const token = String((await login(PASSWORD)).json["token"]);
      const account = await accounts.byName("ann");
      // Somebody else's change is committed while the thief's is between its proof and its writes.
      const check = passwords.check.bind(passwords);
      passwords.check = async (asked) => {
        passwords.check = check;
        const checked = await check(asked);
        assert.equal((await set({ password: "another horse battery" })).status, 204);
        return checked;
      };
      const thief = await set({ password: "thieving horse battery", current_password: PASSWORD }, token);
      assert.equal(thief.json["code"], "conflict");
      assert.equal((await accounts.byName("ann")).revision, account.revision);
      assert.equal((await login("another horse battery")).status, 200);
    });

    test("set twice under one idempotency key are set once, and another one is refused", async () => {
      const headers = { "idempotency-key": "set-1" };
      assert.equal((await set({ password: PASSWORD }, admin, headers)).status, 204);
      const again = await set({ password: PASSWORD }, admin, headers);
      assert.equal(again.headers.get("idempotency-replayed"), "true");
      const other = await set({ password: "other horse battery" }, admin, headers);
      assert.equal(other.json["code"], "idempotency_mismatch");
    });
  });

  describe("signups", () => {
    const service = serviceFor(start);
    let admin = "";
    before(async () => {
      admin = await service().token("admin", { project: "*" });
    });
    const signup = async (body: object = {}): Promise<Answer> =>
      service().request(
        "POST",
        "/v1/signups",
        { name: `new-${++last}`, kind: "service", ...body },
        { token: admin },
      );
    const redeem = (token: unknown, password = PASSWORD): Promise<Answer> =>
      service().request("POST", "/v1/signup", { token, password });

    test("make one account of that name and kind with its roles, and log it in", async () => {
      const bindings = [{ role: "reader", project: "default" }];
      const made = await signup({ bindings });
      assert.equal(made.status, 201, made.text);
      const redeemed = await redeem(made.json["token"]);
      assert.equal(redeemed.status, 201, redeemed.text);
      assert.equal(redeemed.json["account"], made.json["name"]);
      const token = String(redeemed.json["token"]);
      const { json } = await service().request("GET", "/v1/whoami", undefined, { token });
      assert.equal(json["caller"], `service:${String(made.json["name"])}`);
      assert.equal((await service().request("GET", "/v1/keys", undefined, { token })).status, 200);
      assert.equal((await redeem(made.json["token"])).status, 401, "a second time");
    });

    test("are used once, however many come at once", async () => {
      const { json } = await signup();
      const answers = await Promise.all(Array.from({ length: 6 }, () => redeem(json["token"])));
      assert.equal(answers.filter(({ status }) => status === 201).length, 1);
      assert.ok(answers.every(({ status }) => [201, 401, 409].includes(status)));
    });

    test("are not used up by a password that is none", async () => {
      const { json } = await signup();
      assert.equal((await redeem(json["token"], "short")).json["code"], "invalid_body");
      assert.equal((await redeem(json["token"])).status, 201);
    });

    test("end by time, by being taken back, and with the account of their name", async () => {
      const expired = await signup({ ttl_seconds: 60 });
      const revoked = await signup();
      const name = `gone-${++last}`;
      const ofName = await signup({ name });
      await service().request("POST", "/v1/accounts", { name, kind: "person" }, { token: admin });
      assert.equal((await redeem(ofName.json["token"])).json["code"], "account_exists");
      assert.equal((await signup({ name })).json["code"], "account_exists");
      await service().request("DELETE", `/v1/accounts/${name}`, undefined, { token: admin });
      assert.equal((await redeem(ofName.json["token"])).status, 401);
      const path = `/v1/signups/${String(revoked.json["id"])}`;
      assert.equal((await service().request("DELETE", path, undefined, { token: admin })).status, 204);
      assert.equal(
        (await service().request("DELETE", path, undefined, { token: admin })).json["code"],
        "signup_not_found",
      );
      assert.equal((await redeem(revoked.json["token"])).status, 401);
      clock += 61_000;
      assert.equal((await redeem(expired.json["token"])).status, 401);
      const listed = await service().request("GET", "/v1/signups", undefined, { token: admin });
      assert.ok(!listed.text.includes(String(expired.json["id"])));
      assert.ok(!listed.text.includes("eyJ"), "no token is listed");
    });
  });

  test("a hash whose cost is outdated is made anew at the next login, and at no other time", async () => {
    const passwordCost = { ...cheap };
    await using service = await startServer({}, { passwordCost });
    const token = await service.token("admin", { project: "*" });
    await service.request("POST", "/v1/accounts", { name: "ann", kind: "person" }, { token });
    await service.request("POST", "/v1/accounts/ann/password", { password: PASSWORD }, { token });
    passwordCost.passes = 3;
    const login = async (): Promise<number> => {
      const runs = passwordHashRuns();
      const answer = await service.request("POST", "/v1/login", { account: "ann", password: PASSWORD });
      assert.equal(answer.status, 200);
      return passwordHashRuns() - runs;
    };
    assert.deepEqual([await login(), await login()], [2, 1]);
  });
});
