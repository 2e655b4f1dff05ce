/**
 * Auto KMS's key over the service's own: which types it knows, how a key is shown, and where its name lives.
 * Invariant: a name that is also a native one is the key's native name; any other is an alias of the scheme `auto-kms`,
 * and the native name is made from it. So no two keys ever show one name: both are unique in the project.
 */
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { keyGet } from "../../service/key-operations.ts";
import { nativeNameFor } from "../../service/key-handles.ts";

export const SCHEME = "auto-kms";
export const NAME_CHARACTERS_MAX = 120;
/** Items of one request that names many. */
export const ITEMS_MAX = 100;

export type Key = Awaited<ReturnType<(typeof keyGet)["run"]>>;

const typeOf = {
  AES256_GCM: "aes-256",
  CHACHA20_POLY1305: "chacha20-poly1305",
  RSA2048: "rsa-2048",
  RSA3072: "rsa-3072",
} as const;
type AlgorithmName = keyof typeof typeOf;
const algorithmNames = Object.keys(typeOf) as [AlgorithmName, ...AlgorithmName[]];

/** The service's types that Auto KMS knows. */
export const knownTypes: readonly Key["type"][] = Object.values(typeOf);

export const algorithm = z.enum(algorithmNames);
export const status = z.enum(["enabled", "disabled"]);
export const name = z
  .string()
  .min(1)
  .max(NAME_CHARACTERS_MAX)
  .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), "String should hold no control characters")
  .meta({ examples: ["demo"] });
export const id = z.uuid().transform((text) => text.toLowerCase());
export const idParams = z.strictObject({ id });

export const keyAnswer = z.strictObject({
  id: z.uuid(),
  name: z.string(),
  algorithm,
  status,
  primary_version: z.int(),
});
export type ShownKey = z.output<typeof keyAnswer>;

/** The service's type of an algorithm. */
export function keyTypeOf(wanted: AlgorithmName): Key["type"] {
  return typeOf[wanted];
}

/** The algorithm's name of a type that Auto KMS knows. */
export function algorithmOf(type: Key["type"]): AlgorithmName {
  const found = algorithmNames.find((candidate) => typeOf[candidate] === type);
  if (found === undefined) throw new KeysteadError("key_not_found");
  return found;
}

/** Whether Auto KMS shows a key: one that encrypts, of a type that it knows, that is not to be deleted. */
export function isShown({ type, purpose, state }: Key): boolean {
  return (
    knownTypes.includes(type) &&
    purpose === "encrypt" &&
    state !== "pending_deletion" &&
    state !== "destroyed"
  );
}

/** A key as Auto KMS shows it. */
export function shown(key: Key): ShownKey {
  const alias = key.aliases?.find(({ scheme, text }) => scheme === SCHEME && text !== undefined);
  return {
    id: key.id,
    name: alias?.text ?? key.name,
    algorithm: algorithmOf(key.type),
    status: key.state === "enabled" ? "enabled" : "disabled",
    primary_version: primaryVersion(key),
  };
}

/** The number of the version that encrypts. */
export function primaryVersion(key: Key): number {
  return key.versions.at(-1)?.version ?? 0;
}

/** The key of an id. Rejects with `key_not_found` for what Auto KMS does not show. */
export async function getKey(call: FacadeCall, keyId: string): Promise<Key> {
  const key = await call.perform(keyGet, { name: keyId });
  if (!isShown(key)) throw new KeysteadError("key_not_found");
  return key;
}

/** The native name of a key with this name, and its alias where that is another. */
export function namesOf(text: string): { readonly native: string; readonly alias: string | undefined } {
  return isNativeName(text)
    ? { native: text, alias: undefined }
    : { native: nativeNameFor(SCHEME, text), alias: text };
}

function isNativeName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9._-]*$/.test(text) && !z.guid().safeParse(text).success;
}

/** Refuses a collection that names one thing twice. */
export function assertDistinct(texts: readonly (string | undefined)[], error: () => KeysteadError): void {
  const given = texts.filter((text) => text !== undefined);
  if (new Set(given).size < given.length) throw error();
}

/** What would change a field that stands for good. */
export function fixed(field: string): KeysteadError {
  return new KeysteadError("conflict", { field, detail: `${field} cannot be changed` });
}
