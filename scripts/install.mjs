// Installs what a checkout is missing, exactly as the lock file says. Plain Node, no dependencies.
// Invariant: does nothing (and costs one small read) where everything is in place; never runs a package's scripts.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun, writeRuntimePath } from "./runtime.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const lockFile = join(root, "package-lock.json");

// Installed as a dependency of another project there is no lock file, and npm has done the work.
if (existsSync(lockFile)) {
  const stampFile = join(root, "node_modules", ".keystead", "lock-hash");
  const wanted = createHash("sha256").update(readFileSync(lockFile)).digest("hex");
  const present = existsSync(stampFile) ? readFileSync(stampFile, "utf8") : "";
  if (present !== wanted && installedByHand()) {
    stamp();
  } else if (present !== wanted) {
    process.stderr.write("Installing dependencies (once, takes a moment) ...\n");
    const { status } = spawnSync(
      "npm",
      ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
      { cwd: root, stdio: ["ignore", 2, 2] },
    );
    if (status !== 0) {
      process.stderr.write("keystead: npm could not install the dependencies; its message stands above\n");
      process.exit(1);
    }
    stamp();
  }

  /** Somebody ran `npm install` after the lock file was last written, and it brought the runtime. */
  function installedByHand() {
    try {
      const done = statSync(join(root, "node_modules", ".package-lock.json")).mtimeMs;
      return done >= statSync(lockFile).mtimeMs && findBun() !== "";
    } catch {
      return false;
    }
  }

  function stamp() {
    writeRuntimePath();
    try {
      mkdirSync(join(root, "node_modules", ".keystead"), { recursive: true });
      writeFileSync(stampFile, wanted);
    } catch {
      // Installed by another user: everything is there, and this one need not leave a mark.
    }
  }
}
