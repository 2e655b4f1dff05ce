/** docs/dependencies.md, held to what is installed for running the service. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

interface Locked {
  readonly version: string;
  readonly dev?: boolean;
}

test("docs/dependencies.md names every package of the lock file that is not for development, with its version", () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, "../..", path), "utf8");
  const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Locked> };
  // Everything that is code is in a table, or in the lists below the first.
  const text = read("docs/dependencies.md").replaceAll(/\s+/g, " ");
  for (const [path, { version, dev = false }] of Object.entries(packages)) {
    const name = path.replace(/^.*node_modules\//, "");
    // Bun's binaries, of which each platform takes one, are named with bun.
    if (path === "" || dev || name.startsWith("@oven/bun-")) continue;
    assert.ok(
      text.includes(`\`${name}\` ${version}`) || text.includes(`\`${name}\` | ${version}`),
      `${name} ${version}`,
    );
  }
});
