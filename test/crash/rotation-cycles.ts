/**
 * Kills a real server with SIGKILL at random moments while its barrier keys and its root key change under load, starts it
 * anew, and holds what it then has against an outside record of what it had acknowledged.
 * What must hold after every kill: the data path opens with one of the two root keys that it may be under, and with the new
 * one where that was acknowledged; each acknowledged key, secret and token works; the rotation that was cut off completes.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { seededRandom } from "./crash-cycles.ts";

const WORKERS = 6;
const LOAD_MS_MIN = 20;
const LOAD_MS_MAX = 300;
const COMPLETE_MS = 20_000;

export interface RotationReport {
  readonly barrierRotations: number;
  readonly rootRotations: number;
  /** Root rotations that the kill met under way, by what they came to. */
  readonly rootsCutOff: { readonly before: number; readonly after: number };
  readonly acknowledged: number;
  /** The barrier key of the end. */
  readonly version: number;
  /** Every broken promise, in words; empty when all held. */
  readonly broken: readonly string[];
}

/** Runs the cycles on one data path, from empty. */
export async function runRotationCycles(cycles: number, seed: number): Promise<RotationReport> {
  const folder = mkdtempSync(join(tmpdir(), "keystead-rotate-"));
  const run = new RotationRun(folder, seed);
  try {
    for (let cycle = 0; cycle < cycles; cycle++) await run.cycle(cycle);
    return await run.finish();
  } finally {
    run.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class RotationRun {
  readonly #folder: string;
  readonly #random: () => number;
  readonly #broken: string[] = [];
  #server: Server | undefined;
  #root: string;
  /** A root key that was asked for, and not answered. */
  #rootAsked: string | undefined;
  #requests = 0;
  #acknowledged = 0;
  #barrierRotations = 0;
  #rootRotations = 0;
  readonly #rootsCutOff = { before: 0, after: 0 };
  #version = 1;
  readonly #ciphertexts = new Map<string, { ciphertext: string; plaintext: string }>();
  readonly #secrets = new Map<string, string>();
  readonly #tokens: string[] = [];

  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#random = seededRandom(seed);
    this.#root = rootKey(0);
  }

  async cycle(cycle: number): Promise<void> {
    const server = (this.#server ??= await Server.start(this.#folder, this.#root));
    let loading = true;
    const workers = Array.from({ length: WORKERS }, async () => {
      while (loading) if (!(await this.#step(server))) return;
    });
    const rotations = this.#rotate(server, cycle);
    await new Promise((resolve) =>
      setTimeout(resolve, LOAD_MS_MIN + this.#random() * (LOAD_MS_MAX - LOAD_MS_MIN)),
    );
    await server.kill();
    loading = false;
    await Promise.all([...workers, rotations]);
    this.#server = await this.#restart();
    await this.#verify(this.#server);
  }

  /** One complete rotation of both, without a kill: then nothing of an older barrier key is in the database. */
  async finish(): Promise<RotationReport> {
    const server = this.#server ?? (await this.#restart());
    await server.send("POST", "/v1/barrier/rotate", {});
    const deadline = performance.now() + COMPLETE_MS;
    for (;;) {
      const { version, keys } = await server.send("GET", "/v1/barrier");
      this.#version = Number(version);
      if ((keys as unknown[]).length === 1) break;
      if (performance.now() > deadline) {
        this.#broken.push("the rotation does not complete");
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await this.#verify(server);
    await server.kill();
    return {
      barrierRotations: this.#barrierRotations,
      rootRotations: this.#rootRotations,
      rootsCutOff: this.#rootsCutOff,
      acknowledged: this.#acknowledged,
      version: this.#version,
      broken: this.#broken,
    };
  }

  stop(): void {
    void this.#server?.kill();
  }

  /** Rotations one after the other, until the server is gone. */
  async #rotate(server: Server, cycle: number): Promise<void> {
    try {
      for (let i = 0; ; i++) {
        // Both have their turn as the first of a cycle: a kill may come before a second.
        if (i === 0 ? cycle % 2 === 0 : this.#random() < 0.5) {
          const { version } = await server.send("POST", "/v1/barrier/rotate", {});
          this.#barrierRotations++;
          this.#version = Math.max(this.#version, Number(version));
          await new Promise((resolve) => setTimeout(resolve, this.#random() * 60));
        } else {
          this.#rootAsked = rootKey(1 + cycle * 1000 + i);
          await server.rotateRoot(this.#rootAsked);
          this.#root = this.#rootAsked;
          this.#rootAsked = undefined;
          this.#rootRotations++;
        }
      }
    } catch (error) {
      if (error instanceof Refused) this.#broken.push(`a rotation was refused: ${error.message}`);
    }
  }

  /** With the root key that was acknowledged last, or with the one that was asked for when the kill came. */
  async #restart(): Promise<Server> {
    const asked = this.#rootAsked;
    this.#rootAsked = undefined;
    try {
      const server = await Server.start(this.#folder, this.#root);
      if (asked !== undefined) this.#rootsCutOff.before++;
      return server;
    } catch (error) {
      const isClear =
        error instanceof Error && error.message.includes("is not the root key of this data path");
      if (asked === undefined || !isClear) throw error;
      this.#rootsCutOff.after++;
      this.#root = asked;
      return Server.start(this.#folder, asked);
    }
  }

  /** One request of the mix; false where the server is gone. */
  async #step(server: Server): Promise<boolean> {
    const number = ++this.#requests;
    const dice = this.#random();
    const known = [...this.#ciphertexts.keys()];
    const key = known[Math.floor(this.#random() * known.length)];
    try {
      if (dice < 0.35 || key === undefined) {
        const name = `key-${number}`;
        const type = dice < 0.2 ? "aes-256" : "xaes-256";
        await server.send("POST", "/v1/keys", { name, type });
        const { ciphertext } = await server.send("POST", `/v1/encrypt/${name}`, { plaintext: name });
        this.#ciphertexts.set(name, { ciphertext: String(ciphertext), plaintext: name });
      } else if (dice < 0.5) await server.send("POST", `/v1/keys/${key}/rotate`, {});
      else if (dice < 0.7) {
        const name = `secret-${number}`;
        await server.send("POST", "/v1/secrets", { name, value: name });
        this.#secrets.set(name, name);
      } else if (dice < 0.75) {
        const name = `account-${number}`;
        await server.send("POST", "/v1/accounts", { name, kind: "service" });
        const { token } = await server.send("POST", `/v1/accounts/${name}/tokens`, {});
        this.#tokens.push(String(token));
      } else await server.send("POST", `/v1/encrypt/${key}`, { plaintext: "x" });
      this.#acknowledged++;
      return true;
    } catch (error) {
      if (error instanceof Refused) this.#broken.push(`a request was refused: ${error.message}`);
      return error instanceof Refused;
    }
  }

  async #verify(server: Server): Promise<void> {
    const held: Promise<void>[] = [];
    const hold = (what: string, holds: Promise<boolean>): void => {
      held.push(
        holds.then(
          (does) => {
            if (!does) this.#broken.push(`${what} is another`);
          },
          (error: unknown) => {
            if (!(error instanceof Refused)) throw error;
            this.#broken.push(`${what} does not open: ${error.message}`);
          },
        ),
      );
    };
    for (const [name, { ciphertext, plaintext }] of this.#ciphertexts) {
      const opened = server.send("POST", `/v1/decrypt/${name}`, { ciphertext });
      hold(
        name,
        opened.then((json) => json["plaintext"] === plaintext),
      );
    }
    for (const [name, value] of this.#secrets)
      hold(
        name,
        server.send("GET", `/v1/secrets/${name}`).then((json) => json["value"] === value),
      );
    for (const token of this.#tokens) {
      const caller = server.send("GET", "/v1/whoami", undefined, token);
      hold(
        "a token",
        caller.then((json) => json["kind"] === "service"),
      );
    }
    await Promise.all(held);
    const { version } = await server.send("GET", "/v1/barrier");
    if (Number(version) < this.#version) this.#broken.push(`barrier key ${this.#version} is lost`);
    this.#version = Number(version);
    this.#verifyRows();
  }

  /** Every sealed value states a barrier key that is there. */
  #verifyRows(): void {
    const database = new DatabaseSync(join(this.#folder, "keystead.db"), { readOnly: true });
    try {
      for (const [table, column] of [
        ["keys", "sealed"],
        ["key_versions", "sealed"],
        ["key_versions", "usage_sealed"],
        ["secrets", "sealed"],
        ["secret_versions", "sealed"],
        ["accounts", "sealed"],
        ["tokens", "sealed"],
        ["projects", "sealed"],
      ] as const) {
        const lost = database
          .prepare(
            `select count(*) as rows from ${table} where substr(hex(${column}), 3, 8) not in (select printf('%08X', version) from barrier_keys)`,
          )
          .get();
        if (lost?.["rows"] !== 0)
          this.#broken.push(`${table}.${column} has values whose barrier key is gone`);
      }
    } finally {
      database.close();
    }
  }
}

/** The server answered with an error although nothing was wrong with the request. */
class Refused extends Error {}

class Server {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #socketPath: string;
  readonly #exited: Promise<unknown>;

  private constructor(child: ChildProcess, port: number, socketPath: string, exited: Promise<unknown>) {
    this.#child = child;
    this.#port = port;
    this.#socketPath = socketPath;
    this.#exited = exited;
  }

  static async start(folder: string, root: string): Promise<Server> {
    const child = spawn(
      process.execPath,
      ["--no-env-file", join(import.meta.dirname, "rotation-server.ts")],
      {
        env: {
          KEYSTEAD_DEV: "1",
          KEYSTEAD_ADDR: "127.0.0.1:0",
          KEYSTEAD_ROOT_KEY: root,
          KEYSTEAD_DATA_PATH: folder,
          KEYSTEAD_LOG_FORMAT: "json",
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const errors: Buffer[] = [];
    child.stderr.on("data", (part: Buffer) => errors.push(part));
    for await (const line of createInterface({ input: child.stdout })) {
      const port = /^port (\d+)$/.exec(line)?.[1];
      if (port !== undefined) return new Server(child, Number(port), join(folder, "admin.sock"), exited);
    }
    await exited;
    throw new Error(`the server did not start: ${Buffer.concat(errors).toString("utf8")}`);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** The answer's JSON. Throws Refused for an error answer, anything else where the connection broke. */
  async send(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
      method,
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Refused(`${method} ${path}: ${String(json["code"])}`);
    return json;
  }

  rotateRoot(root: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const socketPath = this.#socketPath;
      const call = httpRequest({ socketPath, path: "/root/rotate", method: "POST" }, (response) => {
        response.resume();
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Refused(`root: ${response.statusCode ?? 0}`));
        });
      });
      call.on("error", reject);
      call.end(JSON.stringify({ root_key: root }));
    });
  }
}

function rootKey(number: number): string {
  return number.toString(16).padStart(64, "a");
}
