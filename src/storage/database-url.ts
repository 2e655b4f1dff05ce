/**
 * Where a PostgreSQL database is: the URL of KEYSTEAD_DATABASE_URL, read strictly.
 * postgres://user:password@host:5432/database?sslmode=verify-full
 * A host of %2Fvar%2Frun%2Fpostgresql is the folder of a Unix socket, as in PostgreSQL's own programs.
 * Invariant: what is not understood is refused, and no text that comes from here holds any part of the URL.
 */

/** none: in the clear. unverified: encrypted, to whoever answers. verified: encrypted, certificate and host name checked. */
export type DatabaseTls = "none" | "unverified" | "verified";

export interface DatabaseAddress {
  /** A name, an address, or the absolute path of a socket's folder. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls: DatabaseTls;
}

const FORM = "is postgres://user:password@host:5432/database";
const sslModes: Readonly<Record<string, DatabaseTls>> = {
  disable: "none",
  require: "unverified",
  "verify-full": "verified",
};

/** The address, or what is right instead, as the second half of a sentence. */
export function parseDatabaseUrl(text: string): DatabaseAddress | string {
  let url: URL;
  let parts: { host: string; user: string; password: string; database: string };
  try {
    url = new URL(text);
    parts = {
      host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, "$1"),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
    };
  } catch {
    return FORM;
  }
  const { host, user, database } = parts;
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") return FORM;
  if (host === "" || user === "" || database === "" || database.includes("/") || url.hash !== "") return FORM;
  if (Object.values(parts).some((part) => part.includes("\0"))) return FORM;
  for (const name of url.searchParams.keys())
    if (name !== "sslmode") return "takes no parameter but sslmode after the ?";
  const modes = url.searchParams.getAll("sslmode");
  const tls = modes.length === 0 ? (isOnThisMachine(host) ? "none" : "verified") : sslModes[modes[0] ?? ""];
  if (tls === undefined || modes.length > 1) return "has sslmode=disable, require or verify-full";
  if (tls !== "none" && host.startsWith("/")) return "names a socket, which has no TLS";
  return { ...parts, port: url.port === "" ? 5432 : Number(url.port), tls };
}

/** Whether what goes to this host stays on the machine. */
export function isOnThisMachine(host: string): boolean {
  return host.startsWith("/") || host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
