/**
 * Scopes (what can be allowed), the built-in roles (named sets of scopes), and what an own role is made of.
 * Invariant: default deny: what no scope of a bound role allows is refused. `kms:export_key` and `kms:use_dek` are in no role that
 * a person gets by being an administrator. No own role has a built-in one's name.
 */
export const scopes = [
  "kms:create_key",
  "kms:import_key",
  "kms:read_key",
  "kms:list_keys",
  "kms:update_key",
  "kms:rotate_key",
  "kms:disable_key",
  "kms:revoke_key",
  "kms:delete_key",
  "kms:export_key",
  "kms:use_dek",
  "kms:encrypt",
  "kms:decrypt",
  "kms:sign",
  "kms:verify",
  "kms:mac",
  "kms:generate_data_key",
  "kms:put_secret",
  "kms:read_secret",
  "kms:list_secrets",
  "kms:delete_secret",
  "kms:store_credential",
  "kms:read_credential",
  "kms:delete_credential",
  "kms:read_projects",
  "kms:manage_projects",
  "kms:manage_accounts",
  "kms:manage_barrier",
] as const;

export type Scope = (typeof scopes)[number];

export interface Role {
  readonly description: string;
  readonly scopes: ReadonlySet<Scope>;
}

const readerScopes: Scope[] = ["kms:read_key", "kms:list_keys", "kms:list_secrets", "kms:read_projects"];
const operatorScopes: Scope[] = [
  ...readerScopes,
  "kms:encrypt",
  "kms:decrypt",
  "kms:sign",
  "kms:verify",
  "kms:mac",
  "kms:generate_data_key",
  "kms:put_secret",
  "kms:read_secret",
  "kms:delete_secret",
  "kms:store_credential",
  "kms:read_credential",
  "kms:delete_credential",
];

export const roles = {
  admin: role(
    "Everything but the export of raw keys; bound to all projects also accounts and projects",
    scopes.filter((scope) => scope !== "kms:export_key" && scope !== "kms:use_dek"),
  ),
  operator: role("Uses keys and secrets; does not make, rotate or revoke keys", operatorScopes),
  reader: role("Sees keys and the names of secrets; uses nothing", readerScopes),
  encrypter: role("Encrypts, makes data keys and verifies only", [
    "kms:encrypt",
    "kms:generate_data_key",
    "kms:verify",
    "kms:read_key",
  ]),
  decrypter: role("Decrypts only", ["kms:decrypt", "kms:read_key"]),
  signer: role("Signs, makes MACs and verifies only", ["kms:sign", "kms:mac", "kms:verify", "kms:read_key"]),
  exporter: role("For a service that encrypts by itself: makes exportable keys and fetches them", [
    "kms:create_key",
    "kms:read_key",
    "kms:export_key",
  ]),
  client: role(
    "For a service with data encryption keys of its own: makes, fetches, rotates and deletes them",
    ["kms:create_key", "kms:read_key", "kms:rotate_key", "kms:delete_key", "kms:use_dek"],
  ),
  "client-admin": role("Bound to all projects: accounts, and with them the clients", ["kms:manage_accounts"]),
} as const satisfies Record<string, Role>;

export type RoleName = keyof typeof roles;

export const roleNames = Object.keys(roles) as [RoleName, ...RoleName[]];

/** By name; a map, since an own role may be called what objects have by themselves. */
export const builtInRoles: ReadonlyMap<string, Role> = new Map(Object.entries(roles));

/** Stands for every scope there is, now and later. */
export const ALL_SCOPES = "*";

/** One sentence of an own role: it allows or denies some scopes, on all names or on those that match. */
export interface Statement {
  readonly effect: "allow" | "deny";
  readonly scopes: readonly Scope[] | readonly [typeof ALL_SCOPES];
  /** Names of keys and secrets; absent: all, and what has no name or belongs to no project. */
  readonly patterns?: readonly string[];
}

/** Own roles by name, as they are now. */
export type OwnRoles = ReadonlyMap<string, readonly Statement[]>;

export const noOwnRoles: OwnRoles = new Map();

function role(description: string, list: readonly Scope[]): Role {
  return { description, scopes: new Set(list) };
}
