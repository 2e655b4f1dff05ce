/** The runtime that this test does not run on, Bun or Node, as a second implementation of the same standards. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { KemAnswer, KemQuestion, SignatureAnswer, SignatureQuestion } from "./post-quantum-peer.ts";

const root = join(import.meta.dirname, "../..");
const otherRuntime = "bun" in process.versions ? findNode() : findBun();

/** Why the cross-checks are skipped; false where they run. */
export const otherRuntimeIsMissing: string | false =
  otherRuntime === undefined ? "only one runtime is installed here" : false;

/** Asks post-quantum-peer.ts on the other runtime. */
export function askPeer(question: KemQuestion): KemAnswer;
export function askPeer(question: SignatureQuestion): SignatureAnswer;
export function askPeer(question: KemQuestion | SignatureQuestion): unknown {
  const { status, stdout, stderr } = spawnSync(
    otherRuntime ?? "",
    [join(import.meta.dirname, "post-quantum-peer.ts")],
    { input: JSON.stringify(question), encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as unknown;
}

function findBun(): string | undefined {
  const { status, stdout } = spawnSync(process.execPath, [join(root, "scripts/runtime.mjs")], {
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}

function findNode(): string | undefined {
  try {
    const manifest = `node-${process.platform}-${process.arch}/package.json`;
    const binary = join(dirname(createRequire(import.meta.url).resolve(manifest)), "bin", "node");
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}
