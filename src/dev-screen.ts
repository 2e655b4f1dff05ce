/** What dev mode shows at its start: where it listens, two commands to copy, and a token for what auth-off does not grant. */
import { serviceFacts } from "./audit/auditor.ts";
import type { CommitChange } from "./audit/change.ts";
import type { Keystead } from "./compose.ts";
import { KeysteadError } from "./errors.ts";
import { ALL_PROJECTS } from "./policy/decide.ts";
import { DEFAULT_PROJECT } from "./identity/projects.ts";

const DEV_ACCOUNT = "dev-service";
const DEV_TOKEN_SECONDS = 24 * 3600;

/**
 * Makes a service token of a day with the role `exporter` in the default project, which manages clients where Go KMS's API
 * is on, and its account where there is none.
 */
export async function makeDevToken({ config, services }: Keystead): Promise<string> {
  const { accounts, auditor, projects } = services;
  const commit = (action: string): CommitChange => {
    return (writes, facts) => auditor.commitChange({ ...serviceFacts(action), ...facts, version: 0 }, writes);
  };
  const project = await projects.byName(DEFAULT_PROJECT);
  try {
    await accounts.create(DEV_ACCOUNT, "service", commit("account.create"));
  } catch (error) {
    if (!(error instanceof KeysteadError) || error.code !== "account_exists") throw error;
  }
  await accounts.bind(DEV_ACCOUNT, { role: "exporter", project: project?.id ?? "" }, commit("account.bind"));
  // Go KMS's routes ask for credentials in dev mode as well.
  if (config.facades.includes("go-kms"))
    await accounts.bind(DEV_ACCOUNT, { role: "client-admin", project: ALL_PROJECTS }, commit("account.bind"));
  const { plainToken } = await accounts.createToken(
    DEV_ACCOUNT,
    "dev",
    DEV_TOKEN_SECONDS,
    commit("token.create"),
  );
  return plainToken;
}

/** The screen's text. */
export function devScreen({ config }: Keystead, addresses: readonly string[], token: string): string {
  const [first = ""] = addresses;
  const scheme = config.tls === undefined ? "http" : "https";
  const url = `${scheme}://localhost:${first.slice(first.lastIndexOf(":") + 1)}`;
  const forClients = config.facades.includes("go-kms") ? ", and for POST /auth/signup/generate" : "";
  const database = config.database && `PostgreSQL at ${config.database.address.host}`;
  const storage =
    database ?? config.dataPath ?? "memory only (set KEYSTEAD_ROOT_KEY and KEYSTEAD_DATA_PATH to keep it)";
  return `
  Keystead, dev mode: no credentials needed, for this machine only

  listening  ${addresses.map((address) => `${scheme}://${address}`).join("  ")}
  storage    ${storage}
  audit log  ${config.auditLog ?? "none (set KEYSTEAD_AUDIT_LOG)"}
  also as    ${config.facades.join("  ") || "nothing else (set KEYSTEAD_FACADES)"}

  Create a key, then encrypt:

    curl -s -X POST ${url}/v1/keys -H "Content-Type: application/json" -d '{"name":"mykey","type":"aes-256"}'
    curl -s -X POST ${url}/v1/encrypt/mykey -H "Content-Type: application/json" -d '{"plaintext":"hello"}'

  Service token for key export${forClients} (a day, this server only):

    ${token}

  Stop with Ctrl-C.

`;
}
