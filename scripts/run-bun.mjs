// `node scripts/run-bun.mjs FILE ARGS…`: installs what is missing, then runs FILE under the pinned Bun.
import { spawnSync } from "node:child_process";
import "./install.mjs";
import { findBun, RUNTIME_FLAGS } from "./runtime.mjs";

const { status, signal } = spawnSync(findBun(), [...RUNTIME_FLAGS, ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exit(signal === null ? (status ?? 1) : 1);
