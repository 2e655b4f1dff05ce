/**
 * From a name of another API to a key's id.
 * Invariant: what is found here is told by an operation only. A name that leads nowhere becomes an id that leads nowhere,
 * so that it looks like every other absent key.
 */
import { sha256 } from "../crypto/digest.ts";
import type { Services } from "./operation.ts";

const NAME_DIGITS = 32;

/**
 * A native name for a key whose own name, in the API that it was made through, is none here: always the same for the same
 * name, so that a request that comes twice asks for the same twice.
 */
export function nativeNameFor(scheme: string, text: string): string {
  return `${scheme}-${sha256(text).toString("hex").slice(0, NAME_DIGITS)}`;
}

/** The nil UUID (RFC 9562 §5.9), which no key has. */
const NOWHERE = "00000000-0000-0000-0000-000000000000";

/** The id of the key that has this alias in the project. */
export async function keyIdOfAlias(
  { projects, keyring }: Pick<Services, "projects" | "keyring">,
  projectName: string,
  scheme: string,
  text: string,
): Promise<string> {
  const project = await projects.byName(projectName);
  if (project === undefined) return NOWHERE;
  return (await keyring.idOfAlias(project.id, scheme, text)) ?? NOWHERE;
}

/** The id of the key in the project whose id begins like this. */
export async function keyIdOfPrefix(
  { projects, keyring }: Pick<Services, "projects" | "keyring">,
  projectName: string,
  prefix: string,
): Promise<string> {
  const project = await projects.byName(projectName);
  if (project === undefined) return NOWHERE;
  return (await keyring.idWithPrefix(project.id, prefix)) ?? NOWHERE;
}
