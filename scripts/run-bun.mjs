// `node scripts/run-bun.mjs FILE ARGS…`: installs what is missing, then runs FILE under the pinned Bun.
import { spawnSync } from "node:child_process";
import "./install.mjs";
import { findBun } from "./runtime.mjs";

const { status, signal } = spawnSync(findBun(), ["--no-env-file", ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exit(signal === null ? (status ?? 1) : 1);
