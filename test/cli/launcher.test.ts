/** bin/keystead: what it runs, and from where. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { temporaryFolder } from "../harness.ts";
import { REPOSITORY } from "../server-process.ts";
import { runCli } from "./cli-process.ts";

describe("the launcher", () => {
  test("runs nothing that the folder holds in which it is started", async () => {
    const cwd = temporaryFolder();
    const ran = join(cwd, "ran");
    writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./planted.ts"]\n');
    writeFileSync(
      join(cwd, "planted.ts"),
      `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(ran)}, "");\n`,
    );
    for (const args of [["version"], ["server", "--help"]]) {
      const { status, stderr } = await runCli(args, { cwd });
      assert.equal(status, 0, stderr);
      assert.equal(existsSync(ran), false, args.join(" "));
    }
    writeFileSync(join(cwd, "asked.ts"), 'console.log("asked");\n');
    const script = join(REPOSITORY, "scripts/run-bun.mjs");
    const { stdout } = spawnSync("node", [script, "asked.ts"], { cwd, encoding: "utf8" });
    assert.equal(stdout, "asked\n");
    assert.equal(existsSync(ran), false, "run-bun");
  });
});
