/** A key as the native API shows it, and the fields that make and change one. */
import { z } from "zod";
import { keyPurposes, keyTypes } from "../../crypto/catalogue.ts";
import { SOFTWARE } from "../../crypto/software-provider.ts";
import { keyStates, versionStates } from "../../keyring/key-states.ts";
import { latestVersion, nextRotationMs, oldestMakingVersion, type Key } from "../../keyring/key.ts";
import { resourceName, time, uuid, versionNumber } from "./fields.ts";

const LABELS_MAX = 64;
export const ROTATION_DAYS_MAX = 3650;

export const keyType = z.enum(keyTypes);
export const keyPurpose = z.enum(keyPurposes);
/** The name of a provider (docs/provider.md). */
export const keyProvider = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "lower-case letters, digits and `-`, at most 32 characters")
  .meta({ examples: [SOFTWARE] });
export const keyState = z.enum(keyStates);

export const labelName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._/-]{0,62}$/,
    "lower-case letters, digits, `.`, `_`, `/` and `-`, at most 63 characters",
  );
export const labelValue = z
  .string()
  .regex(/^[a-zA-Z0-9._/@-]{0,128}$/, "letters, digits, `.`, `_`, `/`, `@` and `-`, at most 128 characters");
export const labels = z
  .record(labelName, labelValue)
  .refine((value) => Object.keys(value).length <= LABELS_MAX, `at most ${LABELS_MAX} labels`)
  .meta({ examples: [{ team: "payments" }] });
export const description = z
  .string()
  .max(1024, "at most 1024 characters")
  .meta({ examples: ["Invoices"] });
export const rotationPeriodDays = z.int().min(1).max(ROTATION_DAYS_MAX);

export const keyAnswer = z.strictObject({
  id: uuid,
  name: resourceName,
  type: keyType,
  purpose: keyPurpose,
  provider: keyProvider,
  state: keyState,
  exportable: z.boolean(),
  public_only: z.boolean(),
  description: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  created_at: time,
  latest_version: versionNumber,
  min_encryption_version: versionNumber,
  min_decryption_version: versionNumber,
  versions: z.array(
    z.strictObject({ version: versionNumber, created_at: time, state: z.enum(versionStates) }),
  ),
  rotation_period_days: rotationPeriodDays.optional(),
  next_rotation_at: time.optional(),
  revoked_at: time.optional(),
  deletion_at: time.optional(),
  destroyed_at: time.optional(),
});

export function shownKey(key: Key): z.input<typeof keyAnswer> {
  const nextRotation = nextRotationMs(key);
  return {
    id: key.id,
    name: key.nameBefore ?? key.name,
    type: key.type,
    purpose: key.purpose,
    provider: key.provider ?? SOFTWARE,
    state: key.state,
    exportable: key.exportable,
    public_only: key.publicOnly,
    description: key.description,
    labels: { ...key.labels },
    created_at: key.createdAt,
    latest_version: latestVersion(key),
    min_encryption_version: oldestMakingVersion(key),
    min_decryption_version: key.minDecryptionVersion ?? 1,
    versions: key.versions.map(({ version, createdAt, state = "enabled" }) => ({
      version,
      created_at: createdAt,
      state,
    })),
    rotation_period_days: key.rotationPeriodDays,
    next_rotation_at: nextRotation === undefined ? undefined : new Date(nextRotation).toISOString(),
    revoked_at: key.revokedAt,
    deletion_at: key.deletion?.dueAt,
    destroyed_at: key.destroyedAt,
  };
}
