/**
 * A service for a test, in this process, on a free port: real listener, real SQLite, real audit log.
 * Invariant: nothing outlives the test that started it.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import { serviceFacts } from "../src/audit/auditor.ts";
import type { CommitChange } from "../src/audit/change.ts";
import { compose, type ComposeOptions, type Keystead } from "../src/compose.ts";
import { readConfig } from "../src/config.ts";
import type { AccountKind } from "../src/identity/caller.ts";
import { ALL_PROJECTS } from "../src/policy/decide.ts";
import { Log } from "../src/telemetry/log.ts";
import { newDatabase } from "./postgres.ts";

export const ROOT_KEY = "base64:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined where it is none. */
  readonly json: Record<string, unknown>;
}

export interface RequestOptions {
  readonly token?: string;
  readonly project?: string;
  readonly headers?: Record<string, string>;
  /** Sent as it is, instead of JSON. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
}

export interface TestService {
  readonly keystead: Keystead;
  readonly url: string;
  readonly port: number;
  /** Where the service's own log goes. */
  readonly logLines: string[];
  request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer>;
  /** Makes an account with one role binding and a token for it. */
  token(role: string, options?: { kind?: AccountKind; project?: string; pattern?: string }): Promise<string>;
  /** The audit log's entries so far. */
  auditEntries(): Record<string, unknown>[];
  close(): Promise<void>;
  /** For `await using` inside a test. */
  [Symbol.asyncDispose](): Promise<void>;
}

const folders: string[] = [];
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that is removed when the tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "keystead-test-"));
  folders.push(folder);
  return folder;
}

/** For the body of a `describe`: starts a service before its tests and closes it after them. */
export function serviceFor(startService: () => Promise<TestService>): () => TestService {
  let service: TestService | undefined;
  before(async () => {
    service = await startService();
  });
  after(async () => {
    await service?.close();
  });
  return () => {
    if (service === undefined) throw new Error("the service is there inside tests only");
    return service;
  };
}

/** Dev mode in memory, unless settings say otherwise. */
export async function startDev(
  settings: Record<string, string> = {},
  options: ComposeOptions = {},
): Promise<TestService> {
  return start({ KEYSTEAD_DEV: "1", ...settings }, options);
}

/** Server mode in memory with an audit log in a folder of its own, unless settings say otherwise. */
export async function startServer(
  settings: Record<string, string> = {},
  options: ComposeOptions = {},
): Promise<TestService> {
  return start(
    {
      KEYSTEAD_ROOT_KEY: ROOT_KEY,
      KEYSTEAD_DATA_PATH: ":memory:",
      KEYSTEAD_AUDIT_LOG: join(temporaryFolder(), "audit.log"),
      KEYSTEAD_RATE_LIMIT: "off",
      ...settings,
    },
    { initialising: true, ...options },
  );
}

/** How a suite starts services on its store. */
export interface OnStore {
  readonly store: "SQLite" | "PostgreSQL";
  readonly startServer: typeof startServer;
  readonly startDev: typeof startDev;
}

/** Settings of a service on a PostgreSQL database of its own. */
export async function onPostgres(settings: Record<string, string> = {}): Promise<Record<string, string>> {
  const database = { KEYSTEAD_DATABASE_URL: await newDatabase(), KEYSTEAD_DATA_PATH: "" };
  return { KEYSTEAD_ROOT_KEY: ROOT_KEY, ...database, ...settings };
}

const stores: readonly OnStore[] = [
  { store: "SQLite", startServer, startDev },
  {
    store: "PostgreSQL",
    startServer: async (settings, options) => startServer(await onPostgres(settings), options),
    startDev: async (settings, options) => startDev(await onPostgres(settings), options),
  },
];

/**
 * Describes a suite once for each store: for what the API promises on both. PostgreSQL's part runs under Bun alone, unless
 * the suite asks for it under Node as well.
 */
export function forEachStore(suite: (on: OnStore) => void, onNode = false): void {
  for (const on of stores) {
    if (on.store === "PostgreSQL" && !onNode && !("bun" in process.versions)) continue;
    describe(`on ${on.store}`, () => {
      suite(on);
    });
  }
}

async function start(settings: Record<string, string>, options: ComposeOptions): Promise<TestService> {
  const logLines: string[] = [];
  const config = readConfig([], { KEYSTEAD_ADDR: "127.0.0.1:0", ...settings }, tmpdir());
  const log = new Log({ plain: false, write: (line) => logLines.push(line) });
  const keystead = await compose(config, { log, ...options });
  const [listener] = await keystead.listen().catch(async (error: unknown) => {
    await keystead.close();
    throw error;
  });
  const port = listener?.port ?? 0;
  const url = `http://127.0.0.1:${port}`;
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await keystead.close();
  };
  let accounts = 0;
  return {
    keystead,
    url,
    port,
    logLines,
    close,
    [Symbol.asyncDispose]: close,
    request: (method, path, body, requestOptions = {}) => send(url, method, path, body, requestOptions),
    async token(role, { kind = "person", project = "default", pattern } = {}) {
      const { services } = keystead;
      const commit: CommitChange = (writes, facts) =>
        services.auditor.commitChange({ ...serviceFacts("test.prepare"), ...facts, version: 0 }, writes);
      const name = `test-${++accounts}`;
      await services.accounts.create(name, kind, commit);
      const projectId =
        project === ALL_PROJECTS ? project : ((await services.projects.byName(project))?.id ?? "");
      const binding = { role, project: projectId, ...(pattern === undefined ? {} : { pattern }) };
      await services.accounts.bind(name, binding, commit);
      return (await services.accounts.createToken(name, "test", 3600, commit)).plainToken;
    },
    auditEntries: () =>
      readFileSync(config.auditLog ?? "", "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

async function send(
  url: string,
  method: string,
  path: string,
  body: unknown,
  options: RequestOptions,
): Promise<Answer> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.token !== undefined) headers["authorization"] = `Bearer ${options.token}`;
  if (options.project !== undefined) headers["x-keystead-project"] = options.project;
  const payload = options.raw ?? (body === undefined ? undefined : JSON.stringify(body));
  if (payload !== undefined && headers["content-type"] === undefined)
    headers["content-type"] = "application/json";
  const response = await fetch(url + path, {
    method,
    headers,
    ...(payload === undefined ? {} : { body: payload }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json: json as Record<string, unknown> };
}
