/**
 * From a name of another API to a key's id.
 * Invariant: what is found here is told by an operation only. A name that leads nowhere becomes an id that leads nowhere,
 * so that it looks like every other absent key.
 */
import { sha256 } from "../crypto/digest.ts";
import { randomId } from "../crypto/random.ts";
import { isKeyId } from "../keyring/keyring.ts";
import { THUMBPRINT } from "../keyring/key-aliases.ts";
import type { Services } from "./operation.ts";

const NAME_DIGITS = 32;

/**
 * A native name for a key whose own name, in the API that it was made through, is none here: always the same for the same
 * name, so that a request that comes twice asks for the same twice.
 */
export function nativeNameFor(scheme: string, text: string): string {
  return `${scheme}-${sha256(text).toString("hex").slice(0, NAME_DIGITS)}`;
}

/** A native name that no key has yet, for a key that was made through an API without names. */
export function freshNameFor(scheme: string): string {
  return `${scheme}-${randomId()}`;
}

/** The nil UUID (RFC 9562 §5.9), which no key has. */
const NOWHERE = "00000000-0000-0000-0000-000000000000";

/** A key, and the one version of it that a name stands for; undefined stands for whichever is the latest. */
export interface KeyVersionHandle {
  readonly id: string;
  readonly version: number | undefined;
}

/** The id of the key that has this alias in the project. */
export async function keyIdOfAlias(
  services: Pick<Services, "projects" | "keyring">,
  projectName: string,
  scheme: string,
  text: string,
): Promise<string> {
  return (await keyOfAlias(services, projectName, scheme, text)).id;
}

/** The same, with the version that the alias stands for. */
export async function keyOfAlias(
  { projects, keyring }: Pick<Services, "projects" | "keyring">,
  projectName: string,
  scheme: string,
  text: string,
): Promise<KeyVersionHandle> {
  const project = await projects.byName(projectName);
  const found = project === undefined ? undefined : await keyring.ofAlias(project.id, scheme, text);
  return { id: found?.keyId ?? NOWHERE, version: found?.version };
}

/** The key whose public key has this thumbprint, or whose id it is. */
export function keyOfKid(
  services: Pick<Services, "projects" | "keyring">,
  projectName: string,
  kid: string,
): KeyVersionHandle | Promise<KeyVersionHandle> {
  return isKeyId(kid) ? { id: kid, version: undefined } : keyOfAlias(services, projectName, THUMBPRINT, kid);
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
