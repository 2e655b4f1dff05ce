/**
 * The sessions of `keystead login`, one a server, in `keystead/sessions.json` in the user's configuration folder.
 * Invariant: the file is its owner's alone (0600, its folder 0700) and is replaced whole; tokens are written nowhere else.
 * Whoever changes it holds the lock beside it, so that no change undoes another: of several commands one refreshes a session
 * and the others go on with what it got. A lock whose holder is gone is taken over; a command that cannot get it goes on without.
 */
import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Login } from "../sdk/wire.ts";
import { writeWholeFile } from "./file-in-the-making.ts";
import { InputFailed } from "./input.ts";

/** Older than any refresh takes. */
const LOCK_MS_MAX = 40_000;
const LOCK_POLL_MS = 50;

export class SessionFile<T = Login> {
  readonly path: string;

  constructor(env: NodeJS.ProcessEnv, name = "sessions.json") {
    const folder = env["XDG_CONFIG_HOME"];
    this.path = join(
      folder === undefined || folder === "" ? join(homedir(), ".config") : folder,
      "keystead",
      name,
    );
  }

  /** The session at a server; undefined where there is none. */
  get(url: string): T | undefined {
    return this.#read().get(serverOf(url));
  }

  /** Runs work while no other command changes the file, or after having waited long for it. */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = `${this.path}.lock`;
    const isHeld = await acquired(lock);
    try {
      return await work();
    } finally {
      if (isHeld) release(lock);
    }
  }

  /** Keeps a session, or forgets the one that is there. */
  change(url: string, login: T | undefined): Promise<void> {
    return this.locked(() => this.set(url, login));
  }

  /** The same for whoever holds the lock. */
  async set(url: string, login: T | undefined): Promise<void> {
    const sessions = this.#read();
    if (login === undefined) sessions.delete(serverOf(url));
    else sessions.set(serverOf(url), login);
    const text = `${JSON.stringify(Object.fromEntries(sessions), undefined, 2)}\n`;
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      await writeWholeFile(this.path, Buffer.from(text));
    } catch {
      throw new InputFailed("the file of sessions cannot be written");
    }
  }

  #read(): Map<string, T> {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch {
      return new Map();
    }
    const sessions = parsed<T>(text);
    if (sessions === undefined)
      throw new InputFailed("the file of sessions cannot be read; remove it and log in again");
    return sessions;
  }
}

/** What the file holds is of the shape that this program wrote. */
function parsed<T>(text: string): Map<string, T> | undefined {
  try {
    const value = JSON.parse(text) as Record<string, T> | null;
    return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}

/** Takes the lock: a folder, whose making either succeeds or finds it made. False where it cannot be had. */
async function acquired(lock: string): Promise<boolean> {
  const deadline = performance.now() + LOCK_MS_MAX;
  for (;;) {
    try {
      mkdirSync(dirname(lock), { recursive: true, mode: 0o700 });
      mkdirSync(lock, { mode: 0o700 });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || performance.now() > deadline) return false;
    }
    if (isAbandoned(lock)) release(lock);
    else await pause(LOCK_POLL_MS);
  }
}

function isAbandoned(lock: string): boolean {
  try {
    return Date.now() - statSync(lock).mtimeMs > LOCK_MS_MAX;
  } catch {
    return false;
  }
}

function release(lock: string): void {
  try {
    rmdirSync(lock);
  } catch {
    // Somebody took it over.
  }
}

/** What a session belongs to: the server as it is asked, however its URL was written. */
function serverOf(url: string): string {
  try {
    const { origin, pathname } = new URL(url);
    return origin + pathname.replace(/\/+$/, "");
  } catch {
    return url;
  }
}
