import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { serviceFor, startDev } from "../harness.ts";
import { runCli, type CliResult } from "./cli-process.ts";

describe("accounts, tokens and projects on the command line", () => {
  const service = serviceFor(() => startDev());

  async function done(args: readonly string[], token?: string): Promise<CliResult> {
    const env = { KEYSTEAD_URL: service().url, ...(token === undefined ? {} : { KEYSTEAD_TOKEN: token }) };
    const result = await runCli(args, { env });
    assert.equal(result.status, 0, result.stderr);
    return result;
  }

  test("a service gets an account, a role in its project and a token, works with it, and loses it", async () => {
    await done(["project", "create", "payments"]);
    await done(["account", "create", "billing"]);
    await done(["account", "bind", "billing", "operator", "--project", "payments", "--pattern", "pay-*"]);
    const made = await done(["token", "create", "billing", "--label", "host 3", "--ttl", "1h"]);
    const token = made.stdout.trim();
    assert.equal(made.stderr, "", "in a pipe the token stands alone");
    assert.match((await done(["whoami"], token)).stdout, /operator in payments for pay-\*/);

    await done(["key", "create", "pay-key", "--project", "payments"]);
    await done(["encrypt", "pay-key", "x", "--project", "payments"], token);

    const { tokens } = JSON.parse((await done(["token", "list", "billing", "--json"])).stdout) as {
      tokens: { id: string; label: string }[];
    };
    assert.deepEqual(
      tokens.map(({ label }) => label),
      ["host 3"],
    );
    await done(["token", "revoke", "billing", tokens[0]?.id ?? ""]);
    const refused = await runCli(["--url", service().url, "whoami"], { env: { KEYSTEAD_TOKEN: token } });
    assert.equal(refused.status, 3);
  });

  test("a role goes with its binding's id", async () => {
    await done(["account", "create", "ada", "--kind", "person"]);
    await done(["account", "bind", "ada", "admin", "--all-projects"]);
    const { bindings } = JSON.parse((await done(["account", "get", "ada", "--json"])).stdout) as {
      bindings: { id: string; role: string; project: string }[];
    };
    assert.deepEqual([bindings[0]?.role, bindings[0]?.project], ["admin", "*"]);
    await done(["account", "unbind", "ada", bindings[0]?.id ?? ""]);
    assert.doesNotMatch((await done(["account", "get", "ada"])).stdout, /binding/);
    assert.match((await done(["account", "list", "--all"])).stdout, /^ada\tperson\t/m);
    assert.match((await done(["project", "list"])).stdout, /^default\t/m);
  });

  test("a text that came over the network cannot break lines or control the terminal", async () => {
    const label = "a\tb\n\u001b[31mred\u202e";
    const time = "2026-01-01T00:00:00.000Z";
    const tokens = [
      { id: "00000000-0000-4000-8000-000000000000", label, created_at: time, expires_at: time },
    ];
    const careless = createServer((_request, response) => {
      response.setHeader("content-type", "application/json").end(JSON.stringify({ tokens }));
    }).listen(0, "127.0.0.1");
    await once(careless, "listening");
    const { port } = careless.address() as AddressInfo;
    const { stdout } = await done(["--url", `http://127.0.0.1:${port}`, "token", "list", "labels"]);
    careless.close();
    assert.equal(stdout.split("\n").length, 2);
    assert.match(stdout, /\ta\\u\{9\}b\\u\{a\}\\u\{1b\}\[31mred\\u\{202e\}\t/);
    await done(["account", "create", "labels"]);
    const refused = await runCli(["token", "create", "labels", "--label", label], {
      env: { KEYSTEAD_URL: service().url },
    });
    assert.equal(refused.status, 5, "and the service takes no such text in the first place");
  });

  test("JWTs of a subject are refused from now on; health and status are one command", async () => {
    const answer = JSON.parse((await done(["jwt", "revoke", "bob", "--json"])).stdout) as {
      issued_before: number;
    };
    assert.ok(Math.abs(answer.issued_before - Date.now() / 1000) < 60);
    assert.match((await done(["health"])).stdout, /^status\tok\n/);
    assert.match((await done(["status"])).stdout, /^status\tok\n/);
  });
});
