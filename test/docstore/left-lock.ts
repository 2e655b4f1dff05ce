/** The lock of a process that was killed, for tests. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lockPath, withLock } from "../../docstore/document-lock.ts";

/** Leaves the lock; gives its token, or undefined where this machine cannot tell that its process is gone. */
export async function leaveLock(folder: string, name: string): Promise<string | undefined> {
  mkdirSync(folder, { recursive: true });
  const path = lockPath(folder, name);
  const kept = join(folder, ".kept");
  await withLock(folder, name, () => {
    cpSync(path, kept, { recursive: true });
    return Promise.resolve();
  });
  const [token = ""] = readdirSync(kept);
  const holder = readFileSync(join(kept, token), "utf8");
  rmSync(kept, { recursive: true });
  if (holder.startsWith("unknown")) return undefined;
  // A process of this boot and namespace that has ended.
  const { pid } = spawnSync("true");
  mkdirSync(path);
  writeFileSync(join(path, token), holder.replace(/ \d+$/, ` ${pid}`));
  return token;
}
