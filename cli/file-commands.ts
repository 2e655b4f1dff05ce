/**
 * `keystead file encrypt` and `decrypt`: files of any length, encrypted in this process under a data key that a key of the
 * service wraps; they are the streams of the client (`encryptStream`).
 * Invariant: memory is constant; the file of `--out` is there when all of it is on the disk and was found authentic, and
 * until then nothing stands under its name that was not there before.
 */
import { Buffer } from "node:buffer";
import { open, type FileHandle } from "node:fs/promises";
import type { Command } from "commander";
import type { EnvelopeOptions, LocalCipher } from "../sdk/local-cipher.ts";
import type { CommandContext } from "./command-context.ts";
import { FileInTheMaking } from "./file-in-the-making.ts";
import { inputFile, withInputFlags, type InputFlags } from "./input-flags.ts";
import { InputFailed } from "./input.ts";
import { writeAll } from "./output.ts";

const PIECE_BYTES = 2 ** 20;

interface FileFlags extends InputFlags {
  readonly out: string;
  readonly context?: string;
  readonly aad?: string;
  readonly force?: true;
}

type Direction = "encryptStream" | "decryptStream";

/** Adds the group. */
export function addFileCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("file")
    .description("encrypt and decrypt files of any length, here and not on the service");
  addFileCommand(
    group,
    context,
    "encrypt",
    "encryptStream",
    "encrypt a file under a new data key of the key",
  ).addHelpText(
    "after",
    `
The file is encrypted in this process: the service makes a data key and wraps it, and sees nothing of the file. Whoever may
decrypt with the key opens it with keystead file decrypt, with the same --context and --aad.

Example:
  keystead file encrypt backups --in dump.sql --out dump.sql.kse`,
  );
  addFileCommand(
    group,
    context,
    "decrypt",
    "decryptStream",
    "open what keystead file encrypt made",
  ).addHelpText(
    "after",
    `
The file of --out appears when the last byte was found authentic; exit code 6 and no file say that something was changed, cut
or is for another key, context or additional data. With --out - bytes leave as they are found authentic: that nothing is
missing at the end is what exit code 0 says.`,
  );
}

function addFileCommand(
  group: Command,
  context: CommandContext,
  verb: string,
  direction: Direction,
  description: string,
): Command {
  return withInputFlags(group.command(verb), "the file to read; standard input unless set")
    .description(description)
    .argument("<key>")
    .requiredOption("--out <path>", "the file to make, for its owner only (mode 0600); - for standard output")
    .option("--context <text>", "what the data key is bound to, such as a tenant")
    .option("--aad <text>", "what the file is bound to besides, such as its name")
    .option("--force", "replace the file of --out where there is one")
    .action(async (key: string, flags: FileFlags) => {
      const { out, force = false, context: bound, aad } = flags;
      const cipher = context.client().envelope(key);
      const target = out === "-" ? undefined : await FileInTheMaking.begin(out, force);
      try {
        const source = await openSource(inputFile(flags));
        try {
          const write = target?.write ?? ((bytes: Uint8Array) => writeAll(process.stdout, bytes));
          await pass(source, streamOf(cipher, direction, { context: bound, aad }), write);
        } finally {
          await source?.close();
        }
        await target?.finish();
      } catch (error) {
        await target?.discard();
        throw error;
      }
      // On standard output stands the result.
      if (target !== undefined) await context.output().done(`${verb}ed`, { [`${verb}ed`]: true });
    });
}

function streamOf(
  cipher: LocalCipher,
  direction: Direction,
  options: EnvelopeOptions,
): ReturnType<LocalCipher["encryptStream"]> {
  return direction === "encryptStream" ? cipher.encryptStream(options) : cipher.decryptStream(options);
}

/** Undefined for standard input. */
async function openSource(path: string | undefined): Promise<FileHandle | undefined> {
  if (path === undefined || path === "-") return undefined;
  try {
    const handle = await open(path, "r");
    if (!(await handle.stat()).isDirectory()) return handle;
    await handle.close();
  } catch {
    // Said below.
  }
  throw unreadable();
}

/** All bytes through the stream, each piece when the one before has left. */
async function pass(
  source: FileHandle | undefined,
  stream: ReturnType<typeof streamOf>,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const writer = stream.writable.getWriter();
  const feed = async (): Promise<void> => {
    try {
      // A written piece was worked on: its memory is free for the next one.
      for await (const piece of piecesOf(source)) await writer.write(piece);
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => undefined);
      throw error;
    }
  };
  const drain = async (): Promise<void> => {
    try {
      for await (const bytes of stream.readable) await write(bytes);
    } catch (error) {
      // Nobody waits for more of a standard input that may never end.
      if (source === undefined) process.stdin.destroy();
      throw error;
    }
  };
  // What fails on one side ends the other; the further one knows the reason of both.
  const [fed, drained] = await Promise.allSettled([feed(), drain()]);
  if (drained.status === "rejected") throw drained.reason;
  if (fed.status === "rejected") throw fed.reason;
}

async function* piecesOf(source: FileHandle | undefined): AsyncGenerator<Uint8Array> {
  try {
    if (source === undefined) {
      yield* process.stdin as AsyncIterable<Buffer>;
      return;
    }
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    for (;;) {
      const { bytesRead } = await source.read(piece, 0, PIECE_BYTES, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } catch {
    throw unreadable();
  }
}

function unreadable(): InputFailed {
  return new InputFailed("the file to read cannot be read");
}
