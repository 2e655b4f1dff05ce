/**
 * Names of projects, collections and documents, and the file names that stand for them.
 *
 * A file name holds lower-case letters, digits, `.`, `_` and `-` as they are. `%` and a lower-case letter is that letter as a
 * capital, for file systems that do not tell the two apart. A `.` at the end is `%.`, which Windows would drop, and `%_` stands
 * before a name that Windows keeps for a device. 120 characters never take more than 242 bytes.
 *
 * Invariant: two names never share a file name, on no file system; no file name begins with `.`, which temporary files do. A
 * name that is not allowed is refused and never made into one that is. The one exception is a project's capitals.
 */
import { DocStoreError } from "./doc-store-error.ts";

const projectName = /^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$/;
const documentName = /^[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,119}$/;
const deviceName = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/;

/**
 * The project's name as everything below the door knows it: in lower case.
 * @throws DocStoreError `invalid_project`
 */
export function foldProject(name: string): string {
  if (!projectName.test(name)) throw new DocStoreError("invalid_project");
  return name.toLowerCase();
}

/** @throws DocStoreError `invalid_name` */
export function checkName(name: string): string {
  if (!documentName.test(name)) throw new DocStoreError("invalid_name");
  return name;
}

/** The file name for a checked name. */
export function fileNameOf(name: string): string {
  const escaped = name.replaceAll(/[A-Z]/g, (capital) => `%${capital.toLowerCase()}`).replace(/\.$/, "%.");
  return deviceName.test(escaped) ? `%_${escaped}` : escaped;
}

/** The name that a file name stands for; undefined for a file that the store did not name. */
export function nameOfFile(fileName: string): string | undefined {
  const name = fileName
    .replace(/^%_/, "")
    .replace(/%\.$/, ".")
    .replaceAll(/%([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return documentName.test(name) && fileNameOf(name) === fileName ? name : undefined;
}
