/**
 * The tables, as types for Kysely; migrations.ts makes them.
 * Invariant: what gates use lies inside a `sealed` column; every other column only finds, orders or joins rows, and is
 * checked against the sealed record when it is opened. Times are ISO 8601 text in UTC.
 */
export interface Schema {
  /** One row: which schema these tables have. */
  schema_version: { version: number };
  barrier_keys: {
    version: number;
    wrapped: Uint8Array;
    created_at: string;
    /** Of an older key: how many records it still seals, as last counted; null where nobody has counted yet. */
    records_left: number | null;
    /** Of an older key: since when no record needs it. */
    unused_since: string | null;
  };
  projects: {
    id: string;
    name: string;
    revision: number;
    created_at: string;
    /** As in `keys`. */
    due_at: string | null;
    sealed: Uint8Array;
  };
  keys: {
    id: string;
    project_id: string;
    name: string;
    revision: number;
    created_at: string;
    /** When a job has something to do here (a rotation, a destruction), to find it by; the record says what, and when. */
    due_at: string | null;
    sealed: Uint8Array;
  };
  key_versions: {
    key_id: string;
    version: number;
    created_at: string;
    /** The material. */
    sealed: Uint8Array;
    /** How many nonces are reserved; under its own revision, since it changes without the key changing. */
    usage_sealed: Uint8Array;
    usage_revision: number;
  };
  /** Further names of keys: the id is a keyed hash of project, scheme and name; the name itself is in no column. */
  key_aliases: { id: Uint8Array; project_id: string; key_id: string; sealed: Uint8Array };
  /** Random secrets of the service's own, which outlive every change of the barrier's keys. */
  service_secrets: { name: string; created_at: string; sealed: Uint8Array };
  secrets: {
    id: string;
    project_id: string;
    name: string;
    revision: number;
    created_at: string;
    sealed: Uint8Array;
  };
  secret_versions: { secret_id: string; version: number; created_at: string; sealed: Uint8Array };
  /** Each found by keyed hashes of its ids; `given_hash` is null where its issuer gave it none. */
  credentials: {
    id: string;
    project_id: string;
    record_hash: Uint8Array;
    given_hash: Uint8Array | null;
    /** All but the value. */
    sealed: Uint8Array;
  };
  credential_values: { credential_id: string; sealed: Uint8Array };
  accounts: { id: string; name: string; revision: number; created_at: string; sealed: Uint8Array };
  tokens: {
    id: string;
    account_id: string;
    /** SHA-256 of the whole token. */
    hash: Uint8Array;
    revision: number;
    created_at: string;
    expires_at: string;
    sealed: Uint8Array;
  };
  /** The hash of an account's password; apart from the account, which every request has in memory. */
  passwords: { account_id: string; revision: number; sealed: Uint8Array };
  /** Names that somebody may still sign up under. */
  signups: {
    id: string;
    name: string;
    revision: number;
    created_at: string;
    expires_at: string;
    sealed: Uint8Array;
  };
  /** Logins that last, each with the hashes of its refresh token. */
  sessions: {
    id: string;
    account_id: string;
    /** SHA-256 of the part of the refresh token that stays the same. */
    family_hash: Uint8Array;
    revision: number;
    created_at: string;
    expires_at: string;
    sealed: Uint8Array;
  };
  /** Service accounts under names that are in no column; `name_hash` is a keyed hash. */
  clients: {
    number: number;
    name_hash: Uint8Array;
    account_id: string;
    created_at: string;
    sealed: Uint8Array;
  };
  /** The last number that was given of each series. */
  counters: { name: string; value: number };
  /** The keys that sign logins and signups; `id` is their `kid`. */
  signing_keys: { id: string; created_at: string; sealed: Uint8Array };
  roles: {
    id: string;
    name: string;
    revision: number;
    /** How often it was bound so far: a binding changes it, so that a deletion beside it does not apply. */
    uses: number;
    created_at: string;
    sealed: Uint8Array;
  };
  issuers: {
    id: string;
    name: string;
    /** The claim `iss` of its tokens. */
    issuer: string;
    revision: number;
    created_at: string;
    sealed: Uint8Array;
  };
  jwt_revocations: { subject_hash: Uint8Array; revision: number; sealed: Uint8Array };
  /** Mutations that came with an idempotency key, under a keyed hash of who sent what; kept for a day. */
  idempotency: { id: Uint8Array; created_at: string; sealed: Uint8Array };
  /** Which node does a job that only one may do at a time. */
  leases: { name: string; holder: string; revision: number; expires_at: string };
  /** Audit entries whose change is committed and which may not stand in the log yet; `entry` is sealed, in base64. */
  outbox: { id: string; node: string; after_sequence: number; entry: string };
  /** The highest audit sequence that a node is known to have written. */
  audit_heads: { node: string; sequence: number };
}

export type TableName = keyof Schema;
