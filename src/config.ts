/**
 * Settings from file, environment and flags (the later winning over the earlier), made into one frozen Config.
 * Invariant: this is the only reader of the environment. A setting that is wrong, missing or unknown stops the start with
 * one line that names it and says what is right; the line never shows a secret's value.
 */
import { Buffer } from "node:buffer";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs, parseEnv } from "node:util";
import type { SecretBytes } from "./bytes.ts";
import { facadeNames, type FacadeName } from "./facades/facade-names.ts";
import {
  asKeysteadSettings,
  goKmsConfigOf,
  pickGoKms,
  type GoKmsConfig,
  type GoKmsValues,
} from "./go-kms-settings.ts";
import { TrustedProxies } from "./http/forwarded.ts";
import type { TlsFiles } from "./http/tls-files.ts";
import { LOGIN_TTL_SECONDS_MAX } from "./identity/signing-keys.ts";
import { parseRootKey } from "./seal/root-key.ts";
import {
  autoKmsFlags,
  clientSettings,
  serverSettings,
  type ServerSettingName,
  type Setting,
} from "./settings.ts";
import { parseDatabaseUrl, type DatabaseAddress } from "./storage/database-url.ts";
import { StartRefused } from "./start-refused.ts";

export interface Address {
  /** "" stands for every address, or in dev mode for the loopback ones. */
  readonly host: string;
  readonly port: number;
}

/** A PostgreSQL database. */
export interface DatabaseConfig {
  readonly address: DatabaseAddress;
  /** Undefined trusts the platform's certificates. */
  readonly caFile: string | undefined;
  readonly connectionsMax: number;
}

export interface Config {
  readonly devMode: boolean;
  readonly devAnyAddress: boolean;
  readonly addr: Address;
  readonly internalAddr: Address | undefined;
  readonly exportOnMain: boolean;
  /** Undefined serves plain HTTP. */
  readonly tls: TlsFiles | undefined;
  /** A proxy does TLS: any address may be served without. */
  readonly tlsByProxy: boolean;
  /** Undefined believes no forwarded header. */
  readonly trustedProxies: TrustedProxies | undefined;
  /** Undefined in dev mode: one is made for the run. */
  readonly rootKey: SecretBytes | undefined;
  /** The root key came as 32 typed characters. */
  readonly rootKeyIsWeak: boolean;
  /** Undefined keeps everything in memory, where there is no database. */
  readonly dataPath: string | undefined;
  /** Undefined keeps everything in the data path. */
  readonly database: DatabaseConfig | undefined;
  /** Undefined keeps no log, in dev mode only. */
  readonly auditLog: string | undefined;
  readonly auditDurability: "written" | "synced";
  readonly jwtSecret: Buffer | undefined;
  readonly jwtProject: string;
  /** What tokens of logins state as their issuer; undefined: one that is derived from the data path's own id. */
  readonly issuer: string | undefined;
  readonly loginTtlSeconds: number;
  /** Requests a second for a caller; undefined sets no limit. */
  readonly ratePerSecond: number | undefined;
  /** Files that each give a provider of keys. */
  readonly providerFiles: readonly string[];
  /** The provider of new keys where a request names none. */
  readonly provider: string;
  /** The age at which the barrier's key changes by itself; undefined: never. */
  readonly barrierMaxAgeMs: number | undefined;
  readonly node: string;
  /** The other systems' APIs that are served. */
  readonly facades: readonly FacadeName[];
  /** What is set for Go KMS's API alone. */
  readonly goKms: GoKmsConfig;
  /** When data encryption keys that are handed out rotate by themselves; undefined: never. */
  readonly dekRotationDays: number | undefined;
  readonly plainLog: boolean;
}

/** A request for help instead of a start. */
export class HelpAsked extends Error {}

const PORT_DEFAULT = 8080;
const MEMORY = ":memory:";
const RATE_DEFAULT = 20_000;
const LOGIN_TTL_SECONDS_DEFAULT = 900;
const LOGIN_TTL_SECONDS_MIN = 60;
const DATABASE_POOL_DEFAULT = 10;
const BARRIER_MAX_AGE_DEFAULT = "365";
const DAY_MS = 86_400_000;
const DEK_ROTATION_DAYS_DEFAULT = 90;
const DEK_ROTATION_DAYS_MAX = 3650;
const JWT_SECRET_BYTES_MIN = 32;
const allSettings: readonly Setting[] = [...serverSettings, ...clientSettings];

type Values = Partial<Record<ServerSettingName, string>>;

/**
 * Reads all settings.
 * @param args the command line after `keystead server`
 * @param env the environment
 * @param cwd where a relative path starts
 * @throws StartRefused with one line for the operator; HelpAsked
 */
export function readConfig(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Config {
  const flags = readFlags(args);
  refuseUnknown(env, "the environment");
  const file = readFile(flags.KEYSTEAD_CONFIG ?? (env["KEYSTEAD_CONFIG"] || undefined), cwd);
  const values: Values = { ...pick(file, cwd), ...pick(env, cwd), ...flags };
  const goKms = { ...pickGoKms(file), ...pickGoKms(env) };
  if (!isGoKmsSetUp(values, goKms)) return Object.freeze(parseValues(values, {}, cwd));
  const settings = asKeysteadSettings(goKms);
  const translated: Values = {};
  for (const { name } of serverSettings) {
    const value = settings[name];
    if (value !== undefined) translated[name] = value;
  }
  return Object.freeze(parseValues({ ...translated, ...values }, goKms, cwd));
}

/**
 * Whether Go KMS's names count: its API is on. Dev mode has it on without being told; there its root key is what tells a
 * set-up of Go KMS from names such as DB_HOST that are meant for somebody else.
 */
function isGoKmsSetUp(values: Values, goKms: GoKmsValues): boolean {
  const isOn = readFacades(values, readSwitch(values, "KEYSTEAD_DEV")).includes("go-kms");
  return isOn && (values.KEYSTEAD_FACADES !== undefined || goKms.KEK !== undefined);
}

function parseValues(values: Values, goKms: GoKmsValues, cwd: string): Config {
  const devMode = readSwitch(values, "KEYSTEAD_DEV");
  const rootText = values.KEYSTEAD_ROOT_KEY;
  const root = rootText === undefined ? undefined : parseRootKey(rootText);
  if (rootText !== undefined && root === undefined) {
    throw refused("KEYSTEAD_ROOT_KEY", "is base64: and 32 bytes in base64, 64 hex digits, or 32 characters");
  }
  const dataSetting = values.KEYSTEAD_DATA_PATH;
  if (root === undefined && !devMode) {
    throw refused("KEYSTEAD_ROOT_KEY", "is missing; make one with: openssl rand -hex 32");
  }
  const database = readDatabase(values, cwd);
  if (
    root === undefined &&
    (database !== undefined || (dataSetting !== undefined && dataSetting !== MEMORY))
  ) {
    const what = database === undefined ? "a data path" : "a database";
    throw refused("KEYSTEAD_ROOT_KEY", `is missing; ${what} opens with the root key it was made with`);
  }
  if (dataSetting !== undefined && database !== undefined) {
    throw refused("KEYSTEAD_DATABASE_URL", "takes the place of KEYSTEAD_DATA_PATH; set one of them");
  }
  if (dataSetting === undefined && database === undefined && !devMode) {
    throw refused(
      "KEYSTEAD_DATA_PATH",
      "is missing; set a folder, or :memory: to keep nothing, or KEYSTEAD_DATABASE_URL",
    );
  }
  const dataPath =
    dataSetting === undefined || dataSetting === MEMORY ? undefined : resolve(cwd, dataSetting);
  const jwtSecret =
    values.KEYSTEAD_JWT_SECRET === undefined ? undefined : Buffer.from(values.KEYSTEAD_JWT_SECRET);
  if (jwtSecret !== undefined && !devMode && jwtSecret.length < JWT_SECRET_BYTES_MIN) {
    throw refused("KEYSTEAD_JWT_SECRET", `is too short; it takes at least ${JWT_SECRET_BYTES_MIN} bytes`);
  }
  const addr = readAddress(values, "KEYSTEAD_ADDR") ?? { host: "", port: PORT_DEFAULT };
  const devAnyAddress = readSwitch(values, "KEYSTEAD_DEV_ANY_ADDRESS");
  const internalAddr = readAddress(values, "KEYSTEAD_INTERNAL_ADDR");
  if (devMode && !devAnyAddress) {
    if (!isLoopback(addr.host))
      throw refused(
        "KEYSTEAD_ADDR",
        "is not a loopback address, and dev mode asks for no credentials; set KEYSTEAD_DEV_ANY_ADDRESS=1 only if nobody else reaches it",
      );
    if (internalAddr !== undefined && !isLoopback(internalAddr.host)) {
      throw refused(
        "KEYSTEAD_INTERNAL_ADDR",
        "is not a loopback address, and dev mode asks for no credentials",
      );
    }
  }
  return {
    devMode,
    devAnyAddress,
    addr,
    internalAddr,
    exportOnMain: readSwitch(values, "KEYSTEAD_EXPORT_ON_MAIN") || devMode,
    tls: readTlsFiles(values, cwd),
    tlsByProxy: readSwitch(values, "KEYSTEAD_TLS_BY_PROXY"),
    trustedProxies: readProxies(values),
    rootKey: root?.key,
    rootKeyIsWeak: root?.weakForm ?? false,
    dataPath,
    database,
    auditLog: readAuditLog(values, devMode, dataPath, cwd),
    auditDurability:
      readChoice(values, "KEYSTEAD_AUDIT_DURABILITY", ["written", "synced"] as const) ?? "written",
    jwtSecret,
    jwtProject:
      readMatching(values, "KEYSTEAD_JWT_PROJECT", /^[a-z0-9][a-z0-9._-]{0,63}$/, "is a project's name") ??
      "default",
    issuer: readMatching(
      values,
      "KEYSTEAD_ISSUER",
      /^[!-~]{1,200}$/,
      "is a URL or another text without spaces",
    ),
    loginTtlSeconds: readLoginTtl(values),
    ratePerSecond: readRate(values, devMode),
    providerFiles: readPaths(values.KEYSTEAD_PROVIDERS, cwd),
    provider:
      readMatching(
        values,
        "KEYSTEAD_PROVIDER",
        /^[a-z0-9][a-z0-9-]{0,31}$/,
        "is lower-case letters, digits and -",
      ) ?? "software",
    barrierMaxAgeMs: readBarrierMaxAge(values),
    node:
      readMatching(
        values,
        "KEYSTEAD_NODE",
        /^[a-z0-9][a-z0-9-]{0,62}$/,
        "is lower-case letters, digits and -",
      ) ?? "main",
    facades: readFacades(values, devMode),
    goKms: goKmsConfigOf(goKms),
    dekRotationDays: readDekRotation(values),
    plainLog:
      (readChoice(values, "KEYSTEAD_LOG_FORMAT", ["json", "text"] as const) ??
        (devMode ? "text" : "json")) === "text",
  };
}

function readPaths(text: string | undefined, cwd: string): readonly string[] {
  const paths = text?.split(",").map((path) => path.trim()) ?? [];
  if (paths.includes("")) throw refused("KEYSTEAD_PROVIDERS", "is file names between commas");
  return paths.map((path) => resolve(cwd, path));
}

function readAuditLog(
  values: Values,
  devMode: boolean,
  dataPath: string | undefined,
  cwd: string,
): string | undefined {
  const path = values.KEYSTEAD_AUDIT_LOG;
  if (path !== undefined) return resolve(cwd, path);
  if (dataPath !== undefined) return join(dataPath, "audit.log");
  if (devMode) return undefined;
  throw refused("KEYSTEAD_AUDIT_LOG", "is missing; without a data path on disk it has to be set");
}

function readDatabase(values: Values, cwd: string): DatabaseConfig | undefined {
  const { KEYSTEAD_DATABASE_URL: url, KEYSTEAD_DATABASE_CA: ca, KEYSTEAD_DATABASE_POOL: pool } = values;
  if (url === undefined) {
    if (ca !== undefined) throw refused("KEYSTEAD_DATABASE_CA", "is of use with KEYSTEAD_DATABASE_URL only");
    if (pool !== undefined)
      throw refused("KEYSTEAD_DATABASE_POOL", "is of use with KEYSTEAD_DATABASE_URL only");
    return undefined;
  }
  const address = parseDatabaseUrl(url);
  if (typeof address === "string") throw refused("KEYSTEAD_DATABASE_URL", address);
  if (ca !== undefined && address.tls !== "verified")
    throw refused("KEYSTEAD_DATABASE_CA", "is of use with sslmode=verify-full only");
  const connectionsMax = pool === undefined ? DATABASE_POOL_DEFAULT : Number(pool);
  if (pool !== undefined && !(/^[0-9]{1,3}$/.test(pool) && connectionsMax >= 2 && connectionsMax <= 200))
    throw refused("KEYSTEAD_DATABASE_POOL", "is a number from 2 to 200");
  return { address, caFile: ca === undefined ? undefined : resolve(cwd, ca), connectionsMax };
}

function readTlsFiles(values: Values, cwd: string): TlsFiles | undefined {
  const { KEYSTEAD_TLS_CERT: cert, KEYSTEAD_TLS_KEY: key } = values;
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined) throw refused("KEYSTEAD_TLS_CERT", "is missing; KEYSTEAD_TLS_KEY is its key");
  if (key === undefined) throw refused("KEYSTEAD_TLS_KEY", "is missing; KEYSTEAD_TLS_CERT needs its key");
  return { certFile: resolve(cwd, cert), keyFile: resolve(cwd, key) };
}

function readProxies(values: Values): TrustedProxies | undefined {
  const text = values.KEYSTEAD_TRUSTED_PROXIES;
  const proxies = text === undefined ? undefined : TrustedProxies.parse(text);
  if (text !== undefined && proxies === undefined)
    throw refused(
      "KEYSTEAD_TRUSTED_PROXIES",
      "is addresses and CIDR blocks between commas, such as 10.0.0.2,fd00:1::/64",
    );
  return proxies;
}

function readRate(values: Values, devMode: boolean): number | undefined {
  const text = values.KEYSTEAD_RATE_LIMIT ?? (devMode ? "off" : String(RATE_DEFAULT));
  if (text === "off") return undefined;
  const rate = /^[1-9][0-9]{0,7}$/.test(text) ? Number(text) : undefined;
  if (rate === undefined) throw refused("KEYSTEAD_RATE_LIMIT", "is a number of requests a second, or off");
  return rate;
}

function readFacades(values: Values, devMode: boolean): readonly FacadeName[] {
  const text = values.KEYSTEAD_FACADES ?? (devMode ? facadeNames.join(",") : "none");
  if (text === "none") return [];
  const names = text.split(",").map((part) => facadeNames.find((name) => name === part.trim()));
  const known = names.filter((name) => name !== undefined);
  if (known.length < names.length || new Set(known).size < known.length)
    throw refused(
      "KEYSTEAD_FACADES",
      `is none, or some of ${facadeNames.join(", ")}, each once, between commas`,
    );
  return known;
}

function readDekRotation(values: Values): number | undefined {
  const text = values.KEYSTEAD_DEK_ROTATION_DAYS ?? String(DEK_ROTATION_DAYS_DEFAULT);
  if (text === "off") return undefined;
  const days = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : Infinity;
  if (days > DEK_ROTATION_DAYS_MAX)
    throw refused("KEYSTEAD_DEK_ROTATION_DAYS", `is 1 to ${DEK_ROTATION_DAYS_MAX} days, or off`);
  return days;
}

function readLoginTtl(values: Values): number {
  const text = values.KEYSTEAD_LOGIN_TTL ?? String(LOGIN_TTL_SECONDS_DEFAULT);
  const seconds = /^[1-9][0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (seconds < LOGIN_TTL_SECONDS_MIN || seconds > LOGIN_TTL_SECONDS_MAX)
    throw refused("KEYSTEAD_LOGIN_TTL", `is ${LOGIN_TTL_SECONDS_MIN} to ${LOGIN_TTL_SECONDS_MAX} seconds`);
  return seconds;
}

function readBarrierMaxAge(values: Values): number | undefined {
  const text = values.KEYSTEAD_BARRIER_MAX_AGE ?? BARRIER_MAX_AGE_DEFAULT;
  if (text === "off") return undefined;
  if (!/^[1-9][0-9]{0,3}$/.test(text))
    throw refused("KEYSTEAD_BARRIER_MAX_AGE", "is a number of days from 1 to 9999, or off");
  return Number(text) * DAY_MS;
}

function readAddress(values: Values, name: ServerSettingName): Address | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const match = /^(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):(?<port>[0-9]{1,5})$/.exec(text);
  const host = match?.groups?.["host"];
  const port = Number(match?.groups?.["port"]);
  if (host === undefined || port > 65535)
    throw refused(name, "is host:port or :port, such as 127.0.0.1:8080");
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port };
}

function readSwitch(values: Values, name: ServerSettingName): boolean {
  return readChoice(values, name, ["0", "1"] as const) === "1";
}

function readChoice<T extends string>(
  values: Values,
  name: ServerSettingName,
  choices: readonly T[],
): T | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw refused(name, `is ${choices.join(" or ")}`);
  return choice;
}

function readMatching(
  values: Values,
  name: ServerSettingName,
  pattern: RegExp,
  right: string,
): string | undefined {
  const text = values[name];
  if (text !== undefined && !pattern.test(text)) throw refused(name, right);
  return text;
}

export function isLoopback(host: string): boolean {
  return host === "" || host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The settings among the given variables, under our names; an empty one counts as not set. */
function pick(variables: Readonly<Record<string, string | undefined>>, cwd: string): Values {
  const values: Values = {};
  for (const setting of serverSettings as readonly (Setting & { readonly name: ServerSettingName })[]) {
    for (const name of [...(setting.aliases ?? []), setting.name]) {
      const value = variables[name];
      if (value !== undefined && value !== "") values[setting.name] = value;
    }
    if (setting.mayBeFile !== true) continue;
    const path = variables[`${setting.name}_FILE`];
    if (path === undefined || path === "") continue;
    if (variables[setting.name] !== undefined && variables[setting.name] !== "") {
      throw refused(setting.name, `is set twice; remove it or ${setting.name}_FILE`);
    }
    try {
      values[setting.name] = readFileSync(resolve(cwd, path), "utf8").replace(/\r?\n$/, "");
    } catch {
      throw refused(`${setting.name}_FILE`, "names a file that cannot be read");
    }
  }
  return values;
}

function readFile(path: string | undefined, cwd: string): Record<string, string | undefined> {
  const file = resolve(cwd, path ?? ".env");
  if (path === undefined && !existsSync(file)) return {};
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw refused("KEYSTEAD_CONFIG", "names a file that cannot be read");
  }
  const variables = parseEnv(text);
  refuseUnknown(variables, file);
  return variables;
}

function readFlags(args: readonly string[]): Values {
  const options: Record<string, { type: "boolean" | "string"; short?: string }> = {
    help: { type: "boolean", short: "h" },
  };
  for (const setting of serverSettings as readonly Setting[]) {
    if (setting.flag !== undefined)
      options[setting.flag] = { type: setting.isSwitch === true ? "boolean" : "string" };
  }
  for (const flag of Object.keys(autoKmsFlags))
    options[flag] = { type: flag === "no-reload" ? "boolean" : "string" };
  let parsed: Record<string, string | boolean | (string | boolean)[] | undefined>;
  try {
    // BunKMS spells its flags with one dash.
    const normalised = args.map((arg) => (/^-[a-z]{2}/.test(arg) ? `-${arg}` : arg));
    parsed = parseArgs({ args: normalised, options, strict: true, allowPositionals: false }).values;
  } catch {
    throw new StartRefused(
      `unknown or incomplete flag; the flags are ${Object.keys(options)
        .map((flag) => `--${flag}`)
        .join(" ")}`,
    );
  }
  if (parsed["help"] === true) throw new HelpAsked();
  const values: Values = {};
  const { host, port } = parsed;
  if (typeof host === "string" || typeof port === "string") {
    if (parsed["addr"] !== undefined)
      throw new StartRefused("--addr says what --host and --port say; use one");
    const name = typeof host !== "string" ? "" : host.includes(":") ? `[${host}]` : host;
    values.KEYSTEAD_ADDR = `${name}:${typeof port === "string" ? port : String(PORT_DEFAULT)}`;
  }
  for (const setting of serverSettings as readonly (Setting & { readonly name: ServerSettingName })[]) {
    const value = setting.flag === undefined ? undefined : parsed[setting.flag];
    if (typeof value === "string" && value !== "") values[setting.name] = value;
    if (value === true) values[setting.name] = "1";
  }
  return values;
}

/** Kubernetes puts variables of this form into every pod beside a Service named `keystead`. */
const kubernetes = /^KEYSTEAD_(.*_)?(SERVICE|PORT)(_|$)/;

function refuseUnknown(variables: Readonly<Record<string, string | undefined>>, where: string): void {
  const known = new Set(
    allSettings.flatMap(({ name, mayBeFile }) => (mayBeFile === true ? [name, `${name}_FILE`] : [name])),
  );
  for (const name of Object.keys(variables)) {
    if (name.startsWith("KEYSTEAD_") && !known.has(name) && !kubernetes.test(name)) {
      throw new StartRefused(`${name} in ${where} is no setting of Keystead; .env.example lists all of them`);
    }
  }
}

function refused(name: string, right: string): StartRefused {
  return new StartRefused(`${name} ${right}`);
}
