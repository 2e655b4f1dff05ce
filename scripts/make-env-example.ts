/**
 * Writes `.env.example` from the table of settings: every setting with its line of help, commented out.
 * Run it (under Node or Bun) after a change of src/settings.ts; a test holds the file to the table.
 */
import { writeFileSync } from "node:fs";
import { clientSettings, serverSettings, type Setting } from "../src/settings.ts";

export const envExampleFile = new URL("../.env.example", import.meta.url);

/** The file's text. */
export function envExample(): string {
  return `# Keystead's settings, each with an example. Copy what you need into .env, without the leading #.
# The environment wins over the file, and flags win over both. Keep a file that holds secrets at mode 0600.
# This file is made by scripts/make-env-example.ts.

# ---- The server

${serverSettings.map(shown).join("\n")}
# ---- The command line (it reads the environment, and no file)

${clientSettings.map(shown).join("\n")}`;
}

function shown({ name, aliases = [], flag, mayBeFile, example, help }: Setting): string {
  const also = [
    ...(flag === undefined ? [] : [`flag --${flag}`]),
    ...(mayBeFile === true ? [`${name}_FILE names a file that holds it`] : []),
    ...aliases.map((alias) => `${alias} is accepted too`),
  ];
  return `# ${help}\n${also.length === 0 ? "" : `# (${also.join("; ")})\n`}#${name}=${example}\n`;
}

if (import.meta.main) writeFileSync(envExampleFile, envExample());
