/**
 * Listening: the concrete addresses that the settings stand for, each with its listener, all with the same certificate.
 * Invariant: in server mode nothing that others can reach is served in the clear, unless a setting says that a proxy before
 * it does TLS; either every address is listened on or none is.
 */
import { join } from "node:path";
import type { SecretBytes } from "./bytes.ts";
import { isLoopback, type Address, type Config } from "./config.ts";
import { KeysteadError } from "./errors.ts";
import { openAdminSocket, type AdminSocket } from "./http/admin-socket.ts";
import { readTlsPair, type TlsPair } from "./http/tls-files.ts";
import type { Fallback, Listener, ListenOptions, WireRoute } from "./http/wire.ts";
import { parseRootKey } from "./seal/root-key.ts";
import { StartRefused } from "./start-refused.ts";
import type { Log } from "./telemetry/log.ts";

/** What is served. */
export interface Served {
  readonly routes: readonly WireRoute[];
  readonly fallback: Fallback;
}

/** Throws StartRefused where the addresses may not be listened on, or where the TLS files do not serve. */
export function assertListenable(config: Config): void {
  const { addr, internalAddr, devMode, tls, tlsByProxy } = config;
  if (tls !== undefined) readTlsPair(tls);
  if (devMode || tls !== undefined || tlsByProxy) return;
  assertPrivate("KEYSTEAD_ADDR", addr);
  if (internalAddr !== undefined) assertPrivate("KEYSTEAD_INTERNAL_ADDR", internalAddr);
}

function assertPrivate(name: string, { host, port }: Address): void {
  if (host !== "" && isLoopback(host)) return;
  const what = host === "" ? `listens on every address (:${port})` : "is not a loopback address";
  throw new StartRefused(
    `${name} ${what}, and there is no TLS: set KEYSTEAD_TLS_CERT and KEYSTEAD_TLS_KEY, or 127.0.0.1:${port}, or KEYSTEAD_TLS_BY_PROXY=1 where a proxy does TLS`,
  );
}

/** Starts listening on every configured address. Throws StartRefused where one cannot be had. */
export async function openListeners(config: Config, served: Served): Promise<Listener[]> {
  assertListenable(config);
  const tls = config.tls === undefined ? undefined : readTlsPair(config.tls);
  const start = await listenFunction();
  const listeners: Listener[] = [];
  for (const { name, hosts, port, internal, optional } of placesOf(config)) {
    const options = {
      ...served,
      port: portFor(listeners, port, internal),
      internal,
      tls,
      proxies: config.trustedProxies,
    };
    const result = await firstOf(hosts, (host) => start({ ...options, host }));
    if ("listener" in result) listeners.push(result.listener);
    else if (!optional || !result.isAbsent) {
      for (const opened of listeners) await opened.close();
      throw new StartRefused(`${name} ${result.host}:${options.port} cannot be listened on; is it in use?`);
    }
  }
  return listeners;
}

/** Reads the TLS files anew for all connections that come from now on. What does not serve is logged and changes nothing. */
export function reloadTls({ tls }: Config, listeners: readonly Listener[], log: Log): void {
  if (tls === undefined) return;
  let pair: TlsPair;
  let taken = 0;
  try {
    pair = readTlsPair(tls);
    for (const listener of listeners) {
      listener.reloadTls(pair);
      taken++;
    }
  } catch (error) {
    const others =
      taken === 0 ? "the certificate stays as it was" : "some listeners have the new certificate";
    log.error(`the TLS files were not taken; ${others}`, {
      cause: error instanceof StartRefused ? error.message : String(error),
    });
    return;
  }
  log.info("the TLS files were read anew; new connections get their certificate");
}

/** Opens the socket for the command line on this host; a path that can hold none costs only that. */
export async function listenForHost(
  { dataPath }: Config,
  log: Log,
  rotateRoot: (rootKey: SecretBytes) => Promise<void>,
): Promise<AdminSocket | undefined> {
  if (dataPath === undefined) return undefined;
  try {
    return await openAdminSocket({
      path: join(dataPath, "admin.sock"),
      onFailure: (error) => {
        log.failure("root.rotate", "", error);
      },
      async rotateRoot(text) {
        const parsed = parseRootKey(text);
        if (parsed === undefined) throw new KeysteadError("invalid_body");
        await rotateRoot(parsed.key);
        log.info("the root key was changed: the next start takes the new one");
      },
    });
  } catch (error) {
    log.warn("admin.sock cannot be had in the data path: stop the server to rotate its root key", {
      cause: String(error),
    });
    return undefined;
  }
}

async function listenFunction(): Promise<(options: ListenOptions) => Promise<Listener>> {
  return !("bun" in process.versions)
    ? (await import("./http/listen-node.ts")).listenOnNode
    : (await import("./http/listen-bun.ts")).listenOnBun;
}

interface Place {
  /** The setting's name. */
  readonly name: string;
  /** The first that can be had is taken. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly internal: boolean;
  /** A machine without IPv6 has one loopback address less. */
  readonly optional: boolean;
}

/** The concrete addresses that the settings stand for. */
function placesOf(config: Config): Place[] {
  const expand = ({ host, port }: Address, internal: boolean): Place[] => {
    const place = (hosts: readonly string[], optional = false): Place => ({
      name: internal ? "KEYSTEAD_INTERNAL_ADDR" : "KEYSTEAD_ADDR",
      hosts,
      port,
      internal,
      optional,
    });
    const loopbackOnly = config.devMode && !config.devAnyAddress;
    if (loopbackOnly && (host === "" || host === "localhost"))
      return [place(["127.0.0.1"]), place(["::1"], true)];
    return [place(host === "" ? ["::", "0.0.0.0"] : [host])];
  };
  return [
    ...expand(config.addr, false),
    ...(config.internalAddr === undefined ? [] : expand(config.internalAddr, true)),
  ];
}

type Started =
  | { readonly listener: Listener }
  /** `isAbsent`: this machine has no such address. */
  | { readonly host: string; readonly isAbsent: boolean };

/** Starts on the first address that the machine has: one that another program listens on is not passed over. */
async function firstOf(
  hosts: readonly string[],
  start: (host: string) => Promise<Listener>,
): Promise<Started> {
  let last = "";
  for (const host of hosts) {
    last = host;
    try {
      return { listener: await start(host) };
    } catch (error) {
      if (!isAbsentAddress(error)) return { host, isAbsent: false };
    }
  }
  return { host: last, isAbsent: true };
}

function isAbsentAddress(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT";
}

/** Port 0 means any free one; both loopback addresses then share the first's. */
function portFor(listeners: readonly Listener[], port: number, internal: boolean): number {
  const [first] = listeners;
  return port === 0 && !internal && first !== undefined ? first.port : port;
}
