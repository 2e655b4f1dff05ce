/**
 * Where a password comes from: typed without an echo on a terminal, else the first line of standard input.
 * Invariant: a password is never on a command line, and never shown.
 */
import { readInput } from "./input.ts";
import { UsageError } from "./usage-error.ts";

const INTERRUPT = "\u0003";
const END = "\u0004";
const ERASE = new Set(["\u007f", "\b"]);
const LINE_END = new Set(["\r", "\n"]);

/** Passwords in the order of their prompts: from a terminal one by one, else one a line. */
export async function readPasswords(prompts: readonly string[]): Promise<string[]> {
  if (!process.stdin.isTTY) {
    const text = (await readInput({ what: "the password", bytesMax: 16 * 1024 })).toString("utf8");
    const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
    if (lines.length !== prompts.length || lines[0] === "") {
      throw new UsageError(
        prompts.length === 1
          ? "the password is one line of standard input"
          : `${prompts.length} lines of standard input are needed: ${prompts.join(", ").toLowerCase()}`,
      );
    }
    return lines;
  }
  const passwords: string[] = [];
  for (const prompt of prompts) passwords.push(await typed(prompt));
  return passwords;
}

/** A new password: on a terminal typed twice. @param before what is asked for first, such as the current one */
export async function readNewPassword(before: readonly string[] = []): Promise<string[]> {
  if (!process.stdin.isTTY) return readPasswords([...before, "New password"]);
  const passwords = await readPasswords([...before, "New password", "The same again"]);
  const again = passwords.pop();
  if (again !== passwords.at(-1)) throw new UsageError("the two passwords are not the same");
  return passwords;
}

/** One line from the terminal, unseen. */
function typed(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(`${prompt}: `);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.resume();
  return new Promise((resolve, reject) => {
    let text: string[] = [];
    const end = (): void => {
      stdin.off("data", take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
    };
    const take = (chunk: string): void => {
      for (const character of chunk) {
        if (LINE_END.has(character) || character === END) {
          end();
          resolve(text.join(""));
          return;
        }
        if (character === INTERRUPT) {
          end();
          reject(new UsageError("interrupted"));
          return;
        }
        if (ERASE.has(character)) text = text.slice(0, -1);
        else text.push(character);
      }
    };
    stdin.on("data", take);
  });
}
