/**
 * Starting subjects, loading them with wrk, and reading what they cost.
 * A case is measured in turn with its reference, round by round, so that a drift of the machine meets both.
 */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const CONNECTIONS = 32;

export interface Load {
  readonly method: string;
  readonly path: string;
  readonly body: string | Uint8Array;
  /** Where it is not application/json. */
  readonly contentType?: string;
  /** Where they are not CONNECTIONS. */
  readonly connections?: number;
  /** Where it is not the subject's own. */
  readonly token?: string;
}

export interface Figures {
  readonly perSecond: number;
  /** User and system time of the server for one operation, microseconds. */
  readonly cpuMicros: number;
  readonly errors: number;
}

export class Subject {
  readonly port: number;
  readonly token: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #folder: string;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    lines: AsyncIterator<string>,
    folder: string,
    ready: { port: number; token: string },
  ) {
    this.#child = child;
    this.#lines = lines;
    this.#folder = folder;
    this.port = ready.port;
    this.token = ready.token;
  }

  /** @param database the URL of a PostgreSQL database, in place of a data path */
  static async start(kind: string, database?: string): Promise<Subject> {
    const folder = mkdtempSync(join(tmpdir(), "keystead-bench-"));
    const child = spawn(
      process.execPath,
      [
        "--no-env-file",
        join(import.meta.dirname, "subject.ts"),
        kind,
        folder,
        ...(database === undefined ? [] : [database]),
      ],
      {
        env: {},
        stdio: "pipe",
      },
    );
    child.stderr.pipe(process.stderr);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) throw new Error(`the subject ${kind} did not start`);
    return new Subject(child, lines, folder, JSON.parse(first.value) as { port: number; token: string });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** CPU time so far, microseconds. */
  async cpuMicros(): Promise<number> {
    this.#child.stdin.write("cpu\n");
    const { value } = (await this.#lines.next()) as { value: string };
    const { user, system } = JSON.parse(value) as { user: number; system: number };
    return user + system;
  }

  /** The memory that the process holds, bytes. */
  async residentBytes(): Promise<number> {
    this.#child.stdin.write("memory\n");
    const { value } = (await this.#lines.next()) as { value: string };
    return Number(value);
  }

  async post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.token}` },
      body: JSON.stringify(body),
    });
    return (await response.json()) as Record<string, unknown>;
  }

  stop(): void {
    this.#child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What a loop of the bare primitive reaches in a process of its own, a second. */
export async function bareLoop(kind: string, seconds: number): Promise<number> {
  const script = join(import.meta.dirname, "bare-loop.ts");
  return Number(await capture(process.execPath, ["--no-env-file", script, kind, String(seconds)]));
}

/** Loads a subject over keep-alive connections. */
export async function runWrk(subject: Subject, load: Load, seconds: number): Promise<Figures> {
  const script = join(tmpdir(), `keystead-wrk-${process.pid}.lua`);
  const bodyFile = `${script}.body`;
  const token = load.token ?? subject.token;
  writeFileSync(bodyFile, load.body);
  writeFileSync(
    script,
    `wrk.method = "${load.method}"
wrk.body = io.open("${bodyFile}", "rb"):read("*a")
wrk.headers["Content-Type"] = "${load.contentType ?? "application/json"}"
${token === "" ? "" : `wrk.headers["Authorization"] = "Bearer ${token}"`}
`,
  );
  const before = await subject.cpuMicros();
  const output = await capture("wrk", [
    "-t1",
    `-c${load.connections ?? CONNECTIONS}`,
    `-d${seconds}s`,
    "-s",
    script,
    subject.url + load.path,
  ]);
  const cpu = (await subject.cpuMicros()) - before;
  rmSync(script);
  rmSync(bodyFile);
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0);
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1] ?? 0),
    cpuMicros: cpu / requests,
    errors: Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0),
  };
}

/** Ends the run with a clear word where wrk is not installed. */
export function requireWrk(): void {
  if (spawnSync("wrk", ["-v"]).error !== undefined) {
    process.stderr.write("the benchmark needs wrk (packages of most systems have it: apt-get install wrk)\n");
    process.exit(1);
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** Runs a command and gives what it prints. */
export function capture(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", () => {
      resolve(output);
    });
  });
}
