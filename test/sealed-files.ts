/** The provider of docs/provider.md, in a folder of its own, with the key that it seals with. */
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { temporaryFolder } from "./harness.ts";

export interface SealedFiles {
  /** What KEYSTEAD_PROVIDERS names. */
  readonly file: string;
  /** The files of the keys that it holds. */
  keys(): string[];
}

/** Lays the provider's file and its folder, which the environment of this process names from now on. */
export function sealedFiles(): SealedFiles {
  const folder = temporaryFolder();
  const keyFolder = join(folder, "keys");
  mkdirSync(keyFolder, { mode: 0o700 });
  writeFileSync(join(keyFolder, "sealing.key"), randomBytes(32), { mode: 0o600 });
  const file = join(folder, "sealed-files-provider.mjs");
  copyFileSync(new URL("./crypto/sealed-files-provider.mjs", import.meta.url), file);
  process.env["SEALED_FILES_FOLDER"] = keyFolder;
  return { file, keys: () => readdirSync(keyFolder).filter((name) => name !== "sealing.key") };
}
