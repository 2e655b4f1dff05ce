/**
 * `keystead rotate root`: puts the data path, or the PostgreSQL database, under a new root key. Only the keys that seal the
 * records are wrapped anew, in one transaction. With the server running on a data path it is asked to do that, through the
 * socket there; on PostgreSQL the node of these settings must be stopped, since this takes its name, and others may run.
 * Invariant: the new root key is never a flag's value; one that is made here lies on the disk before anything depends on
 * it. Killed at any point, the database opens with either the old root key or the new one.
 */
import { Buffer } from "node:buffer";
import { closeSync, existsSync, fsyncSync, openSync, writeSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import type { Keystead } from "../../src/compose.ts";
import type { CommandContext } from "../command-context.ts";
import { EXIT_FAILURE } from "../exit-code.ts";
import { InputFailed, readInput } from "../input.ts";
import { UsageError } from "../usage-error.ts";

/** How long a server may take with its answer: that of a database which fails, and more. */
const ANSWER_MS_MAX = 30_000;
const OUTCOME_UNKNOWN =
  "it is not known whether the root key was changed: keep both, and try the new one first at the next start";

interface Flags {
  readonly newRootFile?: string;
  readonly generate?: string;
}

/** Adds the command. */
export function addRotateRootCommand(group: Command, context: CommandContext, env: NodeJS.ProcessEnv): void {
  group
    .command("root")
    .description("put everything under a new root key; on the server's own host")
    .option("--new-root-file <path>", "a file that holds the new root key (- for standard input, as without)")
    .option(
      "--generate <path>",
      "make the new root key, and write it into this file, which must not be there",
    )
    .argument("[flags...]", "the flags of keystead server, such as --data-path /var/lib/keystead")
    .allowUnknownOption()
    .addHelpText(
      "after",
      `
Takes the server's settings, with the root key of now. A running server goes on without a pause; from its next start on it
takes the new root key. Keep the old one for as long as backups from before are kept.

On PostgreSQL stop this node first. Other nodes go on; start each anew with the new root key.

Example:
  keystead rotate root --generate /etc/keystead/root.new
  mv /etc/keystead/root.new /etc/keystead/root     # what KEYSTEAD_ROOT_KEY_FILE names`,
    )
    .action(async (serverFlags: string[], flags: Flags) => {
      process.exitCode = await rotateRoot(serverFlags, flags, context, env);
    });
}

async function rotateRoot(
  serverFlags: readonly string[],
  flags: Flags,
  context: CommandContext,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  if (flags.generate !== undefined && flags.newRootFile !== undefined)
    throw new UsageError("give --generate or --new-root-file, not both");
  process.umask(0o077);
  // Loaded here alone: no other command waits for the server's modules.
  const { compose } = await import("../../src/compose.ts");
  const { HelpAsked, readConfig } = await import("../../src/config.ts");
  const { parseRootKey } = await import("../../src/seal/root-key.ts");
  const { randomSecret } = await import("../../src/crypto/random.ts");
  let keystead: Keystead | undefined;
  let asked = false;
  try {
    const config = readConfig(serverFlags, env, process.cwd());
    const { dataPath } = config;
    if (config.database === undefined && !isDataPath(dataPath))
      return refuse(
        "there is nothing to put under a new root key: set KEYSTEAD_DATA_PATH, --data-path or KEYSTEAD_DATABASE_URL",
      );
    const text =
      flags.generate === undefined
        ? await readNewRoot(flags.newRootFile)
        : writeNewRoot(flags.generate, `base64:${randomSecret(32).toString("base64")}`);
    const parsed = parseRootKey(text);
    if (parsed === undefined)
      return refuse(
        "the new root key is not base64: and 32 bytes in base64, 64 hex digits, or 32 characters",
      );
    if (parsed.weakForm)
      remark("the new root key is 32 typed characters, which are easier to guess than random bytes");
    const refusal =
      dataPath === undefined ? "no server" : await askServer(join(dataPath, "admin.sock"), text);
    if (refusal === "no server") {
      keystead = await compose(config, { initialising: true, existing: true });
      asked = true;
      await keystead.rotateRoot(parsed.key);
    } else if (refusal !== undefined) return refuse(`the server refused: ${refusal}`);
    await context.output().done("the root key is the new one now", { status: "rotated" });
    remark("the new root key counts from now on: set it before the next start (KEYSTEAD_ROOT_KEY_FILE)");
    return 0;
  } catch (error) {
    if (error instanceof UsageError || error instanceof InputFailed) throw error;
    if (error instanceof OutcomeUnknown || (asked && !isRefusal(error))) return refuse(OUTCOME_UNKNOWN);
    if (error instanceof HelpAsked) return refuse("see keystead rotate root --help");
    // A refused start has one line for the operator, without a secret; other texts stay inside.
    if (error instanceof Error && error.name === "StartRefused") return refuse(error.message);
    if (error instanceof Error && "detail" in error && typeof error.detail === "string")
      return refuse(error.detail);
    return refuse(`rotate root failed (${error instanceof Error ? error.name : "unknown"})`);
  } finally {
    await keystead?.close();
  }
}

/** The change may have been made or not: nobody said. */
class OutcomeUnknown extends Error {}

/** True where the service says that it changed nothing; what is a failure of its own may come after the change. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && "status" in error && Number(error.status) < 500;
}

function isDataPath(path: string | undefined): boolean {
  return path !== undefined && existsSync(join(path, "keystead.db"));
}

async function readNewRoot(file: string | undefined): Promise<string> {
  const bytes = await readInput({ file, what: "the new root key", bytesMax: 1024 });
  return bytes.toString("utf8").replace(/\r?\n$/, "");
}

/** Writes a fresh root key to the disk. It must be there for good before the first byte depends on it. */
function writeNewRoot(path: string, text: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, "wx", 0o600);
    writeSync(file, `${text}\n`);
    fsyncSync(file);
    const folder = openSync(dirname(path), "r");
    fsyncSync(folder);
    closeSync(folder);
  } catch {
    throw new InputFailed("the file for the new root key cannot be written, or is there already");
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return text;
}

/** Asks the running server; undefined where it did as asked, otherwise why not. Throws OutcomeUnknown. */
function askServer(socketPath: string, rootKey: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify({ root_key: rootKey }));
    const headers = { "content-type": "application/json", "content-length": body.length };
    const options = { socketPath, path: "/root/rotate", method: "POST", headers, timeout: ANSWER_MS_MAX };
    const unknown = (): void => {
      reject(new OutcomeUnknown());
    };
    const call = request(options, (response) => {
      const { statusCode = 500 } = response;
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", unknown).on("close", unknown);
      response.on("end", () => {
        if (statusCode === 200) resolve(undefined);
        else if (statusCode >= 500) unknown();
        else resolve(titleOf(Buffer.concat(parts).toString("utf8")));
      });
    });
    call.on("timeout", () => {
      unknown();
      call.destroy();
    });
    call.on("error", (error: NodeJS.ErrnoException) => {
      // Nobody listens: what is there was left by a server that died.
      if (["ENOENT", "ECONNREFUSED", "ENOTSOCK", "FailedToOpenSocket"].includes(error.code ?? ""))
        resolve("no server");
      else unknown();
    });
    call.end(body);
  });
}

function titleOf(text: string): string {
  try {
    const { title } = JSON.parse(text) as { title?: unknown };
    return typeof title === "string" ? title : "it failed";
  } catch {
    return "it failed";
  }
}

function refuse(reason: string): number {
  remark(reason);
  return EXIT_FAILURE;
}

function remark(text: string): void {
  process.stderr.write(`keystead: ${text}\n`);
}
