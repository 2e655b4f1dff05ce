import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { runCli, type CliResult } from "./cli-process.ts";

describe("roles, issuers and explanations on the command line", () => {
  const service = serviceFor(() => startDev());
  const run = (args: readonly string[]): Promise<CliResult> =>
    runCli(args, { env: { KEYSTEAD_URL: service().url } });
  async function done(args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await run(args);
    assert.equal(status, 0, stderr);
    return stdout;
  }

  test("a role is made, bound, explained with exit codes, changed and deleted", async () => {
    const made = [
      "role",
      "create",
      "clerk",
      "--allow",
      "kms:encrypt,kms:read_key@card-*",
      "--deny",
      "*@card-vault",
    ];
    const shown = await done(made);
    assert.match(shown, /statement 1\tallow kms:encrypt,kms:read_key on card-\*/);
    assert.match(shown, /statement 2\tdeny \* on card-vault/);
    await done(["account", "create", "billing"]);
    await done(["account", "bind", "billing", "clerk"]);
    const yes = await run(["can", "billing", "key.encrypt", "card-1"]);
    assert.equal(yes.status, 0, yes.stderr);
    assert.match(
      yes.stdout,
      /^yes: service:billing may key\.encrypt on card-1\n {2}allowed by binding .*clerk in default, statement 1\n$/,
    );
    const no = await run(["can", "billing", "key.encrypt", "card-vault"]);
    assert.equal(no.status, 1);
    assert.match(
      no.stdout,
      /^no: service:billing may not .*a denial wins.*\n {2}denied by binding .*statement 2\n$/,
    );
    assert.equal((await run(["can", "@me", "account.create"])).status, 0);
    assert.match((await run(["role", "delete", "clerk"])).stderr, /role_in_use/);
    await done(["role", "update", "clerk", "--description", "Encrypts cards"]);
    assert.match(await done(["role", "list"]), /^clerk\tfalse\t2\tEncrypts cards$/m);
    await done(["role", "create", "spare", "--allow", "kms:sign"]);
    await done(["role", "delete", "spare"]);
    assert.equal((await run(["role", "create", "empty"])).status, 2);
  });

  test("an issuer is registered from files, shown, disabled and deleted", async () => {
    const file = join(temporaryFolder(), "rules.json");
    const rule = {
      when: [{ claim: "sub", equals: "x" }],
      bindings: [{ role: "reader", project: "default" }],
    };
    writeFileSync(file, JSON.stringify([rule]));
    const url = "https://i.example.com";
    const create = ["issuer", "create", "ci", "--issuer", url, "--audience", "a", "--audience", "b"];
    const shown = await done([...create, "--rules", file, "--max-lifetime", "10m", "--algorithm", "ES256"]);
    assert.match(shown, /audiences\ta b/);
    assert.match(shown, /rule 1\tsub = x: reader in default/);
    assert.match(await done(["issuer", "disable", "ci"]), /enabled\tfalse/);
    assert.match(
      await done(["issuer", "update", "ci", "--jwks-url", `${url}/keys`]),
      /keys\thttps:\/\/i\.example/,
    );
    assert.match(await done(["issuer", "list"]), /^ci\thttps:\/\/i\.example\.com\tfalse\t1$/m);
    await done(["issuer", "delete", "ci"]);
    writeFileSync(file, "no JSON");
    const refused = await run([...create, "--rules", file]);
    assert.equal(refused.status, 5, refused.stderr);
    assert.equal((await run(create)).status, 2);
  });
});
