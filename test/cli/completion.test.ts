import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { completionsAt } from "../../cli/completion.ts";
import { completionShells } from "../../cli/completion-scripts.ts";
import { buildProgram } from "../../cli/program.ts";
import { accountKinds, keyPurposes, keyStates, keyTypes, roleNames } from "../../sdk/wire.ts";
import { temporaryFolder } from "../harness.ts";
import { runCli } from "./cli-process.ts";

const bin = join(dirname(fileURLToPath(import.meta.url)), "../../bin");
const program = buildProgram({});

/** The words that are offered in the place of the last one. */
function offered(...words: string[]): string[] | "files" {
  const completions = completionsAt(program, words);
  return completions === "files" ? completions : completions.candidates.map(({ value }) => value);
}

/** Whether a shell is on this machine. */
function isHere(shell: string): boolean {
  return spawnSync(shell, ["-c", "exit 0"]).status === 0;
}

describe("completion", () => {
  test("every command offers all its subcommands, flags and choices, and no hidden ones", () => {
    const help = program.createHelp();
    function check(command: Command, path: readonly string[]): void {
      const children = command.commands.filter((child) => help.visibleCommands(command).includes(child));
      const words = offered(...path, "");
      for (const child of children) {
        assert.ok(words.includes(child.name()), [...path, child.name()].join(" "));
        check(child, [...path, child.name()]);
      }
      const flags = offered(...path, "--");
      for (const option of command.options.filter(({ hidden }) => !hidden)) {
        assert.ok(flags.includes(option.long ?? ""), [...path, option.long].join(" "));
        const { argChoices: choices } = option;
        if (choices !== undefined) assert.deepEqual(offered(...path, option.long ?? "", ""), choices);
        if (option.flags.includes("<path>")) assert.equal(offered(...path, option.long ?? "", ""), "files");
      }
      for (const [i, { argChoices: choices }] of command.registeredArguments.entries()) {
        const before = Array.from({ length: i }, () => "x");
        if (choices !== undefined) assert.deepEqual(offered(...path, ...before, ""), choices);
      }
      for (const flag of ["--url", "--json", "--help"])
        assert.ok(flags.includes(flag), [...path, flag].join(" "));
    }
    check(program, []);
    assert.ok(!offered("").includes("__complete"));
  });

  test("types, purposes, states, roles and kinds are offered where they are asked for", () => {
    assert.deepEqual(offered("key", "create", "k", ""), [...keyTypes]);
    assert.deepEqual(offered("key", "create", "k", "--type", ""), [...keyTypes]);
    assert.deepEqual(
      offered("key", "import", "k", "ml-"),
      keyTypes.filter((type) => type.startsWith("ml-")),
    );
    assert.deepEqual(offered("key", "list", "--purpose", ""), [...keyPurposes]);
    assert.deepEqual(offered("key", "list", "--state", ""), [...keyStates]);
    assert.deepEqual(offered("account", "bind", "billing", ""), [...roleNames]);
    assert.deepEqual(offered("account", "create", "x", "--kind", ""), [...accountKinds]);
  });

  test("flags before, between and after commands, their values, one dash and -- lead nowhere wrong", () => {
    assert.deepEqual(offered("--url", "key", "key", "rot"), ["rotate"]);
    assert.deepEqual(offered("--url=x", "--json", "key", "rot"), ["rotate"]);
    assert.deepEqual(offered("key", "--project", "list", "rot"), ["rotate"]);
    assert.deepEqual(offered("-project", "x", "status", "--ur"), ["--url"]);
    assert.deepEqual(offered("key", "list", "--state=dis"), ["--state=disabled"]);
    assert.deepEqual(offered("key", "list", "-state", "dis"), ["disabled"]);
    assert.deepEqual(offered("key", "create", "-"), offered("key", "create", "--"));
    assert.deepEqual(offered("encrypt", "--", "--"), []);
    assert.deepEqual(offered("help", "tok"), ["token"]);
    assert.deepEqual(offered("key", "get", ""), []);
    assert.deepEqual(offered("no-such-command", "x", "--no-such"), []);
  });

  const bash = isHere("bash") ? undefined : "bash is not on this machine";
  test("a real bash completes through the script", { skip: bash ?? false }, async () => {
    const folder = temporaryFolder();
    const script = join(folder, "keystead.bash");
    writeFileSync(script, (await runCli(["completion", "bash"])).stdout);
    writeFileSync(join(folder, "a file.txt"), "");
    mkdirSync(join(folder, "a-folder"));

    /** What bash offers for words that it has split as it does: `=` and `:` stand alone. */
    function replies(...words: string[]): string[] {
      const quoted = words.map((word) => `'${word}'`).join(" ");
      const commands = [
        "set -u",
        `source ${script}`,
        `COMP_WORDS=(keystead ${quoted})`,
        `COMP_CWORD=${words.length}`,
        "_keystead keystead",
        '[ "${#COMPREPLY[@]}" -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"',
      ];
      const { stdout, stderr, status } = spawnSync("bash", ["--norc", "-c", commands.join("\n")], {
        cwd: folder,
        env: { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: folder },
        encoding: "utf8",
        timeout: 60_000,
      });
      assert.deepEqual([status, stderr], [0, ""], words.join(" "));
      return stdout.split("\n").slice(0, -1);
    }

    assert.deepEqual(replies("comp"), ["completion"]);
    assert.ok(replies("").includes("key"));
    assert.deepEqual(replies("key", "schedule"), ["schedule-deletion"]);
    assert.deepEqual(replies("key", "create", "k", "--type", "ecdsa-"), [
      "ecdsa-p256",
      "ecdsa-p384",
      "ecdsa-p521",
    ]);
    assert.deepEqual(replies("key", "list", "--state", "=", "pend"), ["pending_deletion"]);
    assert.deepEqual(replies("key", "list", "--state", "="), [...keyStates]);
    assert.deepEqual(replies("--url", "http", ":", "//localhost", ":", "8080", "key", "rot"), ["rotate"]);
    assert.deepEqual(replies("account", "bind", "billing", "exp"), ["exporter"]);
    assert.deepEqual(replies("encrypt", "k", "--file", "a").sort(), ["a file.txt", "a-folder"]);
    assert.deepEqual(replies("key", "get", ""), []);
    const registered = `source ${script}; complete -p keystead`;
    const { stdout } = spawnSync("bash", ["--norc", "-c", registered], { encoding: "utf8" });
    assert.equal(stdout, "complete -F _keystead keystead\n");
  });

  for (const shell of completionShells) {
    const skip = isHere(shell) ? false : `${shell} is not on this machine`;
    test(`the script for ${shell} is one that the shell itself can read`, { skip }, async () => {
      const { stdout, status } = await runCli(["completion", shell]);
      assert.equal(status, 0);
      const checked = spawnSync(shell, ["-n"], { input: stdout, encoding: "utf8" });
      assert.deepEqual([checked.status, checked.stderr], [0, ""]);
    });
  }

  test("each script asks the program itself, and an unknown shell is refused", async () => {
    for (const shell of completionShells) {
      const { stdout } = await runCli(["completion", shell]);
      assert.match(stdout, /__complete --/);
      assert.doesNotMatch(stdout, /schedule-deletion|aes-256/);
    }
    assert.equal((await runCli(["completion", "cmd"])).status, 2);
  });
});
