/**
 * What the native API says, as types, in the spelling of the wire: the API's reference is the client's reference too.
 * Bytes are the exception: the client takes and gives them as bytes, and base64 stays inside it.
 */
export const keyTypes = ["aes-256", "xaes-256", "rsa-2048", "ecdsa-p256"] as const;
export type KeyType = (typeof keyTypes)[number];

export const roleNames = [
  "admin",
  "operator",
  "reader",
  "encrypter",
  "decrypter",
  "signer",
  "exporter",
] as const;
export type RoleName = (typeof roleNames)[number];

export const accountKinds = ["person", "service"] as const;
export type AccountKind = (typeof accountKinds)[number];

/** A key's metadata; never its material. Times are ISO 8601 in UTC, here and everywhere. */
export interface Key {
  readonly id: string;
  readonly name: string;
  readonly type: KeyType;
  readonly state: "enabled" | "revoked";
  readonly exportable: boolean;
  /** Only the public part is there: it verifies and does not sign. */
  readonly public_only: boolean;
  readonly created_at: string;
  readonly latest_version: number;
  readonly versions: readonly KeyVersion[];
  readonly revoked_at?: string;
}

export interface KeyVersion {
  readonly version: number;
  readonly created_at: string;
}

export interface KeyRevoked {
  readonly status: "revoked";
  readonly name: string;
  readonly revoked_at: string;
}

export interface Encrypted {
  /** Base64 of version ‖ nonce ‖ data ‖ tag: what `decrypt` takes. */
  readonly ciphertext: string;
  readonly version: number;
  readonly nonce_b64: string;
  readonly data_b64: string;
}

export interface Decrypted {
  readonly plaintext: Uint8Array;
  readonly version: number;
}

export interface Signature {
  readonly signature: Uint8Array;
  readonly version: number;
}

export interface Verified {
  readonly valid: boolean;
  /** The version that made the signature, where it is valid. */
  readonly version?: number;
}

export interface ExportedKey {
  /** The raw key. Whoever has it has everything that it ever encrypted. */
  readonly keyMaterial: Uint8Array;
  readonly algorithm: string;
  readonly version: number;
}

export interface SecretStored {
  readonly name: string;
  readonly created_at: string;
  readonly version: number;
}

export interface SecretValue extends SecretStored {
  readonly value: Uint8Array;
}

/** A secret in a list: everything but its value. */
export interface SecretListed {
  readonly name: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly latest_version: number;
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly created_at: string;
}

export interface RoleBinding {
  readonly id: string;
  readonly role: RoleName;
  /** A project's name, or `*` for all. */
  readonly project: string;
  /** The names that the binding covers, where it does not cover all; `*` stands for any run of characters. */
  readonly pattern?: string;
}

/** An account in a list. */
export interface AccountListed {
  readonly id: string;
  readonly name: string;
  readonly kind: AccountKind;
  readonly created_at: string;
}

export interface Account extends AccountListed {
  readonly bindings: readonly RoleBinding[];
}

/** A token without what could be used as one. */
export interface TokenListed {
  readonly id: string;
  readonly label: string;
  readonly created_at: string;
  readonly expires_at: string;
}

export interface TokenCreated extends TokenListed {
  /** The token itself: this answer is the only place that ever shows it. */
  readonly token: string;
}

export interface Caller {
  readonly kind: string;
  readonly caller: string;
  readonly bindings: readonly RoleBinding[];
}

export interface Health {
  readonly status: "ok" | "degraded";
  readonly checks: Readonly<Record<string, "ok" | "failed">>;
}

/** One page of a list; `next_cursor` is absent on the last one. */
export type Page<N extends string, T> = Readonly<Record<N, readonly T[]>> & { readonly next_cursor?: string };
