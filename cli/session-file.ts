/**
 * The sessions of `keystead login`, one a server, in `keystead/sessions.json` (of clients of Go KMS's
 * API in `keystead/client-sessions.json`) in the user's configuration folder.
 * Invariant: the file is its owner's alone (0600, its folder 0700) and is replaced whole; tokens are written nowhere else.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Login } from "../sdk/wire.ts";
import { InputFailed } from "./input.ts";

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
    return this.#read()[serverOf(url)];
  }

  /** Keeps a session, or forgets the one that is there. */
  set(url: string, login: T | undefined): void {
    const sessions = new Map(Object.entries(this.#read()));
    if (login === undefined) sessions.delete(serverOf(url));
    else sessions.set(serverOf(url), login);
    const temporary = `${this.path}.${process.pid}`;
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      writeFileSync(temporary, `${JSON.stringify(Object.fromEntries(sessions), undefined, 2)}\n`, {
        mode: 0o600,
      });
      // One that was left behind by a killed command keeps the mode that it had.
      chmodSync(temporary, 0o600);
      renameSync(temporary, this.path);
    } catch {
      throw new InputFailed("the file of sessions cannot be written");
    }
  }

  #read(): Readonly<Record<string, T>> {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch {
      return {};
    }
    try {
      return JSON.parse(text) as Record<string, T>;
    } catch {
      throw new InputFailed("the file of sessions holds no JSON; remove it and log in again");
    }
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
