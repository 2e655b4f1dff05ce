import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseEnv } from "node:util";
import { envExample, envExampleFile } from "../scripts/make-env-example.ts";
import { serverHelp } from "../src/server-help.ts";
import { clientSettings, serverSettings, type Setting } from "../src/settings.ts";

const settings: readonly Setting[] = [...serverSettings, ...clientSettings];
const file = readFileSync(envExampleFile, "utf8");

describe(".env.example", () => {
  test("is what scripts/make-env-example.ts makes of the table of settings", () => {
    assert.equal(file, envExample());
  });

  test("lists every setting with its line of help, and no other", () => {
    const lines = file.split("\n");
    for (const { name, help } of settings) {
      assert.ok(lines.includes(`# ${help}`), help);
      assert.equal(lines.filter((line) => line.startsWith(`#${name}=`)).length, 1, name);
    }
    const listed = lines.flatMap((line) => /^#([A-Z_]+)=/.exec(line)?.[1] ?? []);
    assert.deepEqual(listed.sort(), settings.map(({ name }) => name).sort());
  });

  test("sets nothing as it stands, and exactly the examples when they are uncommented", () => {
    assert.deepEqual({ ...parseEnv(file) }, {});
    const uncommented = file.replaceAll(/^#(?=[A-Z])/gm, "");
    const examples = Object.fromEntries(settings.map(({ name, example }) => [name, example]));
    assert.deepEqual({ ...parseEnv(uncommented) }, examples);
  });
});

describe("the table of settings", () => {
  test("names everything once: settings, aliases and flags", () => {
    for (const part of [serverSettings, clientSettings] as readonly (readonly Setting[])[]) {
      const names = part.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
      const flags = part.flatMap(({ flag }) => flag ?? []);
      assert.equal(new Set(names).size, names.length);
      assert.equal(new Set(flags).size, flags.length);
    }
    assert.equal(new Set(settings.map(({ name }) => name)).size, settings.length);
  });

  test("gives no server secret a flag, and every secret a file", () => {
    for (const { name, flag, mayBeFile } of serverSettings as readonly Setting[]) {
      if (!/ROOT_KEY|SECRET|TOKEN|PASSWORD/.test(name)) continue;
      assert.equal(flag, undefined, name);
      assert.equal(mayBeFile, true, name);
    }
  });

  test("explains each setting in one line", () => {
    for (const { name, help } of settings) {
      assert.match(help, /^[^\n]{15,120}$/, name);
      assert.doesNotMatch(help, /\.$/, name);
    }
  });

  test("is what the server's help shows", () => {
    const help = serverHelp();
    for (const { name, flag, help: line } of serverSettings as readonly Setting[]) {
      assert.ok(help.includes(`  ${name}`), name);
      assert.ok(help.includes(line), line);
      if (flag !== undefined) assert.ok(help.includes(`(--${flag}`), flag);
    }
  });
});
