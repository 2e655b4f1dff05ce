// Finds the Bun binary that npm brought, whether or not npm was allowed to run install scripts. Plain Node.
// Where scripts ran, the binary lies in the package `bun`; where they did not, in `@oven/bun-<platform>`.
// Run directly, it prints the path; `bin/keystead` reads the path from the file that writeRuntimePath leaves.
import { existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { devNull } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(join(root, "package.json"));
/** What Bun is started with: neither .env nor bunfig.toml is read, whose folder may be anybody's. */
export const RUNTIME_FLAGS = ["--no-env-file", `--config=${devNull}`];
/** A placeholder script stands where no install script ran; the real binary is far larger. */
const BINARY_BYTES_MIN = 1_000_000;

/** @returns {string} the absolute path of the Bun binary. Throws when none is installed. */
export function findBun() {
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const musl =
    process.platform === "linux" &&
    existsSync(`/lib/ld-musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`);
  const platform = `@oven/bun-${process.platform}-${arch}${musl ? "-musl" : ""}`;
  for (const [name, path] of [
    [platform, "bin/bun"],
    ["bun", "bin/bun.exe"],
  ]) {
    try {
      const binary = join(dirname(require.resolve(`${name}/package.json`)), path);
      if (statSync(binary).size > BINARY_BYTES_MIN) return binary;
    } catch {
      // Not this one: the next candidate is tried.
    }
  }
  throw new Error(`no Bun binary for ${process.platform}-${process.arch} is installed: run npm ci`);
}

/** Leaves the path where the shell launcher finds it without starting Node; a read-only folder is no error. */
export function writeRuntimePath() {
  const bun = findBun();
  try {
    mkdirSync(join(root, "node_modules", ".keystead"), { recursive: true });
    writeFileSync(join(root, "node_modules", ".keystead", "bun-path"), `${bun}\n`);
  } catch {
    // Installed where this user may not write: the launcher asks this script each time instead.
  }
  return bun;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.stdout.write(`${writeRuntimePath()}\n`);
  } catch (error) {
    process.stderr.write(`keystead: ${error.message}\n`);
    process.exit(1);
  }
}
