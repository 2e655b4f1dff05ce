/** The `openssl` command line with files of its own: keys, messages and signatures go through a folder that is removed. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../harness.ts";

export class OpensslCommand {
  readonly #folder = temporaryFolder();
  #files = 0;

  /** Leaves bytes in a file, and gives its path. */
  file(bytes: Uint8Array | string): string {
    const path = join(this.#folder, String(++this.#files));
    writeFileSync(path, bytes);
    return path;
  }

  /** What the command prints. Throws with its complaint where it fails. */
  run(...args: string[]): Buffer {
    const { status, stdout, stderr } = spawnSync("openssl", args);
    if (status !== 0) throw new Error(`openssl ${args[0] ?? ""}: ${stderr.toString()}`);
    return stdout;
  }

  /** Whether the command ends well. */
  agrees(...args: string[]): boolean {
    return spawnSync("openssl", args).status === 0;
  }
}
