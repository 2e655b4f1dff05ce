/**
 * What can stand at a place of a command line, read from the tree of commands: nothing is listed here, so that a command, a
 * flag or a choice is completed as soon as it is there.
 */
import type { Command, Option } from "commander";

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Words to choose from, or the files of this machine. */
export type Completions = { readonly candidates: readonly Candidate[] } | "files";

const NOTHING: Completions = { candidates: [] };
const FILE_PLACEHOLDER = "<path>";

/**
 * What may stand in the place of the last word.
 * @param words what follows the program's name, the last word as far as it is typed
 */
export function completionsAt(program: Command, words: readonly string[]): Completions {
  const typed = words.at(-1) ?? "";
  let command = program;
  let positional = 0;
  let expecting: Option | undefined;
  let flagsOver = false;
  for (const word of words.slice(0, -1)) {
    if (expecting !== undefined) {
      expecting = undefined;
    } else if (word === "--" && !flagsOver) {
      flagsOver = true;
    } else if (isFlag(word) && !flagsOver) {
      const option = optionNamed(command, word);
      if (option?.required === true && !word.includes("=")) expecting = option;
    } else if (!(positional === 0 && command === program && word === "help")) {
      const child = positional === 0 && !flagsOver ? childNamed(command, word) : undefined;
      if (child === undefined) positional++;
      else command = child;
    }
  }
  if (expecting !== undefined) return valuesOf(expecting, typed, "");
  if (flagsOver || !isFlag(typed)) {
    if (typed === "-") return startingWith(flagsOf(command), typed);
    return startingWith(
      positional === 0 ? subcommandsOf(command, positional) : choicesAt(command, positional),
      typed,
    );
  }
  const equals = typed.indexOf("=");
  if (equals === -1) return startingWith(flagsOf(command), typed);
  const option = optionNamed(command, typed);
  return option === undefined
    ? NOTHING
    : valuesOf(option, typed.slice(equals + 1), typed.slice(0, equals + 1));
}

function isFlag(word: string): boolean {
  return word.startsWith("-") && word !== "-";
}

function childNamed(command: Command, word: string): Command | undefined {
  return command.commands.find((child) => child.name() === word || child.aliases().includes(word));
}

/** The flag that a word names, one dash or two. */
function optionNamed(command: Command, word: string): Option | undefined {
  const name = word.replace(/^--?/, "").split("=", 1)[0];
  return optionsOf(command).find(
    ({ long, short }) => long === `--${name ?? ""}` || short === `-${name ?? ""}`,
  );
}

/** Those of the command and those that all commands take. */
function optionsOf(command: Command): Option[] {
  const help = command.createHelp();
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
}

function flagsOf(command: Command): Candidate[] {
  return optionsOf(command).flatMap(({ long, description }) =>
    typeof long === "string" ? [{ value: long, description }] : [],
  );
}

function subcommandsOf(command: Command, positional: number): Candidate[] {
  const children = command
    .createHelp()
    .visibleCommands(command)
    .map((child) => ({ value: child.name(), description: child.description() }));
  return [...children, ...choicesAt(command, positional)];
}

function choicesAt(command: Command, positional: number): Candidate[] {
  const argument = command.registeredArguments[positional];
  return (argument?.argChoices ?? []).map((value) => ({ value, description: argument?.description ?? "" }));
}

/** @param before what of the word stands before the value: a flag and `=` */
function valuesOf({ argChoices, flags, description }: Option, typed: string, before: string): Completions {
  if (argChoices === undefined) return flags.includes(FILE_PLACEHOLDER) ? "files" : NOTHING;
  const { candidates } = startingWith(
    argChoices.map((value) => ({ value, description })),
    typed,
  );
  return { candidates: candidates.map((candidate) => ({ ...candidate, value: before + candidate.value })) };
}

function startingWith(
  all: readonly Candidate[],
  typed: string,
): { readonly candidates: readonly Candidate[] } {
  return { candidates: all.filter(({ value }) => value.startsWith(typed)) };
}
