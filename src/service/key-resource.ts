/** How operations name and find the keys that they are about. */
import { KeysteadError } from "../errors.ts";
import { isKeyId } from "../keyring/keyring.ts";
import type { Key } from "../keyring/key.ts";
import type { Scope } from "../policy/roles.ts";
import type { ProjectContext, ResourceName } from "./operation.ts";

/** The input of every operation that is about one key. */
export interface Named {
  /** A name or an id. */
  readonly name: string;
}

export const keyResource = (input: Named): ResourceName => ({ kind: "key", name: input.name });

/** The key that the input names. Throws `key_not_found`. Without a promise where it is at hand. */
export function findKey(context: ProjectContext, input: Named): Key | Promise<Key> {
  return context.services.keyring.get(context.project.id, input.name);
}

/** Hands the key that the input names to `use`; without a promise where everything is at hand. */
export function withKey<T>(
  context: ProjectContext,
  input: Named,
  use: (key: Key) => T | Promise<T>,
): T | Promise<T> {
  const key = findKey(context, input);
  return key instanceof Promise ? key.then(use) : use(key);
}

/** Tells the audit entry which version was used. */
export function noteVersion<T extends { readonly version: number }>(
  context: ProjectContext,
  result: T | Promise<T>,
): T | Promise<T> {
  if (result instanceof Promise) return result.then((value) => noteVersion(context, value));
  context.version = result.version;
  return result;
}

/**
 * A second key that an operation uses beside the one that it is about, where the caller may use that one too.
 * Throws `forbidden`, `key_not_found`.
 */
export async function findOtherKey(context: ProjectContext, handle: string, scope: Scope): Promise<Key> {
  const { project } = context;
  const mayUse = (name: string): boolean => context.allows(scope, { project: project.id, name });
  // Bindings speak of names: of an id that leads nowhere only those may hear that cover every name.
  if (!isKeyId(handle) && !mayUse(handle)) throw new KeysteadError("forbidden");
  let key: Key;
  try {
    key = await findKey(context, { name: handle });
  } catch (thrown) {
    if (mayUse("")) throw thrown;
    throw new KeysteadError("forbidden", { cause: thrown });
  }
  if (!mayUse(key.name)) throw new KeysteadError("forbidden");
  return key;
}
