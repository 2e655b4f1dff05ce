/**
 * A file that is written piece by piece and appears under its name when it is whole and on the disk.
 * Invariant: until `finish` nothing is changed under its name; what is begun lies beside it as `.{name}.{random}.part`, which
 * `discard`, and the signals that end a program, take away.
 */
import { unlinkSync } from "node:fs";
import { lstat, link, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputFailed } from "./input.ts";

const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class FileInTheMaking {
  readonly #path: string;
  readonly #part: string;
  readonly #replaces: boolean;
  #opened: FileHandle | undefined;
  readonly #onSignal: (signal: NodeJS.Signals) => void;

  private constructor(path: string, part: string, replaces: boolean) {
    this.#path = path;
    this.#part = part;
    this.#replaces = replaces;
    this.#onSignal = (signal) => {
      try {
        unlinkSync(part);
      } catch {
        // It is gone already.
      }
      this.#forgetSignals();
      process.kill(process.pid, signal);
    };
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#onSignal);
  }

  /**
   * Begins it.
   * @param replaces whether a file of this name may be replaced
   * @throws InputFailed where there is one and it may not, or the folder cannot be written to
   */
  static async begin(path: string, replaces: boolean): Promise<FileInTheMaking> {
    const there = await lstat(path).catch(() => undefined);
    if (there !== undefined && !replaces) throw exists();
    // A device or a pipe would be gone after the rename.
    if (there !== undefined && !there.isFile() && !there.isSymbolicLink()) throw unwritable();
    const part = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.part`);
    // Listens for signals before there is anything to take away.
    const file = new FileInTheMaking(path, part, replaces);
    try {
      file.#opened = await open(part, "wx", 0o600);
      return file;
    } catch {
      file.#forgetSignals();
      throw unwritable();
    }
  }

  get #handle(): FileHandle {
    if (this.#opened === undefined) throw unwritable();
    return this.#opened;
  }

  /** Adds bytes. */
  readonly write = async (bytes: Uint8Array): Promise<void> => {
    try {
      // One call may write less than all.
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done, bytes.length - done)).bytesWritten;
      }
    } catch {
      throw unwritable();
    }
  };

  /** Gives it its name, when all of it is on the disk. */
  async finish(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      if (this.#replaces) await rename(this.#part, this.#path);
      else await this.#link();
      const folder = await open(dirname(this.#path), "r");
      await folder.sync().finally(() => folder.close());
    } catch (error) {
      throw error instanceof InputFailed ? error : unwritable();
    }
    this.#forgetSignals();
  }

  /** Takes away what was begun; nothing where it is finished. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await unlink(this.#part).catch(() => undefined);
    this.#forgetSignals();
  }

  /** A name that came meanwhile is not taken over, as a rename would. */
  async #link(): Promise<void> {
    try {
      await link(this.#part, this.#path);
    } catch (error) {
      if (codeOf(error) === "EEXIST") throw exists();
      // A file system without hard links.
      if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(codeOf(error))) throw error;
      if ((await lstat(this.#path).catch(() => undefined)) !== undefined) throw exists();
      return rename(this.#part, this.#path);
    }
    await unlink(this.#part);
  }

  #forgetSignals(): void {
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#onSignal);
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

function exists(): InputFailed {
  return new InputFailed("there is a file where the result goes: --force replaces it");
}

function unwritable(): InputFailed {
  return new InputFailed("the file for the result cannot be written");
}
