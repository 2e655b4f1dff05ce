/** The server as an operator runs it: a process of its own, started through `bin/keystead`. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { get } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";

export const REPOSITORY = join(import.meta.dirname, "..");
export const LAUNCHER = join(REPOSITORY, "bin/keystead");

export interface ServerProcess {
  readonly child: ChildProcess;
  readonly port: number;
  /** Everything printed so far, both streams. */
  output(): string;
  /** Sends a signal and waits for the end; the exit code, or null where the signal ended it. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface ProcessOptions {
  readonly args?: readonly string[];
  readonly cwd?: string;
  /** The port that the arguments name; one is found and set otherwise. */
  readonly port?: number;
}

/** Starts the server and waits until it answers. Rejects with what it printed where it ends instead. */
export async function startProcess(
  settings: Record<string, string>,
  options: ProcessOptions = {},
): Promise<ServerProcess> {
  const port = options.port ?? (await freePort());
  // In server mode an address for everybody takes TLS.
  const dev = settings["KEYSTEAD_DEV"] === "1" || options.args?.includes("--dev") === true;
  const addr = options.port === undefined ? { BUNKMS_ADDR: `${dev ? "" : "127.0.0.1"}:${port}` } : {};
  const child = spawnServer({ ...addr, ...settings }, options);
  const output = collect(child);
  const exited = once(child, "exit");
  const answers = settings["KEYSTEAD_TLS_CERT"] === undefined ? answersPlain : answersTls;
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(output());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return {
    child,
    port,
    output,
    async end(signal = "SIGTERM") {
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

/** Runs the server with settings that it should refuse; its exit code and what it printed. */
export async function refusedStart(
  settings: Record<string, string>,
  options: ProcessOptions = {},
): Promise<{ code: number | null; output: string }> {
  const child = spawnServer(settings, options);
  const output = collect(child);
  await once(child, "close");
  return { code: child.exitCode, output: output() };
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function spawnServer(
  settings: Record<string, string>,
  { args = [], cwd = "/" }: ProcessOptions,
): ChildProcess {
  return spawn(LAUNCHER, ["server", ...args], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function collect(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (chunk) => (text += String(chunk)));
  return () => text;
}

async function answersPlain(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/ready`)).ok;
  } catch {
    return false;
  }
}

/** Whoever it is: which certificate it has is for the tests to say. */
function answersTls(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ port, host: "127.0.0.1", path: "/ready", rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on("error", () => {
      resolve(false);
    });
  });
}
