/** The operations on keys. */
import type { ImportedKey } from "../crypto/material.ts";
import { algorithmOf, type KeyType } from "../crypto/catalogue.ts";
import { KeysteadError } from "../errors.ts";
import { assertUsable } from "../keyring/key-states.ts";
import { keyAlgorithm, latestVersion, type Key } from "../keyring/key.ts";
import {
  decrypt,
  encrypt,
  sign,
  verify,
  type Decrypted,
  type Encrypted,
  type Signed,
} from "../keyring/key-use.ts";
import { decide } from "../policy/decide.ts";
import type {
  Committing,
  ProjectContext,
  ProjectMutation,
  ProjectOperation,
  Remembered,
  ResourceName,
} from "./operation.ts";
import { readPage, type Page, type PageInput } from "./paging.ts";

interface Named {
  readonly name: string;
}

export interface KeyCreateInput extends Named {
  readonly type: KeyType;
  /** Undefined takes the default: true for a service that may export keys, false for all others. */
  readonly exportable: boolean | undefined;
}

export interface KeyImportInput extends KeyCreateInput {
  readonly imported: ImportedKey;
}

export interface EncryptInput extends Named {
  readonly plaintext: Uint8Array;
  readonly aad: Uint8Array | undefined;
}

export interface DecryptInput extends Named {
  readonly ciphertext: Uint8Array;
  readonly aad: Uint8Array | undefined;
}

export interface SignInput extends Named {
  readonly signed: Signed;
}

export interface VerifyInput extends SignInput {
  readonly signature: Uint8Array;
  readonly version: number | undefined;
}

export interface ExportInput extends Named {
  readonly version: number | undefined;
}

/** Raw key material on its way to a caller: the one result of this service that is secret by purpose. */
export interface ExportedKey {
  readonly algorithm: string;
  readonly version: number;
  readonly exportedMaterial: Uint8Array;
}

const keyResource = (input: Named): ResourceName => ({ kind: "key", name: input.name });

function get(context: ProjectContext, input: Named): Key | Promise<Key> {
  return context.services.keyring.get(context.project.id, input.name);
}

/** The key that a change was about, as it is now, whatever is called by its name meanwhile. */
function replayKey(context: ProjectContext, { object }: Remembered): Key | Promise<Key> {
  return context.services.keyring.get(context.project.id, object);
}

export const keyCreate: ProjectMutation<KeyCreateInput, Key> = {
  id: "key.create",
  scope: "kms:create_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => createKey(context, input, undefined),
  replay: replayKey,
};

export const keyImport: ProjectMutation<KeyImportInput, Key> = {
  id: "key.import",
  scope: "kms:import_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => createKey(context, input, input.imported),
  replay: replayKey,
};

export const keyGet: ProjectOperation<Named, Key> = {
  id: "key.get",
  scope: "kms:read_key",
  inProject: true,
  resource: keyResource,
  run: get,
};

export const keyList: ProjectOperation<PageInput, Page<Key>> = {
  id: "key.list",
  scope: "kms:list_keys",
  inProject: true,
  resource: () => undefined,
  run(context, input) {
    const { project, caller, services } = context;
    const isVisible = (name: string): boolean =>
      decide(caller.bindings, "kms:list_keys", { project: project.id, name });
    return readPage(services.cursors, input, (after, rows) =>
      services.keyring.list(project.id, after, rows, isVisible),
    );
  },
};

export const keyRotate: ProjectMutation<Named, Key> = {
  id: "key.rotate",
  scope: "kms:rotate_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => context.services.keyring.rotate(context.project.id, input.name, context.commit),
  replay: replayKey,
};

export const keyRevoke: ProjectMutation<Named, Key> = {
  id: "key.revoke",
  scope: "kms:revoke_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => context.services.keyring.revoke(context.project.id, input.name, context.commit),
  replay: replayKey,
};

export const keyEncrypt: ProjectOperation<EncryptInput, Encrypted> = {
  id: "key.encrypt",
  scope: "kms:encrypt",
  inProject: true,
  resource: keyResource,
  run(context, input) {
    const use = (key: Key): Encrypted | Promise<Encrypted> =>
      encrypt(context.services.keyring, key, input.plaintext, input.aad);
    return noteVersion(context, withKey(context, input, use));
  },
};

export const keyDecrypt: ProjectOperation<DecryptInput, Decrypted> = {
  id: "key.decrypt",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  run(context, input) {
    const use = (key: Key): Decrypted | Promise<Decrypted> =>
      decrypt(context.services.keyring, key, input.ciphertext, input.aad);
    return noteVersion(context, withKey(context, input, use));
  },
};

export const keySign: ProjectOperation<SignInput, { version: number; signature: Uint8Array }> = {
  id: "key.sign",
  scope: "kms:sign",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const result = await sign(context.services.keyring, await get(context, input), input.signed);
    context.version = result.version;
    return result;
  },
};

export const keyVerify: ProjectOperation<VerifyInput, { valid: boolean; version: number }> = {
  id: "key.verify",
  scope: "kms:verify",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await get(context, input);
    const result = await verify(context.services.keyring, key, input.signed, input.signature, input.version);
    context.version = result.version;
    return result;
  },
};

export const keyExport: ProjectOperation<ExportInput, ExportedKey> = {
  id: "key.export",
  scope: "kms:export_key",
  callerKinds: ["service"],
  severity: "CRITICAL",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await get(context, input);
    const algorithm = keyAlgorithm(key);
    if (algorithm.purpose !== "encrypt") throw new KeysteadError("key_usage");
    if (!key.exportable) throw new KeysteadError("key_not_exportable");
    assertUsable(key.state, "export");
    const version = input.version ?? latestVersion(key);
    const { bytes } = await context.services.keyring.material(key, version);
    context.version = version;
    return { algorithm: algorithm.exportName, version, exportedMaterial: bytes };
  },
};

/** Hands the key that the input names to `use`; without a promise where it is at hand. */
function withKey<T>(
  context: ProjectContext,
  input: Named,
  use: (key: Key) => T | Promise<T>,
): T | Promise<T> {
  const key = get(context, input);
  return key instanceof Promise ? key.then(use) : use(key);
}

/** Tells the audit entry which version was used. */
function noteVersion<T extends { readonly version: number }>(
  context: ProjectContext,
  result: T | Promise<T>,
): T | Promise<T> {
  if (result instanceof Promise) return result.then((value) => noteVersion(context, value));
  context.version = result.version;
  return result;
}

function createKey(
  context: ProjectContext & Committing,
  input: KeyCreateInput,
  imported: ImportedKey | undefined,
): Promise<Key> {
  const { caller, project, services } = context;
  const { name, type } = input;
  const symmetric = algorithmOf(type).purpose === "encrypt";
  const mayExport =
    symmetric &&
    caller.kind === "service" &&
    decide(caller.bindings, "kms:export_key", { project: project.id, name });
  if (input.exportable === true && !symmetric) {
    throw new KeysteadError("invalid_body", {
      field: "exportable",
      detail: "only symmetric keys can be exportable",
    });
  }
  const spec = { name, type, exportable: input.exportable ?? mayExport };
  return services.keyring.create(
    project.id,
    imported === undefined ? spec : { ...spec, imported },
    context.commit,
  );
}
