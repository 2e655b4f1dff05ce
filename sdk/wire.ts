/**
 * What the native API says, as types, in the spelling of the wire: the API's reference is the client's reference too.
 * Bytes are the exception: the client takes and gives them as bytes, and base64 stays inside it.
 */
export const keyTypes = [
  "aes-256",
  "xaes-256",
  "aes-128-gcm",
  "aes-128-cbc-hmac-sha-256",
  "aes-256-cbc-hmac-sha-512",
  "chacha20-poly1305",
  "xchacha20-poly1305",
  "rsa-2048",
  "rsa-3072",
  "rsa-4096",
  "ecdsa-p256",
  "ecdsa-p384",
  "ecdsa-p521",
  "secp256k1",
  "ed25519",
  "hmac-256",
  "hmac-384",
  "hmac-512",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
  "ml-kem-768",
  "ml-kem-1024",
  "x25519",
  "aes-128-kw",
  "aes-256-kw",
  "aes-128-kwp",
  "aes-256-kwp",
  "bls12-381-g1",
  "bls12-381-g2",
  "bls12-381-g1g2",
] as const;
export type KeyType = (typeof keyTypes)[number];

/** What a key is made for, for good. RSA keys have a choice; all others have one purpose. */
export const keyPurposes = ["encrypt", "sign", "mac", "encapsulate", "agree", "wrap", "show"] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

export const keyStates = ["enabled", "disabled", "revoked", "pending_deletion", "destroyed"] as const;
export type KeyState = (typeof keyStates)[number];

export const keyVersionStates = ["enabled", "disabled"] as const;
export type KeyVersionState = (typeof keyVersionStates)[number];

export const projectStates = ["enabled", "pending_deletion"] as const;
export type ProjectState = (typeof projectStates)[number];

export const keyFormats = ["raw", "pkcs8", "spki", "jwk"] as const;
export type KeyFormat = (typeof keyFormats)[number];

/** RSA signatures: RSASSA-PKCS1-v1_5 or RSASSA-PSS. */
export const signatureSchemes = ["pkcs1v15", "pss"] as const;
export type SignatureScheme = (typeof signatureSchemes)[number];

/** ECDSA signatures: ASN.1 DER, or r ‖ s. */
export const signatureEncodings = ["der", "raw"] as const;
export type SignatureEncoding = (typeof signatureEncodings)[number];

/** How a shared secret becomes a key: HKDF-SHA-256, or not at all. */
export const keyDerivations = ["hkdf-sha-256", "none"] as const;
export type KeyDerivation = (typeof keyDerivations)[number];

/** The lengths of data keys, in bytes. */
export const dataKeyLengths = [16, 32, 64] as const;
export type DataKeyLength = (typeof dataKeyLengths)[number];

/** The built-in ones. */
export const roleNames = [
  "admin",
  "operator",
  "reader",
  "encrypter",
  "decrypter",
  "signer",
  "exporter",
  "client",
  "client-admin",
] as const;
export type RoleName = (typeof roleNames)[number];

export const accountKinds = ["person", "service"] as const;
export const accountStates = ["enabled", "disabled"] as const;
export type AccountState = (typeof accountStates)[number];
export type AccountKind = (typeof accountKinds)[number];

/** A key's metadata; never its material. Times are ISO 8601 in UTC, here and everywhere. */
export interface Key {
  readonly id: string;
  readonly name: string;
  readonly type: KeyType;
  readonly purpose: KeyPurpose;
  /** Who made the key's material and opens it: `software`, or what the service was started with. */
  readonly provider: string;
  readonly state: KeyState;
  readonly exportable: boolean;
  /** Only the public part is there: it verifies and does not sign. */
  readonly public_only: boolean;
  readonly description?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly created_at: string;
  readonly latest_version: number;
  /** Nothing new is made with a version below. */
  readonly min_encryption_version: number;
  /** Nothing is opened or verified with a version below. */
  readonly min_decryption_version: number;
  readonly versions: readonly KeyVersion[];
  readonly rotation_period_days?: number;
  readonly next_rotation_at?: string;
  readonly revoked_at?: string;
  /** When it is destroyed, where that is asked for. */
  readonly deletion_at?: string;
  readonly destroyed_at?: string;
}

export interface KeyVersion {
  readonly version: number;
  readonly created_at: string;
  readonly state: KeyVersionState;
}

export interface KeyRevoked {
  readonly status: "revoked";
  readonly name: string;
  readonly revoked_at: string;
}

export interface PublicKey {
  readonly version: number;
  /** SubjectPublicKeyInfo as PEM; absent for BLS12-381, whose keys have no such form. */
  readonly public_key_pem?: string;
  readonly jwk: Readonly<Record<string, string>>;
}

export interface Encrypted {
  /** Base64 of version ‖ nonce ‖ data ‖ tag: what `decrypt` takes. */
  readonly ciphertext: string;
  readonly version: number;
  readonly nonce_b64: string;
  readonly data_b64: string;
}

/** Where the parts of the ciphertext are not given on their own. */
export type Ciphered = Pick<Encrypted, "ciphertext" | "version">;

export interface Decrypted {
  readonly plaintext: Uint8Array;
  readonly version: number;
}

/** A data key, for whoever encrypts by itself. */
export interface DataKey extends Ciphered {
  /** The key itself; `ciphertext` is what to keep of it. */
  readonly plaintext: Uint8Array;
}

export interface Signature {
  readonly signature: Uint8Array;
  readonly version: number;
}

/** The answer to a question after a signature or a MAC. */
export interface Verified {
  readonly valid: boolean;
  /** The version that made it, where it is valid. */
  readonly version?: number;
}

export interface Mac {
  readonly mac: Uint8Array;
  readonly version: number;
}

export interface Encapsulated {
  readonly sharedSecret: Uint8Array;
  /** Base64, for whoever may decapsulate. */
  readonly ciphertext: string;
  readonly version: number;
}

export interface Decapsulated {
  readonly sharedSecret: Uint8Array;
  readonly version: number;
}

/** A key that two sides have in common. */
export interface Agreed {
  readonly sharedSecret: Uint8Array;
  readonly version: number;
}

/** A key that left the service as bytes. */
export interface ExportedKey {
  /** The key. Whoever has it has everything that it ever encrypted, unless it is wrapped. */
  readonly keyMaterial: Uint8Array;
  readonly isWrapped: boolean;
  readonly format: Exclude<KeyFormat, "jwk">;
  readonly algorithm: string;
  readonly version: number;
}

/** A key that left the service as a JSON Web Key. */
export interface ExportedJwk {
  readonly jwk: Readonly<Record<string, unknown>>;
  readonly format: "jwk";
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
  readonly state: ProjectState;
  readonly created_at: string;
  /** When it is destroyed with all that it holds, where that is asked for. */
  readonly deletion_at?: string;
}

export interface RoleBinding {
  readonly id: string;
  /** A built-in role or an own one. */
  readonly role: RoleName | (string & {});
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
  readonly state: AccountState;
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

/** A login: a token for the next minutes, and one to get the next one with. */
export interface Login {
  readonly token: string;
  readonly token_type: "Bearer";
  readonly expires_at: string;
  /** Used once: each refresh answers with the next one. */
  readonly refresh_token: string;
  /** The end of the session, whatever is refreshed. */
  readonly refresh_expires_at: string;
  /** The session's id. */
  readonly session: string;
  readonly account: string;
  readonly kind: AccountKind;
}

/** A session without what could be used as one. */
export interface SessionListed {
  readonly id: string;
  readonly created_at: string;
  readonly refreshed_at: string;
  readonly expires_at: string;
  /** Where it was opened from. */
  readonly address: string;
}

/** A signup without its token. */
export interface SignupListed {
  readonly id: string;
  readonly name: string;
  readonly kind: AccountKind;
  readonly created_at: string;
  readonly expires_at: string;
  readonly bindings: readonly RoleBinding[];
}

export interface SignupCreated extends SignupListed {
  /** The token itself: this answer is the only place that ever shows it. */
  readonly token: string;
}

/** A key that logins are signed with. */
export interface LoginKey {
  readonly kid: string;
  readonly created_at: string;
  /** It is shown before it signs. */
  readonly used_from: string;
}

export interface Caller {
  readonly kind: string;
  readonly caller: string;
  readonly account_id?: string;
  /** Absent where no credentials were asked for. */
  readonly authenticated_by?: string;
  readonly expires_at?: string;
  /** Where it came with a token of an external issuer: that issuer's name, and whom the token is for. */
  readonly issuer?: string;
  readonly subject?: string;
  readonly bindings: readonly RoleBinding[];
}

/** One sentence of a role. */
export interface RoleStatement {
  readonly effect: "allow" | "deny";
  /** Scopes such as `kms:encrypt`; in a denial also `*` alone, for all. */
  readonly scopes: readonly string[];
  /** The names that it is about, where it is not about everything. */
  readonly patterns?: readonly string[];
}

export interface Role {
  readonly name: string;
  readonly built_in: boolean;
  readonly description: string;
  readonly statements: readonly RoleStatement[];
  readonly created_at?: string;
}

export const policyVerdicts = [
  "allowed",
  "any_caller",
  "denied",
  "role_missing",
  "nothing_allows",
  "no_part",
  "caller_kind",
  "account_disabled",
] as const;

export interface PolicyReason {
  readonly effect: "allow" | "deny" | "role_missing";
  readonly binding: RoleBinding;
  /** Which statement of an own role, from 1. */
  readonly statement?: number;
}

export interface PolicyExplanation {
  readonly allowed: boolean;
  readonly verdict: (typeof policyVerdicts)[number];
  readonly caller: string;
  readonly scope?: string;
  /** What denies it, where something does; else all that allows it. */
  readonly reasons: readonly PolicyReason[];
}

export const issuerAlgorithms = [
  "EdDSA",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
] as const;
export type IssuerAlgorithm = (typeof issuerAlgorithms)[number];

/** Where an issuer's public keys come from. */
export type IssuerKeySource =
  | { readonly from: "discovery" }
  | { readonly from: "url"; readonly url: string }
  | {
      readonly from: "pinned";
      readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
    };

/** A claim's name, or a JSON pointer, and what it has to be; `*` in a pattern stands for any run of characters. */
export type IssuerCondition =
  | { readonly claim: string; readonly equals: string | number | boolean }
  | { readonly claim: string; readonly matches: string };

/** What a token is worth that fits all conditions. */
export type IssuerRule = { readonly when: readonly IssuerCondition[] } & (
  | { readonly bindings: readonly Omit<RoleBinding, "id">[] }
  /** An account to act as; `{claim}` in its name stands for a claim's text. */
  | { readonly account: string }
);

export interface Issuer {
  readonly id: string;
  readonly name: string;
  readonly issuer: string;
  readonly enabled: boolean;
  readonly audiences: readonly string[];
  readonly algorithms: readonly IssuerAlgorithm[];
  readonly key_source: IssuerKeySource;
  readonly ca_pem?: string;
  readonly subject_claim: string;
  readonly max_lifetime_seconds: number;
  readonly rules: readonly IssuerRule[];
  readonly created_at: string;
}

export interface Health {
  readonly status: "ok" | "degraded";
  readonly checks: Readonly<Record<string, "ok" | "failed">>;
}

/** One page of a list; `next_cursor` is absent on the last one. */
export type Page<N extends string, T> = Readonly<Record<N, readonly T[]>> & { readonly next_cursor?: string };

/** `current` seals; `rewrapping` may still be needed to open records; `unused` waits for its deletion. */
export const barrierKeyStates = ["current", "rewrapping", "unused"] as const;

/** One of the keys that seal the service's records. */
export interface BarrierKey {
  readonly version: number;
  readonly state: (typeof barrierKeyStates)[number];
  readonly created_at: string;
  /** Records that an older key still seals, as last counted. */
  readonly records_left?: number;
  /** Since when no record needs an older key. */
  readonly unused_since?: string;
}

export interface BarrierStatus {
  /** The version that seals. */
  readonly version: number;
  readonly keys: readonly BarrierKey[];
}
