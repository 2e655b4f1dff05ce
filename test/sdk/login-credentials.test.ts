/** A client that logs in by itself, against the service. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { before, describe, test } from "node:test";
import { KeysteadClient } from "../../sdk/client.ts";
import { loginCredentials } from "../../sdk/login-credentials.ts";
import { serviceFor, startServer } from "../harness.ts";
import { cheap } from "../identity/cheap-hash.ts";

const PASSWORD = "correct horse battery";
let behindMs = 0;

describe("login credentials", () => {
  const service = serviceFor(() =>
    startServer({ KEYSTEAD_LOGIN_TTL: "60" }, { now: () => Date.now() - behindMs, passwordCost: cheap }),
  );
  let admin: KeysteadClient;
  let names = 0;
  before(async () => {
    admin = new KeysteadClient({
      url: service().url,
      token: await service().token("admin", { project: "*" }),
    });
  });
  const person = async (): Promise<string> => {
    const name = `person-${++names}`;
    await admin.account.create(name, "person");
    await admin.password.set(name, PASSWORD);
    return name;
  };
  /** How often the account logged in and refreshed. */
  const counts = (name: string): [number, number] => {
    const done = service()
      .auditEntries()
      .filter(({ resource, outcome }) => resource === `account:${name}` && outcome === "ok");
    const of = (action: string): number => done.filter((entry) => entry["action"] === action).length;
    return [of("login.create"), of("login.refresh")];
  };
  const clientOf = (
    account: string,
    password: string | (() => Promise<string>) = PASSWORD,
  ): KeysteadClient => {
    const { url } = service();
    return new KeysteadClient({ url, token: loginCredentials({ url, account, password }) });
  };

  test("log in once for many calls at the same time and after, and ask for the password no more", async () => {
    const name = await person();
    let asked = 0;
    const client = clientOf(name, () => Promise.resolve(++asked === 1 ? PASSWORD : "no horse battery"));
    const callers = await Promise.all(Array.from({ length: 20 }, () => client.whoami()));
    assert.ok(callers.every(({ caller }) => caller === `person:${name}`));
    await client.whoami();
    assert.deepEqual([asked, counts(name)], [1, [1, 0]]);
  });

  test("are refreshed before the token ends, in the same session", async () => {
    const name = await person();
    const { url } = service();
    const source = loginCredentials({ url, account: name, password: PASSWORD });
    // By the client's clock it ends in 15 seconds.
    behindMs = 45_000;
    try {
      const first = await source();
      // Within one second a session's tokens are the same.
      behindMs = 43_000;
      const second = await Promise.all([source(), source(), source()]);
      assert.deepEqual(new Set(second.map(({ token }) => token)).size, 1);
      assert.notEqual(second[0].token, first.token);
      assert.deepEqual(counts(name), [1, 1]);
    } finally {
      behindMs = 0;
    }
    await source();
    const { token } = await source();
    assert.equal((await source()).token, token, "and no more where it does not end soon");
    assert.deepEqual(counts(name), [1, 2]);
  });

  test("are refreshed where the service refuses the token, and logged in again where the session is gone", async () => {
    const name = await person();
    const client = clientOf(name);
    await client.whoami();
    await admin.loginKey.rotate({ immediately: true });
    await Promise.all(Array.from({ length: 10 }, () => client.whoami()));
    assert.deepEqual(counts(name), [1, 1]);
    const { sessions } = await admin.session.list(name);
    await admin.session.revoke(name, sessions[0]!.id);
    await Promise.all(Array.from({ length: 10 }, () => client.whoami()));
    assert.deepEqual(counts(name), [2, 1]);
  });

  test("fail with what the service said where the password is not right, and not for ever", async () => {
    const name = await person();
    let password = "wrong horse battery";
    const client = clientOf(name, () => Promise.resolve(password));
    await assert.rejects(client.whoami(), ({ name: kind, cause }: Error) => {
      return kind === "KeysteadCredentialError" && (cause as { status?: number }).status === 401;
    });
    password = PASSWORD;
    assert.equal((await client.whoami()).caller, `person:${name}`);
  });

  test("survive a login and a refresh whose answers got lost", async () => {
    const name = await person();
    await using lossy = await startLossy(service().port);
    const { url } = lossy;
    const source = loginCredentials({ url, account: name, password: PASSWORD });
    lossy.loseNext = true;
    const { token } = await source();
    lossy.loseNext = true;
    behindMs = -2000;
    const { token: next } = await source(token);
    assert.notEqual(next, token);
    const direct = new KeysteadClient({ url: service().url, token: next });
    assert.equal((await direct.whoami()).caller, `person:${name}`);
    assert.equal(lossy.lost, 2);
    behindMs = 0;
  });

  test("go on with the session where the answer to a refresh never comes", async () => {
    const name = await person();
    await using lossy = await startLossy(service().port);
    const { url } = lossy;
    const source = loginCredentials({ url, account: name, password: PASSWORD });
    const { token } = await source();
    lossy.loseNext = true;
    lossy.isSilent = true;
    await source(token);
    assert.equal(lossy.lost, 1);
    assert.equal(counts(name)[0], 1, "no second login: the session was not taken for stolen");
  });
});

/** Passes requests on to a service; where it is told to, it cuts the connection or says nothing in the place of an answer. */
async function startLossy(
  port: number,
): Promise<AsyncDisposable & { readonly url: string; loseNext: boolean; isSilent: boolean; lost: number }> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      const headers = Object.fromEntries(
        ["content-type", "idempotency-key", "authorization"].flatMap((name) => {
          const value = request.headers[name];
          return typeof value === "string" ? [[name, value]] : [];
        }),
      );
      const answer = await fetch(`http://127.0.0.1:${port}${request.url ?? ""}`, {
        method: request.method ?? "GET",
        headers,
        body: await bodyOf(request),
      });
      const text = await answer.text();
      if (proxy.loseNext) {
        proxy.loseNext = false;
        proxy.lost++;
        if (!proxy.isSilent) request.socket.destroy();
        return;
      }
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
      response.end(text);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseNext: false,
    isSilent: false,
    lost: 0,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  request.setEncoding("utf8");
  for await (const part of request) text += String(part);
  return text;
}
