/**
 * What a change makes of a key: pure steps from one Key to the next, which the keyring commits.
 * Invariant: every step asks the table of states first; a step that changes nothing says so, and nothing is committed
 * for it.
 */
import { KeysteadError } from "../errors.ts";
import { assertAllowed, type KeyState, type KeyVersionState } from "./key-states.ts";
import { latestVersion, type Key, type KeyVersionRecord } from "./key.ts";

export const DELETION_DAYS_MIN = 7;
export const DELETION_DAYS_MAX = 30;
const DAY_MS = 86_400_000;

/** The fields of a key that its keepers may change; null takes one away. */
export interface KeyUpdate {
  readonly name?: string;
  readonly description?: string | null;
  /** Replaces all labels. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly minEncryptionVersion?: number;
  readonly minDecryptionVersion?: number;
  readonly rotationPeriodDays?: number | null;
  /** Can be taken away and never given. */
  readonly exportable?: boolean;
  readonly state?: "enabled" | "disabled" | undefined;
}

/** The key after the step; the same object where the step changes nothing. */
export type Step = (key: Key, nowMs: number) => Key;

/** Uses are allowed again, of the whole key or of one version. */
export function enabling(version: number | undefined): Step {
  return (key) => {
    assertAllowed(key.state, "enable");
    if (version !== undefined) return withVersionState(key, version, "enabled");
    return key.state === "enabled" ? key : next(key, { state: "enabled" });
  };
}

/** Uses are refused until it is enabled again: of the whole key or of one version. */
export function disabling(version: number | undefined): Step {
  return (key) => {
    assertAllowed(key.state, "disable");
    if (version !== undefined) return withVersionState(key, version, "disabled");
    return key.state === "disabled" ? key : next(key, { state: "disabled" });
  };
}

/** Every use is refused for ever. Revoking again changes nothing. */
export const revoking: Step = (key, nowMs) => {
  assertAllowed(key.state, "revoke");
  if (key.revokedAt !== undefined) return key;
  const revokedAt = new Date(nowMs).toISOString();
  // One that is to be deleted stays so, and comes back revoked where the deletion is cancelled.
  if (key.deletion === undefined) return next(key, { state: "revoked", revokedAt });
  return next(key, { revokedAt, deletion: { ...key.deletion, stateBefore: "revoked" } });
};

/**
 * Destruction in so many days; every use is refused meanwhile.
 * @param freesNames the key's names may be given to others at once
 */
export function schedulingDeletion(days: number, freesNames = false): Step {
  return (key, nowMs) => {
    assertAllowed(key.state, "schedule_deletion");
    return next(key, {
      ...(freesNames ? { name: `~${key.id}`, nameBefore: key.name } : {}),
      state: "pending_deletion",
      deletion: {
        requestedAt: new Date(nowMs).toISOString(),
        dueAt: new Date(nowMs + days * DAY_MS).toISOString(),
        stateBefore: key.state,
        ...(freesNames ? { freedNames: true } : {}),
      },
    });
  };
}

/**
 * Back to the state before the deletion was asked for.
 * @param names the names that it has from then on, where the deletion had freed them
 */
export function cancellingDeletion(names: Pick<Key, "name" | "aliases"> | undefined): Step {
  return (key, nowMs) => {
    assertAllowed(key.state, "cancel_deletion");
    // Its provider may have destroyed the material already.
    if (key.provider !== undefined && key.deletion !== undefined && Date.parse(key.deletion.dueAt) <= nowMs)
      throw new KeysteadError("conflict");
    const state: KeyState = key.deletion?.stateBefore ?? "disabled";
    const kept = names === undefined ? key : { ...without(without(key, "nameBefore"), "aliases"), ...names };
    return { ...without(kept, "deletion"), state, revision: key.revision + 1 };
  };
}

/** What is left of a key whose deletion is due. Throws `conflict` where it is not. */
export const destroying: Step = (key, nowMs) => {
  const { deletion } = key;
  if (key.state !== "pending_deletion" || deletion === undefined || Date.parse(deletion.dueAt) > nowMs)
    throw new KeysteadError("conflict");
  return destroyingWithProject(key, nowMs);
};

/** What is left of a key whose project is destroyed. */
export const destroyingWithProject: Step = (key, nowMs) => {
  if (key.state === "destroyed") return key;
  return {
    ...without(without(key, "deletion"), "aliases"),
    name: `~${key.id}`,
    nameBefore: key.nameBefore ?? key.name,
    state: "destroyed",
    destroyedAt: new Date(nowMs).toISOString(),
    revision: key.revision + 1,
  };
};

/** Changes what its keepers may change. */
export function updating(update: KeyUpdate): Step {
  return (key) => {
    assertAllowed(key.state, "update");
    let fields: Partial<Key> = {};
    const { labels, minEncryptionVersion, minDecryptionVersion, rotationPeriodDays, exportable, state } =
      update;
    if (update.name !== undefined) fields = { ...fields, name: update.name };
    if (state !== undefined) {
      assertAllowed(key.state, state === "enabled" ? "enable" : "disable");
      fields = { ...fields, state };
    }
    if (labels !== undefined) fields = { ...fields, labels };
    if (minEncryptionVersion !== undefined) {
      assertVersion(key, "min_encryption_version", minEncryptionVersion);
      fields = { ...fields, minEncryptionVersion };
    }
    if (minDecryptionVersion !== undefined) {
      assertVersion(key, "min_decryption_version", minDecryptionVersion);
      fields = { ...fields, minDecryptionVersion };
    }
    if (exportable === true && !key.exportable) {
      throw new KeysteadError("invalid_body", {
        field: "exportable",
        detail: "it is chosen when a key is made",
      });
    }
    if (exportable === false) fields = { ...fields, exportable };
    if (typeof rotationPeriodDays === "number") {
      assertRotates({ ...key, ...fields });
      fields = { ...fields, rotationPeriodDays };
    }
    const changed = withoutNulls({ ...key, ...fields }, update);
    if (JSON.stringify(changed) === JSON.stringify(key)) return key;
    return { ...changed, revision: key.revision + 1 };
  };
}

/** Throws where a key cannot rotate by itself. */
export function assertRotates(key: Pick<Key, "dek" | "exportable" | "publicOnly">): void {
  const field = "rotation_period_days";
  // Its holders ask anew every few minutes; whoever exports another key would not hear of a new version.
  if (key.exportable && key.dek !== true)
    throw new KeysteadError("invalid_body", { field, detail: "an exportable key does not rotate by itself" });
  if (key.publicOnly) throw new KeysteadError("key_public_only");
}

function withoutNulls(key: Key, update: KeyUpdate): Key {
  let result = key;
  if (update.description === null) {
    result = without(result, "description");
  } else if (update.description !== undefined) {
    result = { ...result, description: update.description };
  }
  if (update.rotationPeriodDays === null) {
    result = without(result, "rotationPeriodDays");
  }
  return result;
}

function assertVersion(key: Key, field: string, version: number): void {
  if (version > latestVersion(key))
    throw new KeysteadError("invalid_body", { field, detail: "the key has no such version yet" });
}

function withVersionState(key: Key, version: number, state: KeyVersionState): Key {
  const record = key.versions.find((candidate) => candidate.version === version);
  if (record === undefined) throw new KeysteadError("key_version_not_found");
  if ((record.state ?? "enabled") === state) return key;
  const versions = key.versions.map((candidate): KeyVersionRecord =>
    candidate === record ? { ...candidate, state } : candidate,
  );
  return next(key, { versions });
}

function without(
  key: Key,
  field: "aliases" | "deletion" | "description" | "nameBefore" | "rotationPeriodDays",
): Key {
  const rest: { -readonly [K in keyof Key]: Key[K] } = { ...key };
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- one of a few known names
  delete rest[field];
  return rest;
}

function next(key: Key, fields: Partial<Key>): Key {
  return { ...key, ...fields, revision: key.revision + 1 };
}
