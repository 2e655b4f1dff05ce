/** Go KMS's contract, line by line: what a client of that service finds here when it changes the address. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { serviceFacts } from "../../src/audit/auditor.ts";
import type { ComposeOptions } from "../../src/compose.ts";
import { cheap } from "../identity/cheap-hash.ts";
import type { Answer, TestService } from "../harness.ts";
import { serviceFor } from "../harness.ts";
import { GoKmsService, PASSWORD, type SignedUp } from "./go-kms-service.ts";

type Start = (settings?: Record<string, string>, options?: ComposeOptions) => Promise<TestService>;

interface Dek {
  dek: string;
  version: number;
  encoding: string;
  expiresAt: string;
}
interface Pair {
  decryptWith: Dek;
  encryptWith: Dek;
}

const DAY_MS = 86_400_000;
const HOLD_MS = 5 * 60_000;
const settings = { KEYSTEAD_FACADES: "go-kms" };
const dekOf = (answer: Answer): Dek => {
  assert.equal(answer.status, 200, answer.text);
  return answer.json as unknown as Dek;
};
const pairOf = (answer: Answer): Pair => {
  assert.equal(answer.status, 200, answer.text);
  return answer.json as unknown as Pair;
};
/** A refusal is one line of plain text, with a request id. */
const isRefused = (answer: Answer, status: number, line?: string): void => {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^text\/plain/);
  assert.match(answer.text, /^[^\r\n]+$/);
  assert.notEqual(answer.headers.get("x-request-id") ?? "", "");
  if (line !== undefined) assert.equal(answer.text, line);
};
const isDek = (dek: Dek, version: number): void => {
  assert.deepEqual(Object.keys(dek), ["dek", "version", "encoding", "expiresAt"]);
  assert.match(dek.dek, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(Buffer.from(dek.dek, "base64url").length, 32);
  assert.equal(dek.version, version);
  assert.equal(dek.encoding, "base64url (RFC 4648)");
};

/** Declares the contract's tests for services that `start` starts. */
export function goKmsContract(store: string, start: Start): void {
  describe(`go-kms on ${store}`, () => {
    let nowMs = 0;
    const now = (): number => Date.now() + nowMs;
    const service = serviceFor(() => start(settings, { passwordCost: cheap, now }));
    let go: GoKmsService;
    before(async () => {
      go = await GoKmsService.of(service());
    });

    describe("signing up and logging in", () => {
      test("an administrator makes a signup token, a client signs up with it and gets a JWT", async () => {
        const name = go.fresh();
        const token = await go.signupToken(name, 60_000);
        const answer = await go.ask("POST", "/auth/signup", { token, password: PASSWORD });
        assert.equal(answer.status, 200);
        assert.deepEqual(Object.keys(answer.json), ["token"]);
        assert.match(String(answer.json["token"]), /^[\w-]+\.[\w-]+\.[\w-]+$/);
        assert.notEqual(answer.headers.get("x-request-id") ?? "", "");
        dekOf(await go.generate({ name, token: String(answer.json["token"]) }, "first"));
      });

      test("login answers a token and its life in milliseconds", async () => {
        const client = await go.client();
        const { status, json } = await go.login(client.name);
        assert.equal(status, 200);
        assert.deepEqual(Object.keys(json), ["token", "ttl"]);
        assert.equal(json["ttl"], 900_000);
        dekOf(await go.generate({ name: "", token: String(json["token"]) }, "logged-in"));
      });

      test("a login's token counts for so long and no longer", async () => {
        const client = await go.client();
        dekOf(await go.generate(client, "early"));
        nowMs += 900_001;
        isRefused(await go.get(client, "early"), 401);
        nowMs = 0;
      });

      test("an unknown client and a wrong password are told apart by nothing", async () => {
        const client = await go.client();
        const line = "Incorrect clientname or password";
        isRefused(await go.login(client.name, "Wrong-password-1"), 401, line);
        isRefused(await go.login(go.fresh(), "Wrong-password-1"), 401, line);
        isRefused(await go.login("x", "Wrong-password-1"), 401, line);
      });

      test("wrong passwords are throttled for a client as for nobody", async () => {
        const client = await go.client();
        for (const name of [client.name, go.fresh()]) {
          const seen: number[] = [];
          for (let i = 0; i < 4; i++) seen.push((await go.login(name, "Wrong-password-1")).status);
          assert.deepEqual(seen, [401, 401, 401, 429]);
          if (name === client.name) isRefused(await go.login(name), 429);
        }
        // The others at this address go on.
        nowMs += 61_000;
        assert.equal((await go.login(client.name)).status, 200);
        nowMs = 0;
      });

      for (const password of [
        "Short-pw-9",
        `Aa1-${"x".repeat(125)}`,
        "only-lower-and-symbols",
        "lowerandUPPER",
        "12345678901234",
      ]) {
        test(`refuses a password of ${password.length} characters or too few kinds: ${password.slice(0, 22)}`, async () => {
          const token = await go.signupToken(go.fresh());
          isRefused(await go.ask("POST", "/auth/signup", { token, password }), 400);
          // The token is good for another try.
          const again = await go.ask("POST", "/auth/signup", { token, password: PASSWORD });
          assert.equal(again.status, 200);
        });
      }
      for (const password of [
        "abcdefgh-123",
        "ABCDEFGH-123",
        "Abcdefgh1234",
        "Abcdefghijk-",
        `Aa1-${"x".repeat(124)}`,
      ]) {
        test(`takes a password of three kinds: ${password.slice(0, 12)}`, async () => {
          const token = await go.signupToken(go.fresh());
          assert.equal((await go.ask("POST", "/auth/signup", { token, password })).status, 200);
        });
      }

      for (const name of ["abc", "a".repeat(65), "with space", "under_score", "", "ünder"]) {
        test(`refuses the client name ${JSON.stringify(name.slice(0, 12))}`, async () => {
          const body = { clientname: name, ttl: 1000 };
          isRefused(await go.ask("POST", "/auth/signup/generate", body, { token: go.admin }), 400);
        });
      }
      for (const name of ["abcd", "A-9-", "z".repeat(64)]) {
        test(`takes the client name ${name.slice(0, 12)}`, async () => {
          assert.equal((await go.login((await go.client(name)).name)).status, 200);
        });
      }

      test("a signup token is used once", async () => {
        const token = await go.signupToken(go.fresh());
        const body = { token, password: PASSWORD };
        assert.equal((await go.ask("POST", "/auth/signup", body)).status, 200);
        isRefused(await go.ask("POST", "/auth/signup", body), 401);
      });

      test("a signup token expires", async () => {
        const token = await go.signupToken(go.fresh(), 5000);
        nowMs += 6000;
        isRefused(await go.ask("POST", "/auth/signup", { token, password: PASSWORD }), 401);
        nowMs = 0;
      });

      test("a taken name is 409 when a token is asked for, and when one is used", async () => {
        const name = go.fresh();
        const late = await go.signupToken(name);
        await go.client(name);
        const body = { clientname: name, ttl: 1000 };
        isRefused(await go.ask("POST", "/auth/signup/generate", body, { token: go.admin }), 409);
        isRefused(await go.ask("POST", "/auth/signup", { token: late, password: PASSWORD }), 409);
      });

      test("of two who use a signup token at once, one signs up", async () => {
        const token = await go.signupToken(go.fresh());
        const answers = await Promise.all(
          [1, 2, 3].map(() => go.ask("POST", "/auth/signup", { token, password: PASSWORD })),
        );
        assert.equal(answers.filter(({ status }) => status === 200).length, 1);
        for (const answer of answers)
          if (answer.status !== 200) assert.ok([401, 409].includes(answer.status));
      });

      test("names that differ in letter case are two clients", async () => {
        const name = go.fresh();
        await go.client(name);
        await go.client(name.toUpperCase());
      });
    });

    describe("tokens are good for what they are for", () => {
      let client: SignedUp;
      before(async () => {
        client = await go.client();
      });

      test("a signup token is no login", async () => {
        const token = await go.signupToken(go.fresh());
        isRefused(await go.generate({ name: "", token }, "x"), 401);
        isRefused(await go.ask("GET", "/clients", undefined, { token }), 401);
        const native = await go.ask("GET", "/v1/whoami", undefined, { token });
        assert.equal(native.status, 401);
      });

      test("a login's token and an API token are no signup token", async () => {
        for (const token of [client.token, go.admin, "", "a.b.c", `${client.token}x`]) {
          const { status } = await go.ask("POST", "/auth/signup", { token, password: PASSWORD });
          assert.equal(status, token === "" ? 400 : 401);
        }
      });

      test("a client's signup token makes no account of another kind, nor another's a client", async () => {
        const ours = await go.signupToken(go.fresh());
        const redeemed = await go.ask("POST", "/v1/signup", { token: ours, password: PASSWORD });
        assert.equal(redeemed.status, 401, redeemed.text);
        const theirs = await go.ask(
          "POST",
          "/v1/signups",
          { name: go.fresh(), kind: "service" },
          { token: go.admin },
        );
        assert.equal(theirs.status, 201, theirs.text);
        const { token } = theirs.json;
        isRefused(await go.ask("POST", "/auth/signup", { token, password: PASSWORD }), 401);
      });

      test("whoever has no token is 401 on every route that wants one", async () => {
        // A service of its own: who fails often is told to wait.
        await using fresh = await start(settings, { passwordCost: cheap });
        const routes = wanting("orders");
        assert.ok(routes.length < 20);
        for (const [method, path, body] of routes) isRefused(await fresh.request(method, path, body), 401);
      });

      test("an edited token and one without a signature are 401", async () => {
        await using fresh = await start(settings, { passwordCost: cheap });
        const client = await (await GoKmsService.of(fresh)).client();
        const [head = "", payload = "", signature = ""] = client.token.split(".");
        const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
        const edited = Buffer.from(JSON.stringify({ ...claims, exp: 9_999_999_999 })).toString("base64url");
        const none = Buffer.from('{"alg":"none"}').toString("base64url");
        for (const token of [
          `${head}.${edited}.${signature}`,
          `${none}.${payload}.`,
          `${head}.${payload}.`,
        ]) {
          isRefused(await fresh.request("GET", "/keys/orders/1", undefined, { token }), 401);
        }
        isRefused(await fresh.request("GET", "/keys/orders/1", undefined, { token: client.token }), 404);
      });

      test("a client is no administrator: 403", async () => {
        for (const [method, path, body] of administrators) {
          isRefused(await go.ask(method, path, body, { token: client.token }), 403);
        }
      });

      test("an administrator who is no client has no keys here: 403", async () => {
        isRefused(await go.generate({ name: "", token: go.admin }, "mine"), 403);
      });
    });

    describe("data encryption keys", () => {
      let client: SignedUp;
      before(async () => {
        client = await go.client();
      });
      const made = async (): Promise<{ reference: string; first: Dek }> => {
        const reference = go.fresh();
        return { reference, first: dekOf(await go.generate(client, reference)) };
      };

      test("generate answers 32 random bytes as version 1, to be held for five minutes", async () => {
        const from = Date.now();
        const dek = dekOf(await go.generate(client, go.fresh()));
        isDek(dek, 1);
        const until = Date.parse(dek.expiresAt) - HOLD_MS;
        assert.ok(until >= from - 1000 && until <= Date.now() + 1000, dek.expiresAt);
        const other = dekOf(await go.generate(client, go.fresh()));
        assert.notEqual(other.dek, dek.dek);
      });

      test("GET of a version answers it and the latest, which are one before a rotation", async () => {
        const { reference, first } = await made();
        const answer = await go.get(client, reference, 1);
        assert.equal(answer.headers.get("x-key-deprecated"), "false");
        const pair = pairOf(answer);
        assert.deepEqual(Object.keys(pair), ["decryptWith", "encryptWith"]);
        isDek(pair.decryptWith, 1);
        isDek(pair.encryptWith, 1);
        assert.equal(pair.decryptWith.dek, first.dek);
        assert.equal(pair.encryptWith.dek, first.dek);
      });

      test("rotate answers the next version; the one before is deprecated and still handed out", async () => {
        const { reference, first } = await made();
        const second = dekOf(await go.rotate(client, reference));
        isDek(second, 2);
        assert.notEqual(second.dek, first.dek);
        const old = await go.get(client, reference, 1);
        assert.equal(old.headers.get("x-key-deprecated"), "true");
        assert.equal(pairOf(old).decryptWith.dek, first.dek);
        assert.equal(pairOf(old).encryptWith.dek, second.dek);
        const current = await go.get(client, reference, 2);
        assert.equal(current.headers.get("x-key-deprecated"), "false");
        assert.equal(pairOf(current).decryptWith.dek, second.dek);
      });

      test("GET without a version answers the latest", async () => {
        const { reference } = await made();
        const second = dekOf(await go.rotate(client, reference));
        const answer = await go.get(client, reference);
        assert.equal(answer.headers.get("x-key-deprecated"), "false");
        assert.equal(pairOf(answer).decryptWith.dek, second.dek);
        assert.equal(pairOf(answer).encryptWith.dek, second.dek);
      });

      test("a deleted key is gone, and its reference is free", async () => {
        const { reference, first } = await made();
        const deleted = await go.delete(client, reference);
        assert.equal(deleted.status, 204);
        assert.equal(deleted.text, "");
        assert.notEqual(deleted.headers.get("x-request-id") ?? "", "");
        isRefused(await go.get(client, reference, 1), 404, "Not found");
        isRefused(await go.get(client, reference), 404);
        isRefused(await go.rotate(client, reference), 404);
        isRefused(await go.delete(client, reference), 404);
        const again = dekOf(await go.generate(client, reference));
        isDek(again, 1);
        assert.notEqual(again.dek, first.dek);
      });

      test("a taken reference is 409, whoever of two comes first", async () => {
        const reference = go.fresh();
        const answers = await Promise.all([1, 2].map(() => go.generate(client, reference)));
        assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409]);
        isRefused(await go.generate(client, reference), 409);
      });

      test("two rotations at once make two versions", async () => {
        const { reference } = await made();
        const answers = await Promise.all([1, 2].map(() => go.rotate(client, reference)));
        const deks = answers.map(dekOf).sort((a, b) => a.version - b.version);
        assert.deepEqual(
          deks.map(({ version }) => version),
          [2, 3],
        );
        for (const dek of deks) {
          const { decryptWith } = pairOf(await go.get(client, reference, dek.version));
          assert.equal(decryptWith.dek, dek.dek);
        }
      });

      for (const reference of ["x".repeat(65), "under_score", "with.dot", "", "ü"]) {
        test(`refuses the reference ${JSON.stringify(reference.slice(0, 12))}`, async () => {
          isRefused(await go.generate(client, reference), 400);
          if (/^[\w.]+$/.test(reference)) {
            isRefused(await go.get(client, reference, 1), 400);
            isRefused(await go.rotate(client, reference), 400);
            isRefused(await go.delete(client, reference), 400);
          }
        });
      }
      for (const reference of ["a", "A-9", "-", "x".repeat(64), "actions", "generate"]) {
        test(`takes the reference ${reference.slice(0, 12)}`, async () => {
          const own = await go.client();
          const dek = dekOf(await go.generate(own, reference));
          assert.equal(pairOf(await go.get(own, reference, 1)).decryptWith.dek, dek.dek);
          isDek(dekOf(await go.rotate(own, reference)), 2);
          assert.equal((await go.delete(own, reference)).status, 204);
        });
      }

      for (const version of ["0", "-1", "one", "1.0", "99999999999"]) {
        test(`refuses the version ${version}`, async () => {
          const { reference } = await made();
          isRefused(await go.get(client, reference, version), 400);
        });
      }

      test("a version that was never made and a reference that is nobody's are 404", async () => {
        const { reference } = await made();
        isRefused(await go.get(client, reference, 2), 404, "Not found");
        isRefused(await go.get(client, go.fresh(), 1), 404, "Not found");
        isRefused(await go.rotate(client, go.fresh()), 404, "Not found");
        isRefused(await go.delete(client, go.fresh()), 404, "Not found");
      });

      test("a retired version is handed out no more; the newest other one encrypts", async () => {
        const { reference, first } = await made();
        dekOf(await go.rotate(client, reference));
        const { project, key } = await nativeKey(reference);
        const disable = async (version: number): Promise<void> => {
          const answer = await go.ask(
            "POST",
            `/v1/keys/${key}/disable`,
            { version },
            { token: go.admin, project },
          );
          assert.equal(answer.status, 200, answer.text);
        };
        await disable(2);
        isRefused(await go.get(client, reference, 2), 404, "Key is retired");
        const pair = pairOf(await go.get(client, reference, 1));
        assert.equal(pair.encryptWith.dek, first.dek);
        await disable(1);
        isRefused(await go.get(client, reference), 404, "Key is retired");
      });

      test("a revoked key is handed out no more", async () => {
        const { reference } = await made();
        const { project, key } = await nativeKey(reference);
        await go.ask("POST", `/v1/keys/${key}/revoke`, {}, { token: go.admin, project });
        isRefused(await go.get(client, reference, 1), 404, "Key is retired");
        isRefused(await go.rotate(client, reference), 404, "Key is retired");
      });

      test("a key rotates by itself when it is old", async () => {
        const { reference, first } = await made();
        nowMs += 91 * DAY_MS;
        await service().keystead.runJobs();
        nowMs = 0;
        // The session that it had is swept by then.
        client = { name: client.name, token: String((await go.login(client.name)).json["token"]) };
        const answer = await go.get(client, reference, 1);
        assert.equal(answer.headers.get("x-key-deprecated"), "true");
        const pair = pairOf(answer);
        assert.equal(pair.decryptWith.dek, first.dek);
        assert.equal(pair.encryptWith.version, 2);
      });

      test("the native API shows the key under a name of its own and exports it to its client alone", async () => {
        const { reference } = await made();
        const { project, key } = await nativeKey(reference);
        const shown = await go.ask("GET", `/v1/keys/${key}`, undefined, { token: client.token, project });
        assert.equal(shown.status, 200);
        assert.doesNotMatch(shown.text, new RegExp(reference));
        const person = { token: go.admin, project };
        assert.equal((await go.ask("GET", `/v1/export/${key}`, undefined, person)).status, 404);
        const encrypted = await go.ask("POST", `/v1/encrypt/${key}`, { plaintext: "x" }, person);
        assert.equal(encrypted.status, 400);
      });

      /** The client's newest key, as the native API has it. */
      async function nativeKey(reference: string): Promise<{ project: string; key: string }> {
        const { clientAccounts, keyring } = service().keystead.services;
        const { client: found } = await clientAccounts.accountOf(await go.numberOf(client.name));
        const id = await keyring.idOfAlias(found.projectId, "go-kms", reference);
        return { project: found.project, key: id ?? "" };
      }
    });

    describe("clients, for administrators", () => {
      test("lists id, name and role, at both spellings, and nothing to log in with", async () => {
        const { name } = await go.client();
        for (const path of ["/clients", "/clients/"]) {
          const answer = await go.ask("GET", path, undefined, { token: go.admin });
          assert.equal(answer.status, 200);
          const all = answer.json as unknown as Record<string, unknown>[];
          const found = all.find(({ clientname }) => clientname === name);
          assert.ok(found);
          assert.deepEqual(Object.keys(found), ["id", "clientname", "role", "createdAt"]);
          assert.equal(typeof found["id"], "number");
          assert.equal(found["role"], "client");
          assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
          assert.doesNotMatch(answer.text, /argon2|password|hash|token/i);
        }
      });

      test("a client that is made an administrator may do what they do, until it is one no more", async () => {
        const client = await go.client();
        const other = await go.client();
        const id = await go.numberOf(client.name);
        const list = (): Promise<Answer> => go.ask("GET", "/clients", undefined, { token: client.token });
        isRefused(await list(), 403);
        const role = async (to: string): Promise<void> => {
          const { status, text } = await go.ask(
            "POST",
            `/clients/${id}/role`,
            { role: to },
            { token: go.admin },
          );
          assert.equal(status, 204, text);
        };
        await role("admin");
        await role("admin");
        assert.equal((await list()).status, 200);
        // Its own keys stay its own, and others' stay others'.
        dekOf(await go.generate(client, "own"));
        dekOf(await go.generate(other, "theirs"));
        isRefused(await go.get(client, "theirs", 1), 404);
        await role("client");
        isRefused(await list(), 403);
        dekOf(await go.rotate(client, "own"));
      });

      test("a role changes what makes an administrator of clients, and no other rights", async () => {
        const client = await go.client();
        const id = await go.numberOf(client.name);
        const { clientAccounts } = go.service.keystead.services;
        const rights = async (): Promise<string[]> =>
          (await clientAccounts.accountOf(id)).account.bindings
            .filter(({ project }) => project === "*")
            .map(({ role, pattern = "" }) => `${role} ${pattern}`);
        const become = async (role: string): Promise<string[]> => {
          const answer = await go.ask("POST", `/clients/${id}/role`, { role }, { token: go.admin });
          assert.equal(answer.status, 204, answer.text);
          return rights();
        };
        const bind = async (binding: object): Promise<void> => {
          const { name } = (await clientAccounts.accountOf(id)).account;
          const path = `/v1/accounts/${name}/bindings`;
          const answer = await go.ask("POST", path, { project: "*", ...binding }, { token: go.admin });
          assert.equal(answer.status, 201, answer.text);
        };
        const shown = async (): Promise<unknown> => {
          const { json } = await go.ask("GET", "/clients", undefined, { token: go.admin });
          return (json as unknown as { id: number; role: string }[]).find((one) => one.id === id)?.role;
        };
        await bind({ role: "admin", pattern: "team-*" });
        assert.equal(await shown(), "client");
        assert.deepEqual(await become("admin"), ["admin team-*", "client-admin "]);
        assert.equal(await shown(), "admin");
        assert.deepEqual(await become("client"), ["admin team-*"]);
        await bind({ role: "admin" });
        assert.deepEqual(await become("admin"), ["admin team-*", "admin "], "it has the right already");
        assert.deepEqual(await become("client"), ["admin team-*"]);
      });

      test("no administrator takes the role from itself, or removes itself", async () => {
        const client = await go.client();
        const id = await go.numberOf(client.name);
        await go.ask("POST", `/clients/${id}/role`, { role: "admin" }, { token: go.admin });
        const own = { token: client.token };
        isRefused(await go.ask("POST", `/clients/${id}/role`, { role: "client" }, own), 400);
        isRefused(await go.ask("DELETE", `/clients/${id}`, undefined, own), 400);
      });

      test("a removed client is nobody at once; its name is free, and what was its is not the next one's", async () => {
        const client = await go.client();
        const id = await go.numberOf(client.name);
        const left = await go.signupToken(go.fresh());
        dekOf(await go.generate(client, "kept"));
        const answer = await go.ask("DELETE", `/clients/${id}`, undefined, { token: go.admin });
        assert.equal(answer.status, 204);
        assert.equal(answer.text, "");
        isRefused(await go.get(client, "kept", 1), 401);
        isRefused(await go.login(client.name), 401, "Incorrect clientname or password");
        isRefused(await go.ask("DELETE", `/clients/${id}`, undefined, { token: go.admin }), 404);
        const next = await go.client(client.name);
        isRefused(await go.get(next, "kept", 1), 404);
        assert.notEqual(await go.numberOf(client.name), id);
        assert.ok(left);
      });

      test("invitations of a name end with its client", async () => {
        const name = go.fresh();
        const spare = await go.signupToken(name);
        await go.client(name);
        const path = `/clients/${await go.numberOf(name)}`;
        assert.equal((await go.ask("DELETE", path, undefined, { token: go.admin })).status, 204);
        isRefused(await go.ask("POST", "/auth/signup", { token: spare, password: PASSWORD }), 401);
      });

      test("an account that was deleted natively is no client any more, its name is free, and its project goes", async () => {
        const { name } = await go.client();
        const { clientAccounts, projects } = service().keystead.services;
        const { client, account } = await clientAccounts.accountOf(await go.numberOf(name));
        const path = `/v1/accounts/${account.name}`;
        const answer = await go.ask("DELETE", path, undefined, { token: go.admin });
        assert.equal(answer.status, 204, answer.text);
        isRefused(await go.login(name), 401);
        assert.equal((await projects.byId(client.projectId))?.state, "pending_deletion");
        await go.client(name);
      });

      test("an id is an integer, and one that is nobody's is 404", async () => {
        const role = { role: "admin" };
        for (const id of ["abc", "1.5", "1e3"]) {
          isRefused(
            await go.ask("POST", `/clients/${id}/role`, role, { token: go.admin }),
            400,
            "ID must be integer",
          );
          isRefused(
            await go.ask("DELETE", `/clients/${id}`, undefined, { token: go.admin }),
            400,
            "ID must be integer",
          );
        }
        for (const id of ["0", "-1", "2147483647", "999999999999999"]) {
          isRefused(await go.ask("POST", `/clients/${id}/role`, role, { token: go.admin }), 404);
          isRefused(await go.ask("DELETE", `/clients/${id}`, undefined, { token: go.admin }), 404);
        }
      });

      test("a role is client or admin", async () => {
        const id = await go.numberOf((await go.client()).name);
        for (const body of [{ role: "root" }, {}, { role: 1 }, { role: "admin", more: 1 }]) {
          isRefused(await go.ask("POST", `/clients/${id}/role`, body, { token: go.admin }), 400);
        }
      });
    });

    describe("what does not fit", () => {
      test("a body that is no JSON, of another type, or not what is asked for is 400", async () => {
        const { token } = await go.client();
        for (const raw of [
          "{",
          "",
          "[]",
          '"x"',
          "null",
          '{"keyReference":1}',
          '{"keyReference":"a","x":1}',
        ]) {
          isRefused(await go.ask("POST", "/keys/actions/generate", undefined, { token, raw }), 400);
        }
        const headers = { "content-type": "text/plain" };
        const raw = '{"keyReference":"a"}';
        isRefused(await go.ask("POST", "/keys/actions/generate", undefined, { token, raw, headers }), 400);
        for (const body of [{}, { clientname: "abcd" }, { password: PASSWORD }]) {
          isRefused(await go.ask("POST", "/auth/login", body), 400);
        }
        isRefused(await go.ask("POST", "/auth/signup", { token: 1, password: PASSWORD }), 400);
      });

      test("no answer says what came", async () => {
        const { token } = await go.client();
        const canary = "Canary_77";
        for (const answer of [
          await go.ask("POST", "/keys/actions/generate", { keyReference: canary }, { token }),
          await go.ask("POST", "/keys/actions/generate", { [canary]: 1 }, { token }),
          await go.ask("GET", `/keys/${canary}/1`, undefined, { token }),
          await go.ask("POST", "/auth/login", { clientname: canary, password: canary }),
        ]) {
          assert.ok(answer.status >= 400);
          assert.doesNotMatch(answer.text, /Canary/);
        }
      });

      test("another method is 405, and a path that is not there 404, in the same shape", async () => {
        for (const [method, path] of [
          ["GET", "/auth/login"],
          ["PUT", "/keys/orders"],
          ["POST", "/keys/orders/1"],
          ["GET", "/keys/orders/actions/rotate"],
          ["POST", "/keys/orders/actions/delete"],
          ["PATCH", "/clients/1"],
          ["GET", "/clients/1/role"],
        ] as const) {
          isRefused(await go.ask(method, path), 405, "Method not allowed");
        }
        for (const path of ["/auth/nothing", "/keys/a/b/c", "/clients/1/2/3"]) {
          isRefused(await go.ask("GET", path), 404, "Not found");
        }
      });
    });

    describe("two clients", () => {
      test("never see anything of one another: 404 on every route for every reference", async () => {
        const [ours, theirs] = [await go.client(), await go.client()];
        const references = ["shared", "a", go.fresh()];
        for (const reference of references) {
          dekOf(await go.generate(theirs, reference));
          dekOf(await go.rotate(theirs, reference));
        }
        const { clientAccounts } = service().keystead.services;
        const { client: found } = await clientAccounts.accountOf(await go.numberOf(theirs.name));
        for (const reference of references) {
          const options = { token: ours.token };
          for (const project of [undefined, found.project]) {
            const at = project === undefined ? options : { ...options, project };
            for (const [method, path, body] of keyRoutes(reference)) {
              isRefused(await go.ask(method, path, body, at), 404, "Not found");
            }
          }
          assert.equal(pairOf(await go.get(theirs, reference, 1)).encryptWith.version, 2);
        }
        const native = { token: ours.token, project: found.project };
        assert.equal((await go.ask("GET", "/v1/keys", undefined, native)).status, 404);
      });

      test("may call theirs the same, and have each its own", async () => {
        const [a, b] = [await go.client(), await go.client()];
        const [first, second] = [dekOf(await go.generate(a, "same")), dekOf(await go.generate(b, "same"))];
        assert.notEqual(first.dek, second.dek);
        assert.equal((await go.delete(a, "same")).status, 204);
        assert.equal(pairOf(await go.get(b, "same")).decryptWith.dek, second.dek);
      });
    });

    test("every use is in the audit log, with neither references, client names, passwords nor keys", async () => {
      const name = "audited-client";
      const client = await go.client(name);
      const reference = "audited-reference";
      const first = dekOf(await go.generate(client, reference));
      pairOf(await go.get(client, reference, 1));
      const second = dekOf(await go.rotate(client, reference));
      await go.delete(client, reference);
      const entries = service().auditEntries();
      const last = entries.slice(-4).map(({ action, version }) => [action, version]);
      assert.deepEqual(last, [
        ["dek.create", 1],
        ["dek.get", 1],
        ["dek.rotate", 2],
        ["key.schedule_deletion", 0],
      ]);
      const text = JSON.stringify(entries) + service().logLines.join("\n");
      for (const secret of [name, reference, PASSWORD, first.dek, second.dek, client.token])
        assert.ok(!text.includes(secret));
    });
  });

  describe(`go-kms on ${store}, with its settings`, () => {
    test("DEFAULT_ROLE is what a client is when it has signed up", async () => {
      await using service = await start({ ...settings, DEFAULT_ROLE: "admin" }, { passwordCost: cheap });
      const go = await GoKmsService.of(service);
      const { token } = await go.client();
      assert.equal((await go.ask("GET", "/clients", undefined, { token })).status, 200);
    });

    test("the master administrator is made by the next start where one was cut off before", async () => {
      await using service = await start(settings, { passwordCost: cheap });
      const { auditor, clientAccounts } = service.keystead.services;
      const make = (isCutOff: boolean): Promise<boolean> =>
        clientAccounts.makeFirst("the-admin", PASSWORD, async (writes) => {
          if (isCutOff) throw new Error("cut off");
          await auditor.commitChange(serviceFacts("account.create"), writes);
        });
      await assert.rejects(make(true), /cut off/);
      assert.equal(await make(false), true);
      assert.equal(await make(false), false);
      const shown = await clientAccounts.list();
      assert.deepEqual(
        shown.map(({ client, role }) => [client.name, client.number, role]),
        [["the-admin", 1, "admin"]],
      );
    });

    test("the master administrator is made at the start, and manages clients", async () => {
      const named = { MASTER_ADMIN_USERNAME: "the-admin", MASTER_ADMIN_PASSWORD: PASSWORD };
      await using service = await start(
        { ...settings, ...named },
        { passwordCost: cheap, initialising: false },
      );
      const login = await service.request("POST", "/auth/login", {
        clientname: "the-admin",
        password: PASSWORD,
      });
      assert.equal(login.status, 200, login.text);
      const token = String(login.json["token"]);
      const { json } = await service.request("GET", "/clients", undefined, { token });
      const [only, ...rest] = json as unknown as Record<string, unknown>[];
      assert.deepEqual([only?.["clientname"], only?.["role"], rest.length], ["the-admin", "admin", 0]);
      const invited = await service.request(
        "POST",
        "/auth/signup/generate",
        { clientname: "billing" },
        { token },
      );
      assert.equal(invited.status, 200);
    });
  });
}

const administrators = [
  ["POST", "/auth/signup/generate", { clientname: "some-client", ttl: 1000 }],
  ["GET", "/clients", undefined],
  ["GET", "/clients/", undefined],
  ["POST", "/clients/1/role", { role: "client" }],
  ["DELETE", "/clients/1", undefined],
] as const;

/** The routes on one key. */
function keyRoutes(reference: string): readonly (readonly [string, string, unknown])[] {
  return [
    ["GET", `/keys/${reference}`, undefined],
    ["GET", `/keys/${reference}/1`, undefined],
    ["GET", `/keys/${reference}/2`, undefined],
    ["POST", `/keys/${reference}/actions/rotate`, undefined],
    ["DELETE", `/keys/${reference}/actions/delete`, undefined],
  ];
}

/** All routes that want a token. */
function wanting(reference: string): readonly (readonly [string, string, unknown])[] {
  return [
    ...administrators,
    ...keyRoutes(reference),
    ["POST", "/keys/actions/generate", { keyReference: reference }],
  ];
}
