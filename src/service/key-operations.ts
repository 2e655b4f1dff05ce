/** The operations on keys themselves: making, finding, changing, exporting them. Their uses are in files of their own. */
import { wipe } from "../bytes.ts";
import { algorithmOf, purposesOf, type KeyPurpose, type KeyType } from "../crypto/catalogue.ts";
import type { ImportedKey, KeyFormat } from "../crypto/material.ts";
import type { CommitChange } from "../audit/change.ts";
import { KeysteadError } from "../errors.ts";
import { assertNext } from "../keyring/keyring.ts";
import type { KeyState } from "../keyring/key-states.ts";
import { keyAlgorithm, latestVersion, type Key } from "../keyring/key.ts";
import {
  exportMaterial,
  publicKeyOf,
  unwrapImported,
  type ExportedKey,
  type PublicKey,
  type WrappedKey,
} from "../keyring/key-transfer.ts";
import { assertAllowed } from "../keyring/key-states.ts";
import { disabling, enabling, revoking, type KeyUpdate, type Step } from "../keyring/lifecycle.ts";
import type { NewAlias } from "../keyring/key-aliases.ts";
import { scopes, type Scope } from "../policy/roles.ts";
import { findKey, findOtherKey, keyResource, type Named } from "./key-resource.ts";
import type {
  Committing,
  ProjectContext,
  ProjectMutation,
  ProjectOperation,
  Remembered,
} from "./operation.ts";
import { readPage, type Page, type PageInput } from "./paging.ts";

export interface KeyCreateInput extends Named {
  readonly type: KeyType;
  /** Undefined takes the type's first. */
  readonly purpose: KeyPurpose | undefined;
  /** Undefined takes the default: true for a symmetric key of a service that may export keys, false for all others. */
  readonly exportable: boolean | undefined;
  /** Undefined takes the service's default. */
  readonly provider?: string | undefined;
  readonly description: string | undefined;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly rotationPeriodDays: number | undefined;
  /** Further names, of other APIs. */
  readonly aliases?: readonly NewAlias[] | undefined;
  /** Undefined makes it enabled. */
  readonly state?: "enabled" | "disabled" | undefined;
}

export interface KeyUpdateInput extends Named {
  readonly update: KeyUpdate;
  /** Another text in the place of the key's shown alias of a scheme; undefined takes it away. */
  readonly alias?: { readonly scheme: string; readonly text: string | undefined } | undefined;
}

export interface DeletionInput extends Named {
  readonly days: number;
  /** The key's names may be given to others at once. */
  readonly freesNames?: boolean;
}

export interface KeyImportInput extends KeyCreateInput {
  readonly imported: ImportedKey | WrappedKey;
}

/** What a list shows only. */
export interface KeyFilter {
  readonly state: KeyState | undefined;
  readonly type: KeyType | undefined;
  readonly purpose: KeyPurpose | undefined;
  readonly namePrefix: string | undefined;
  /** All of them must be there; an empty value asks for the label alone. */
  readonly labels: ReadonlyMap<string, string>;
}

export interface VersionInput extends Named {
  readonly version: number | undefined;
}

export interface ExportInput extends VersionInput {
  /** Undefined takes the first that the type has. */
  readonly format: KeyFormat | undefined;
  /** Wraps the material, under a key of the keyring or a public key of the caller's. */
  readonly wrapping: { readonly key: string } | { readonly publicKeyDer: Uint8Array } | undefined;
  /** Only what encrypts data in the caller's own process. */
  readonly cipherOnly: boolean;
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
  async run(context, input) {
    const { imported } = input;
    if (!("wrappedUnder" in imported)) return createKey(context, input, imported);
    const wrapping = await findOtherKey(context, imported.wrappedUnder, "kms:decrypt");
    const unwrapped = await unwrapImported(context.services.keyring, wrapping, imported);
    try {
      return await createKey(context, input, unwrapped);
    } finally {
      wipe(unwrapped.bytes);
    }
  },
  replay: replayKey,
};

export const keyGet: ProjectOperation<Named, Key> = {
  id: "key.get",
  scope: "kms:read_key",
  inProject: true,
  resource: keyResource,
  run: findKey,
};

export const keyList: ProjectOperation<PageInput & KeyFilter, Page<Key>> = {
  id: "key.list",
  scope: "kms:list_keys",
  inProject: true,
  resource: () => undefined,
  run(context, input) {
    const { project, services } = context;
    const isVisible = (name: string): boolean =>
      name.startsWith(input.namePrefix ?? "") &&
      context.allows("kms:list_keys", { project: project.id, name });
    return readPage(
      services.cursors,
      input,
      async (after, rows) => {
        const slice = await services.keyring.list(project.id, after, rows, isVisible);
        return { ...slice, items: slice.items.filter((key) => fits(key, input)) };
      },
      input.namePrefix,
    );
  },
};

export interface RotateInput extends Named {
  /** The number that the new version shall have; undefined takes whichever is next. */
  readonly version?: number | undefined;
}

export interface ImportVersionInput extends Named {
  readonly imported: ImportedKey;
  /** As in RotateInput. */
  readonly version: number | undefined;
}

export const keyImportVersion: ProjectMutation<ImportVersionInput, Key> = {
  id: "key.import_version",
  scope: "kms:import_key",
  inProject: true,
  resource: keyResource,
  run: ({ services, project, commit }, { name, imported, version }) =>
    services.keyring.importVersion(project.id, name, imported, version, commit),
  replay: replayKey,
};

export const keyRotate: ProjectMutation<RotateInput, Key> = {
  id: "key.rotate",
  scope: "kms:rotate_key",
  inProject: true,
  resource: keyResource,
  run: ({ services, project, commit }, { name, version }) =>
    services.keyring.rotate(project.id, name, commit, (key) => {
      assertNext(key, version);
      return true;
    }),
  replay: replayKey,
};

export const keyUpdate: ProjectMutation<KeyUpdateInput, Key> = {
  id: "key.update",
  scope: "kms:update_key",
  inProject: true,
  resource: keyResource,
  run(context, { name, update, alias }) {
    const { services, project, commit } = context;
    const { name: to, state } = update;
    if (state !== undefined) assertAlso(context, "kms:disable_key");
    const noting: CommitChange =
      state === undefined
        ? commit
        : (writes, facts) => commit(writes, { ...facts, details: { ...facts.details, state } });
    const assertRename =
      to === undefined
        ? undefined
        : (from: string): void => {
            assertMayRename(context, from, to);
          };
    return services.keyring.update(project.id, name, update, noting, { alias, assertRename });
  },
  replay: replayKey,
};

/** A name of another API for a key; its text is in no audit entry. */
export const keyAddAlias: ProjectMutation<Named & { readonly alias: NewAlias }, Key> = {
  id: "key.add_alias",
  scope: "kms:update_key",
  inProject: true,
  resource: keyResource,
  run: ({ services, project, commit }, { name, alias }) =>
    services.keyring.addAlias(project.id, name, alias, commit),
  replay: replayKey,
};

export const keyEnable: ProjectMutation<VersionInput, Key> = {
  id: "key.enable",
  scope: "kms:disable_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => change(context, input, enabling(input.version), input.version),
  replay: replayKey,
};

export const keyDisable: ProjectMutation<VersionInput, Key> = {
  id: "key.disable",
  scope: "kms:disable_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => change(context, input, disabling(input.version), input.version),
  replay: replayKey,
};

export const keyRevoke: ProjectMutation<Named, Key> = {
  id: "key.revoke",
  scope: "kms:revoke_key",
  inProject: true,
  resource: keyResource,
  run: (context, input) => change(context, input, revoking),
  replay: replayKey,
};

export const keyScheduleDeletion: ProjectMutation<DeletionInput, Key> = {
  id: "key.schedule_deletion",
  scope: "kms:delete_key",
  severity: "WARNING",
  inProject: true,
  resource: keyResource,
  run: ({ services, project, commit }, { name, days, freesNames = false }) =>
    services.keyring.scheduleDeletion(project.id, name, days, freesNames, commit),
  replay: replayKey,
};

export const keyCancelDeletion: ProjectMutation<Named, Key> = {
  id: "key.cancel_deletion",
  scope: "kms:delete_key",
  inProject: true,
  resource: keyResource,
  run: ({ services, project, commit }, { name }) => services.keyring.cancelDeletion(project.id, name, commit),
  replay: replayKey,
};

export const keyPublic: ProjectOperation<VersionInput, PublicKey> = {
  id: "key.public",
  scope: "kms:read_key",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await findKey(context, input);
    const version = input.version ?? latestVersion(key);
    context.version = version;
    return publicKeyOf(context.services.keyring, key, version);
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
    const key = await findKey(context, input);
    if (input.cipherOnly && keyAlgorithm(key).family !== "cipher") throw new KeysteadError("key_usage");
    if (!key.exportable) throw new KeysteadError("key_not_exportable");
    assertAllowed(key.state, "export");
    const version = input.version ?? latestVersion(key);
    const { wrapping } = input;
    const under =
      wrapping !== undefined && "key" in wrapping
        ? await findOtherKey(context, wrapping.key, "kms:export_key")
        : wrapping;
    const exported = await exportMaterial(context.services.keyring, key, version, input.format, under);
    context.version = version;
    return exported;
  },
};

function change(
  context: ProjectContext & Committing,
  input: Named,
  step: Step,
  version?: number,
): Promise<Key> {
  const { project, services, commit } = context;
  return services.keyring.change(project.id, input.name, step, commit, version);
}

/** Throws `forbidden` where the caller is not allowed this to the call's own key as well. */
function assertAlso(context: ProjectContext, scope: Scope): void {
  const resource = { project: context.project.id, name: context.resource?.name };
  if (!context.allows(scope, resource)) throw new KeysteadError("forbidden");
}

/**
 * Bindings speak of names: a rename takes the right on both, and gives whoever asks for it no right over the key that was
 * not there before. Throws `forbidden`.
 */
function assertMayRename(context: ProjectContext, from: string, to: string): void {
  const project = context.project.id;
  const may = (scope: Scope, name: string): boolean => context.allows(scope, { project, name });
  if (!may("kms:update_key", to) || scopes.some((scope) => may(scope, to) && !may(scope, from)))
    throw new KeysteadError("forbidden");
}

function fits(key: Key, filter: KeyFilter): boolean {
  const { state, type, purpose, labels } = filter;
  // What is left of destroyed keys is shown to whoever asks for it.
  if (state === undefined ? key.state === "destroyed" : key.state !== state) return false;
  if (type !== undefined && key.type !== type) return false;
  if (purpose !== undefined && key.purpose !== purpose) return false;
  for (const [name, value] of labels) {
    const has = key.labels !== undefined && Object.hasOwn(key.labels, name) ? key.labels[name] : undefined;
    if (has === undefined || (value !== "" && has !== value)) return false;
  }
  return true;
}

function createKey(
  context: ProjectContext & Committing,
  input: KeyCreateInput,
  imported: ImportedKey | undefined,
): Promise<Key> {
  const { caller, project, services } = context;
  const { name, type, provider, description, labels, rotationPeriodDays, aliases, state } = input;
  if (state !== undefined) context.details = { state };
  const purpose = input.purpose ?? purposesOf(type)[0];
  if (!purposesOf(type).includes(purpose)) {
    throw new KeysteadError("invalid_body", { field: "purpose", detail: "the type has no such purpose" });
  }
  const mayExport =
    caller.kind === "service" &&
    algorithmOf(type, purpose).family === "cipher" &&
    rotationPeriodDays === undefined &&
    services.keyring.letsExport(provider) &&
    context.allows("kms:export_key", { project: project.id, name });
  const exportable = input.exportable ?? mayExport;
  return services.keyring.create(
    project.id,
    {
      name,
      type,
      purpose,
      provider,
      exportable,
      description,
      labels,
      rotationPeriodDays,
      imported,
      aliases,
      state,
    },
    context.commit,
  );
}
