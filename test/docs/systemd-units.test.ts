/** The units for systemd, in the eyes of systemd itself: the document store's file, and the one that docs/deployment.md shows. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { temporaryFolder } from "../harness.ts";

const root = join(import.meta.dirname, "../..");
const deployment = readFileSync(join(root, "docs/deployment.md"), "utf8");
const units = {
  "keystead.service":
    /```ini\n(# \/etc\/systemd\/system\/keystead\.service\n.*?)```/s.exec(deployment)?.[1] ?? "",
  "keystead-docs.service": readFileSync(join(root, "deploy/keystead-docs.service"), "utf8"),
};
const isThere = spawnSync("systemd-analyze", ["--version"]).status === 0;

describe("the unit", () => {
  const folder = temporaryFolder();
  for (const [name, unit] of Object.entries(units)) {
    test(`${name} keeps memory off the swap and out of core files, and gives no privileges`, () => {
      for (const line of [
        "MemorySwapMax=0",
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "UMask=0077",
      ]) {
        assert.ok(unit.split("\n").includes(line), line);
      }
    });

    test(
      `${name} is one that systemd has nothing to say against`,
      { skip: !isThere && "no systemd here" },
      () => {
        const path = join(folder, name);
        // Its program is where this one is: systemd looks for it.
        const program = /^ExecStart=(\S+)/m.exec(unit)?.[1] ?? "";
        assert.match(program, /keystead$/);
        writeFileSync(path, unit.replace(program, join(root, "bin/keystead")));
        const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", path], {
          encoding: "utf8",
        });
        const about = (stdout + stderr).split("\n").filter((line) => line.includes(name));
        assert.deepEqual(about, []);
        assert.equal(status, 0, stdout + stderr);
      },
    );
  }
});
