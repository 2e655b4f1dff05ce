/**
 * What commands print: results on standard output, remarks on standard error.
 * On a terminal: tables and labels, with colour. In a pipe: one item a line, fields separated by tabs, no header. With
 * `--json`: the API's own JSON, one value a line.
 * Invariant: bytes go out exactly as they are; other text that came over the network can't control the terminal.
 */
import { Buffer } from "node:buffer";
import { writeWholeFile } from "./file-in-the-making.ts";
import { InputFailed } from "./input.ts";

export type Field = string | number | boolean | undefined;
/** An item's fields in the order of their showing, by the names that the API gives them. */
export type Fields = Readonly<Record<string, Field>>;

export interface OutputOptions {
  readonly json: boolean;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  readonly colour: boolean;
}

/** What standard output is, and whether colour is welcome there (https://no-color.org). */
export function outputOptions(json: boolean, env: NodeJS.ProcessEnv): OutputOptions {
  const terminal = process.stdout.isTTY;
  const noColour = env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "";
  return { json, terminal, colour: terminal && !noColour && env["TERM"] !== "dumb" };
}

export class Output {
  readonly options: OutputOptions;

  constructor(options: OutputOptions) {
    this.options = options;
  }

  /** One object: labelled fields, or as JSON whatever `json` is. */
  async record(fields: Fields, json: unknown = fields): Promise<void> {
    if (this.options.json) return this.#json(json);
    const shown = Object.entries(fields).filter(([, value]) => value !== undefined);
    const labels = shown.map(([name]) => visibleText(this.options.terminal ? labelOf(name) : name));
    const width = Math.max(0, ...labels.map((label) => label.length)) + 2;
    const lines = shown.map(([, value], i) => {
      const [label = "", text] = [labels[i], visibleText(String(value))];
      return this.options.terminal ? `${this.#dim(label.padEnd(width))}${text}` : `${label}\t${text}`;
    });
    await this.#write(lines.map((line) => `${line}\n`).join(""));
  }

  /**
   * A list, page by page: nothing but the page in hand is kept.
   * @param name the list's name in JSON
   * @param nextCursor says, after the last page that was asked for, where the rest begins
   */
  async list<T>(
    name: string,
    pages: AsyncIterable<readonly T[]>,
    fieldsOf: (item: T) => Fields,
    nextCursor: () => string | undefined = () => undefined,
  ): Promise<void> {
    let count = 0;
    // The list opens with its first page: a refusal leaves standard output empty.
    let opening = `{${jsonText(name)}:[`;
    for await (const page of pages) {
      if (this.options.json) {
        const items = page.map(jsonText).join(",");
        await this.#write(opening + (count > 0 && items !== "" ? "," : "") + items);
        opening = "";
      } else {
        await this.#write(this.#rows(page.map(fieldsOf), count === 0));
      }
      count += page.length;
    }
    const cursor = nextCursor();
    if (this.options.json) {
      await this.#write(cursor === undefined ? "]}\n" : `],"next_cursor":${jsonText(cursor)}}\n`);
      return;
    }
    if (this.options.terminal && count === 0) this.remark(`no ${name}`);
    if (cursor !== undefined) this.remark(`there are more; go on with --cursor ${cursor}, or use --all`);
  }

  /** A result that is one line of text, or as JSON whatever `json` is. */
  async line(text: string, json: unknown): Promise<void> {
    if (this.options.json) return this.#json(json);
    await this.#write(`${visibleText(text)}\n`);
  }

  /** The same with several lines: PEM, a report. */
  async lines(text: string, json: unknown): Promise<void> {
    if (this.options.json) return this.#json(json);
    await this.#write(`${text.split("\n").map(visibleText).join("\n")}\n`);
  }

  /**
   * A result that is bytes: to a file (its owner's alone, and replaced whole) or to standard output, exactly as they are.
   * On a terminal alone a line end follows, so that the prompt stands on its own line.
   */
  async bytes(bytes: Uint8Array, path: string | undefined, json: unknown): Promise<void> {
    if (path !== undefined && path !== "-") {
      await writeWholeFile(path, bytes);
      return;
    }
    if (this.options.json) return this.#json(json);
    await writeAll(process.stdout, bytes);
    if (this.options.terminal && bytes.at(-1) !== 0x0a) await this.#write("\n");
  }

  /** Something was done that has no result. In a pipe silence says so. */
  async done(text: string, json: unknown): Promise<void> {
    if (this.options.json) await this.#json(json);
    else if (this.options.terminal) await this.#write(`${visibleText(text)}\n`);
  }

  /** Something for people, beside the result. */
  remark(text: string): void {
    process.stderr.write(`keystead: ${visibleText(text)}\n`);
  }

  #json(value: unknown): Promise<void> {
    return this.#write(`${jsonText(value)}\n`);
  }

  #write(text: string): Promise<void> {
    return writeAll(process.stdout, Buffer.from(text, "utf8"));
  }

  #rows(items: readonly Fields[], withHeader: boolean): string {
    const rows = items.map((item) => Object.values(item).map((value) => visibleText(String(value ?? "-"))));
    if (!this.options.terminal) return rows.map((row) => `${row.join("\t")}\n`).join("");
    const [first] = items;
    if (first === undefined) return "";
    const header = Object.keys(first).map((name) => visibleText(labelOf(name)).toUpperCase());
    const widths = header.map((title, i) =>
      Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
    );
    const line = (row: readonly string[]): string =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd();
    return [...(withHeader ? [this.#dim(line(header))] : []), ...rows.map(line)]
      .map((text) => `${text}\n`)
      .join("");
  }

  #dim(text: string): string {
    return this.options.colour ? `\u001b[2m${text}\u001b[22m` : text;
  }
}

/** What a terminal may obey: control characters, line ends and tabs among them, and what turns the direction of text. */
const obeyed = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Text whose control characters are shown instead of obeyed. */
export function visibleText(text: string): string {
  return text.replaceAll(obeyed, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** A value as JSON on one line. Such characters are in strings only, where JSON has an escape for each. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replaceAll(obeyed, (character) =>
    // One half of a pair at a time.
    character.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}

/** Writes all bytes; resolves when they have left this process. A reader that went away ends it. */
export async function writeAll(stream: NodeJS.WritableStream, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return;
  await new Promise<void>((resolve, reject) => {
    stream.write(bytes, (error) => {
      if (!error) resolve();
      else if ((error as NodeJS.ErrnoException).code === "EPIPE") process.exit(1);
      else reject(new InputFailed("standard output cannot be written"));
    });
  });
}

function labelOf(name: string): string {
  return name.replaceAll("_", " ");
}
