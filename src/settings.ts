/**
 * Every setting there is, as data: its name, its older names, its flag, and the one line that explains it.
 * Invariant: a setting that is not in this table does not exist; `.env.example` and the help list exactly these.
 */
import { facadeNames } from "./facades/facade-names.ts";

export interface Setting {
  /** The environment variable, also the name in a settings file. */
  readonly name: `KEYSTEAD_${string}`;
  /** Names of other programs that mean the same; ours wins. */
  readonly aliases?: readonly string[];
  /** The command-line flag, without dashes; secrets have none. */
  readonly flag?: string;
  /** A flag without a value, which stands for `1`. */
  readonly isSwitch?: true;
  /** May also come from the file that `<name>_FILE` names. */
  readonly mayBeFile?: true;
  readonly example: string;
  readonly help: string;
}

/** A flag that Auto KMS's command line has, and what it stands for here. */
export const autoKmsFlags = {
  host: "The address to listen on, as in --addr",
  port: "The port to listen on, as in --addr",
  "no-reload": "Nothing: the service never reloads its code",
} as const;

export const serverSettings = [
  {
    name: "KEYSTEAD_ADDR",
    aliases: ["BUNKMS_ADDR"],
    flag: "addr",
    example: ":8080",
    help: "Where to listen: host:port, or :port for every address (dev mode: for the loopback ones)",
  },
  {
    name: "KEYSTEAD_INTERNAL_ADDR",
    flag: "internal-addr",
    example: "10.0.0.5:8081",
    help: "A second address that only internal networks reach; key export is served there and nowhere else",
  },
  {
    name: "KEYSTEAD_EXPORT_ON_MAIN",
    flag: "export-on-main",
    isSwitch: true,
    example: "1",
    help: "1 serves key export on the main address as well",
  },
  {
    name: "KEYSTEAD_TLS_CERT",
    flag: "tls-cert",
    example: "/etc/keystead/tls.pem",
    help: "The certificate to serve TLS with: a PEM file, with the chain; read anew on SIGHUP",
  },
  {
    name: "KEYSTEAD_TLS_KEY",
    flag: "tls-key",
    example: "/etc/keystead/tls.key",
    help: "That certificate's private key: a PEM file without a passphrase",
  },
  {
    name: "KEYSTEAD_TLS_BY_PROXY",
    flag: "tls-by-proxy",
    isSwitch: true,
    example: "1",
    help: "1 says that a proxy does TLS, and lets other than loopback addresses be served without",
  },
  {
    name: "KEYSTEAD_TRUSTED_PROXIES",
    flag: "trusted-proxies",
    example: "10.0.0.2,fd00:1::/64",
    help: "Proxies whose X-Forwarded-For tells the client: addresses and CIDR blocks, between commas",
  },
  {
    name: "KEYSTEAD_ROOT_KEY",
    aliases: ["BUNKMS_MASTER_KEY"],
    mayBeFile: true,
    example: "base64:…",
    help: "The root key: base64: and 32 bytes, 64 hex digits, or 32 characters (make one: openssl rand -hex 32)",
  },
  {
    name: "KEYSTEAD_DATA_PATH",
    aliases: ["BUNKMS_DATA_PATH"],
    flag: "data-path",
    example: "/var/lib/keystead",
    help: "The folder that holds the database; :memory: keeps everything in memory only",
  },
  {
    name: "KEYSTEAD_DATABASE_URL",
    mayBeFile: true,
    example: "postgres://keystead:…@db.example.com:5432/keystead",
    help: "A PostgreSQL database (14 or later) in place of a data path; ?sslmode= is disable, require or verify-full",
  },
  {
    name: "KEYSTEAD_DATABASE_CA",
    flag: "database-ca",
    example: "/etc/keystead/database-ca.pem",
    help: "Certificates (PEM) of who may sign the database's own; the platform's unless set",
  },
  {
    name: "KEYSTEAD_DATABASE_POOL",
    flag: "database-pool",
    example: "10",
    help: "Connections to the database at most, 2 to 200 (10 unless set); one more holds the node's name",
  },
  {
    name: "KEYSTEAD_AUDIT_LOG",
    aliases: ["BUNKMS_AUDIT_LOG"],
    flag: "audit-log",
    example: "/var/log/keystead/audit.log",
    help: "The audit log's file; audit.log in the data path unless set",
  },
  {
    name: "KEYSTEAD_AUDIT_DURABILITY",
    flag: "audit-durability",
    example: "written",
    help: "What answers wait for where nothing was changed: written (to the file) or synced (to the disk)",
  },
  {
    name: "KEYSTEAD_JWT_SECRET",
    aliases: ["BUNKMS_JWT_SECRET"],
    mayBeFile: true,
    example: "",
    help: "Accepts HS256 JWTs signed with this secret (at least 32 bytes in server mode)",
  },
  {
    name: "KEYSTEAD_JWT_PROJECT",
    flag: "jwt-project",
    example: "default",
    help: "The one project in which those JWTs act",
  },
  {
    name: "KEYSTEAD_ISSUER",
    flag: "issuer",
    example: "https://keys.example.net",
    help: "What the tokens of logins state as their issuer; a URN of this data path's own unless set",
  },
  {
    name: "KEYSTEAD_LOGIN_TTL",
    flag: "login-ttl",
    example: "900",
    help: "How many seconds a login's token is valid, 60 to 3600; it is refreshed without a password",
  },
  {
    name: "KEYSTEAD_RATE_LIMIT",
    flag: "rate-limit",
    example: "20000",
    help: "Requests a second for one caller, or off (20000 unless set; off in dev mode)",
  },
  {
    name: "KEYSTEAD_PROVIDERS",
    flag: "providers",
    example: "/etc/keystead/our-hsm.mjs",
    help: "Files that each give a provider of keys beside the built-in one, between commas (docs/provider.md)",
  },
  {
    name: "KEYSTEAD_PROVIDER",
    flag: "provider",
    example: "software",
    help: "The provider of new keys where a request names none (software unless set)",
  },
  {
    name: "KEYSTEAD_BARRIER_MAX_AGE",
    flag: "barrier-max-age",
    example: "365",
    help: "After how many days the key that seals the records changes by itself, or off (365 unless set)",
  },
  {
    name: "KEYSTEAD_NODE",
    flag: "node",
    example: "main",
    help: "This node's name in the audit log, its own among those on one database (lower-case letters, digits, -)",
  },
  {
    name: "KEYSTEAD_FACADES",
    flag: "facades",
    example: "auto-kms",
    help: `Other systems' APIs to serve, between commas (${facadeNames.join(", ")}), or none; dev mode serves all`,
  },
  {
    name: "KEYSTEAD_DEK_ROTATION_DAYS",
    flag: "dek-rotation-days",
    example: "90",
    help: "How many days old a client's data encryption key rotates by itself, or off (90 unless set)",
  },
  {
    name: "KEYSTEAD_LOG_FORMAT",
    flag: "log-format",
    example: "json",
    help: "The service's own log on standard error: json, or text for people",
  },
  {
    name: "KEYSTEAD_DEV",
    flag: "dev",
    isSwitch: true,
    example: "1",
    help: "1 runs dev mode: no credentials needed, this machine only, in memory unless a data path is set",
  },
  {
    name: "KEYSTEAD_DEV_ANY_ADDRESS",
    isSwitch: true,
    example: "1",
    help: "1 lets dev mode listen on an address that others reach (dangerous: no credentials are asked for)",
  },
  {
    name: "KEYSTEAD_CONFIG",
    flag: "config",
    example: "/etc/keystead.env",
    help: "A file of settings, NAME=value lines as in .env.example (.env in the working directory unless set)",
  },
] as const satisfies readonly Setting[];

/** Settings of the command line client, named here so that a shared environment is no error for the server. */
export const clientSettings = [
  {
    name: "KEYSTEAD_URL",
    flag: "url",
    example: "http://localhost:8080",
    help: "The server that the command line talks to",
  },
  {
    name: "KEYSTEAD_TOKEN",
    aliases: ["BUNKMS_TOKEN"],
    mayBeFile: true,
    flag: "token",
    example: "kst_…",
    help: "The token that the command line sends",
  },
  {
    name: "KEYSTEAD_PROJECT",
    flag: "project",
    example: "default",
    help: "The project that the command line acts in",
  },
] as const satisfies readonly Setting[];

export type ServerSettingName = (typeof serverSettings)[number]["name"];
