/** A key's metadata as commands show it. */
import type { Key } from "../sdk/wire.ts";
import type { Fields } from "./output.ts";

/** The fields of a key, in the order of their showing; what says nothing is left out. */
export function keyFields(key: Key): Fields {
  const labels = Object.entries(key.labels).map(([name, value]) => `${name}=${value}`);
  const disabled = key.versions.filter(({ state }) => state === "disabled").map(({ version }) => version);
  return {
    name: key.name,
    id: key.id,
    type: key.type,
    purpose: key.purpose,
    provider: key.provider === "software" ? undefined : key.provider,
    state: key.state,
    exportable: key.exportable,
    public_only: key.public_only,
    description: key.description,
    labels: labels.length === 0 ? undefined : labels.join(", "),
    created_at: key.created_at,
    latest_version: key.latest_version,
    min_encryption_version: key.min_encryption_version > 1 ? key.min_encryption_version : undefined,
    min_decryption_version: key.min_decryption_version > 1 ? key.min_decryption_version : undefined,
    disabled_versions: disabled.length === 0 ? undefined : disabled.join(", "),
    rotation_period_days: key.rotation_period_days,
    next_rotation_at: key.next_rotation_at,
    revoked_at: key.revoked_at,
    deletion_at: key.deletion_at,
    destroyed_at: key.destroyed_at,
  };
}
