/**
 * The settings of Go KMS, as its `.env` has them, made into ours.
 * Invariant: what is made here says nothing that a setting of ours cannot; a value that does not fit is refused by its
 * own name, and no value is in any message.
 */
import { decodeBase64Url } from "./bytes.ts";
import { clientRoles, type ClientRole } from "./identity/client-accounts.ts";
import { LOGIN_TTL_SECONDS_MAX } from "./identity/signing-keys.ts";
import { StartRefused } from "./start-refused.ts";

/** The names that mean something here. Those of secrets that this service makes and keeps itself are passed over. */
export const goKmsNames = [
  "KEK",
  "JWT_TTL",
  "DEFAULT_ROLE",
  "MASTER_ADMIN_USERNAME",
  "MASTER_ADMIN_PASSWORD",
  "SERVER_HOST",
  "SERVER_PORT",
  "DB_HOST",
  "DB_PORT",
  "DB_NAME",
  "DB_USER",
  "DB_PASSWORD",
  "DB_SSLMODE",
] as const;

/** Taken for what it is and used for nothing: tokens, hashes and records have keys of the service's own. */
export const goKmsPassedOver = [
  "JWT_SECRET",
  "SIGNUP_SECRET",
  "KEY_REF_SECRET",
  "USERNAME_SECRET",
  "DB_SECRET",
] as const;

type GoKmsName = (typeof goKmsNames)[number];
export type GoKmsValues = Partial<Record<GoKmsName, string>>;

/** What Go KMS's settings say that ours have no name for. */
export interface GoKmsConfig {
  readonly defaultRole: ClientRole;
  /** The first administrator, who is made where there never was a client. */
  readonly masterAdmin: { readonly name: string; readonly password: string } | undefined;
}

const TTL_MS_MIN = 60_000;
const PORT_DEFAULT = "8080";
const DB_PORT_DEFAULT = "5432";

/** Those of the variables that are Go KMS's; an empty one counts as not set. */
export function pickGoKms(variables: Readonly<Record<string, string | undefined>>): GoKmsValues {
  const values: GoKmsValues = {};
  for (const name of goKmsNames) {
    const value = variables[name];
    if (value !== undefined && value !== "") values[name] = value;
  }
  return values;
}

/** The same in settings of ours, by their names. Throws StartRefused. */
export function asKeysteadSettings(values: GoKmsValues): Partial<Record<string, string>> {
  const settings: Record<string, string> = {};
  const { KEK: kek, JWT_TTL: ttl, SERVER_HOST: host, SERVER_PORT: port } = values;
  if (kek !== undefined) settings["KEYSTEAD_ROOT_KEY"] = `base64:${rootKeyOf(kek)}`;
  if (ttl !== undefined) settings["KEYSTEAD_LOGIN_TTL"] = String(ttlSecondsOf(ttl));
  if (host !== undefined || port !== undefined) {
    const name = host?.includes(":") === true && !host.startsWith("[") ? `[${host}]` : (host ?? "");
    settings["KEYSTEAD_ADDR"] = `${name}:${port ?? PORT_DEFAULT}`;
  }
  const url = databaseUrlOf(values);
  if (url !== undefined) settings["KEYSTEAD_DATABASE_URL"] = url;
  return settings;
}

/** What is left. Throws StartRefused. */
export function goKmsConfigOf(values: GoKmsValues): GoKmsConfig {
  const {
    DEFAULT_ROLE: role = "client",
    MASTER_ADMIN_USERNAME: name,
    MASTER_ADMIN_PASSWORD: password,
  } = values;
  const defaultRole = clientRoles.find((one) => one === role);
  if (defaultRole === undefined) throw refused("DEFAULT_ROLE", `is ${clientRoles.join(" or ")}`);
  if (name === undefined && password === undefined) return { defaultRole, masterAdmin: undefined };
  if (name === undefined)
    throw refused("MASTER_ADMIN_USERNAME", "is missing; MASTER_ADMIN_PASSWORD is its password");
  if (password === undefined)
    throw refused("MASTER_ADMIN_PASSWORD", "is missing; MASTER_ADMIN_USERNAME logs in with it");
  if (!/^[a-zA-Z0-9-]{4,64}$/.test(name))
    throw refused("MASTER_ADMIN_USERNAME", "is 4 to 64 letters, digits and hyphens");
  const characters = Array.from(password.normalize("NFC")).length;
  if (characters < 12 || characters > 128) throw refused("MASTER_ADMIN_PASSWORD", "is 12 to 128 characters");
  return { defaultRole, masterAdmin: { name, password } };
}

/** The address of a PostgreSQL database (RFC 3986), its parts escaped; undefined where no host is named. */
export function databaseUrlOf(values: GoKmsValues): string | undefined {
  const { DB_HOST: host, DB_PORT: port = DB_PORT_DEFAULT, DB_NAME: name = "", DB_USER: user } = values;
  if (host === undefined) return undefined;
  if (!/^[0-9]{1,5}$/.test(port)) throw refused("DB_PORT", "is a port's number");
  if (!/^[a-zA-Z0-9._:[\]-]+$/.test(host)) throw refused("DB_HOST", "is a host's name or address");
  const { DB_PASSWORD: password, DB_SSLMODE: mode } = values;
  const secret = password === undefined ? "" : `:${encodeURIComponent(password)}`;
  const who = user === undefined ? "" : `${encodeURIComponent(user)}${secret}@`;
  const address = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const query = mode === undefined ? "" : `?sslmode=${encodeURIComponent(mode)}`;
  return `postgres://${who}${address}:${port}/${encodeURIComponent(name)}${query}`;
}

function rootKeyOf(text: string): string {
  const bytes = decodeBase64Url(text.replace(/=$/, ""));
  if (bytes?.length !== 32) throw refused("KEK", "is 32 bytes in base64url");
  return bytes.toString("base64");
}

function ttlSecondsOf(text: string): number {
  const ms = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : 0;
  if (ms < TTL_MS_MIN || ms > LOGIN_TTL_SECONDS_MAX * 1000)
    throw refused("JWT_TTL", `is ${TTL_MS_MIN} to ${LOGIN_TTL_SECONDS_MAX * 1000} milliseconds`);
  return Math.floor(ms / 1000);
}

function refused(name: string, right: string): StartRefused {
  return new StartRefused(`${name} ${right}`);
}
