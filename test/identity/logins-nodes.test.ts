/** What one node takes back, another that shares its database refuses within a second. */
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { test } from "node:test";
import { Authenticator } from "../../src/identity/authenticate.ts";
import { LoginVerifier } from "../../src/identity/login-verifier.ts";
import { forEachStore } from "../harness.ts";
import { twoNodes, type Node } from "../jobs/nodes.ts";

const PASSWORD = "correct horse battery";
const HELD_MS = 1000;

function authenticatorOf({ services }: Node): Authenticator {
  const { accounts, sessions, signingKeys: keys } = services;
  const verifier = new LoginVerifier({ accounts, sessions, keys, issuer: "urn:test", now: Date.now });
  return new Authenticator({ accounts, verifiers: [verifier], devMode: false });
}

forEachStore(({ store }) => {
  test("a session, a disabled account and a signing key that are taken back on one node end on the other", async () => {
    await using running = await twoNodes([Date.now, Date.now], store);
    const [first, second] = running.nodes;
    const there = authenticatorOf(second);
    const { accounts, passwords, logins, sessions, signingKeys } = first.services;
    const { account, write } = accounts.making("ann", "person", []);
    await first.commit([write, ...(await passwords.setting(account.id, PASSWORD))], {
      resource: "account:ann",
    });
    const login = async (): Promise<{ token: string; session: { id: string } }> => {
      const input = { account: "ann", password: PASSWORD, address: "10.0.0.1", limitedAddress: "10.0.0.1" };
      return logins.create(input, first.commit, () => undefined);
    };
    const endings: Record<string, (sessionId: string) => Promise<unknown>> = {
      session: (id) => sessions.revoke(account.id, id, "account:ann", first.commit),
      key: () => signingKeys.rotate("login", true, first.commit),
      account: async () => accounts.setState(await accounts.byName("ann"), "disabled", [], first.commit),
    };
    for (const [what, end] of Object.entries(endings)) {
      const { token, session } = await login();
      const header = `Bearer ${token}`;
      // A key that is a moment old is looked for again.
      for (let tries = 0; ; tries++) {
        try {
          assert.equal((await there.authenticate(header)).label, "person:ann");
          break;
        } catch (error) {
          if (tries === 20) throw error;
          await wait(100);
        }
      }
      await end(session.id);
      await wait(HELD_MS);
      await assert.rejects(async () => there.authenticate(header), { code: "unauthenticated" }, what);
    }
  });
});
