/**
 * What every command works with: the client and the output, made from the global flags and the environment.
 * Invariant: this is the command line's only reader of the environment.
 */
import type { Command } from "commander";
import { KeysteadClient } from "../sdk/client.ts";
import type { CredentialSource } from "../sdk/credentials.ts";
import { parseDurationMs } from "./duration.ts";
import { readInputFile } from "./input.ts";
import { Output, outputOptions } from "./output.ts";
import { sessionCredentials } from "./session-credentials.ts";
import { SessionFile } from "./session-file.ts";
import { UsageError } from "./usage-error.ts";

interface GlobalFlags {
  readonly url?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly project?: string;
  readonly timeout?: string;
  readonly json?: true;
}

/** Where the server is and who is asking. */
export interface Connection {
  readonly url: string;
  readonly token: string | CredentialSource | undefined;
  readonly project: string | undefined;
  readonly timeoutMs: number | undefined;
  /** Where `--timeout` says how long a request may take, one try may take as long. */
  readonly tryTimeoutMs: number | undefined;
}

/** A client's login at Go KMS's API. */
export interface ClientSession {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export interface GoKmsSettings {
  readonly url: string;
  readonly user: string | undefined;
  readonly pass: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly sessions: SessionFile<ClientSession>;
}

export class CommandContext {
  readonly #program: Command;
  readonly #env: NodeJS.ProcessEnv;
  /** What `keystead login` left, for where no token is given. */
  readonly sessions: SessionFile;

  constructor(program: Command, env: NodeJS.ProcessEnv) {
    this.#program = program;
    this.#env = env;
    this.sessions = new SessionFile(env);
  }

  client(): KeysteadClient {
    return new KeysteadClient(this.connection());
  }

  output(): Output {
    return new Output(outputOptions(this.#flags().json === true, this.#env));
  }

  /** @throws UsageError where the flags or the environment say two things at once */
  connection(): Connection {
    const { url: flag, timeout } = this.#flags();
    const url = flag ?? this.#variable("KEYSTEAD_URL") ?? "http://localhost:8080";
    const timeoutMs = timeout === undefined ? undefined : parseDurationMs(timeout);
    return {
      url,
      token: this.#token() ?? sessionCredentials(this.sessions, { url, timeoutMs }),
      project: this.project(),
      timeoutMs,
      tryTimeoutMs: timeoutMs,
    };
  }

  /** Where Go KMS's API is and who asks there, by its own names for it. */
  goKms(): GoKmsSettings {
    const { url: flag, timeout } = this.#flags();
    return {
      url: flag ?? this.#variable("KMS_BASE_URL") ?? this.connection().url,
      user: this.#variable("KMS_USER"),
      pass: this.#variable("KMS_PASS"),
      timeoutMs: timeout === undefined ? undefined : parseDurationMs(timeout),
      sessions: new SessionFile<ClientSession>(this.#env, "client-sessions.json"),
    };
  }

  /** The token that the command line itself names. */
  givenToken(): string | undefined {
    const { token, tokenFile } = this.#flags();
    return token === undefined && tokenFile === undefined ? undefined : this.#token();
  }

  /** The project of this command; undefined leaves it to the service. */
  project(): string | undefined {
    return this.#flags().project ?? this.#variable("KEYSTEAD_PROJECT");
  }

  #token(): string | undefined {
    const { token, tokenFile } = this.#flags();
    if (token !== undefined && tokenFile !== undefined)
      throw new UsageError("give --token or --token-file, not both");
    if (tokenFile !== undefined) return tokenFromFile(tokenFile);
    if (token !== undefined) return token === "" ? undefined : token;
    const variable = this.#variable("KEYSTEAD_TOKEN");
    const path = this.#variable("KEYSTEAD_TOKEN_FILE");
    if (variable !== undefined && path !== undefined)
      throw new UsageError("KEYSTEAD_TOKEN is set twice; remove it or KEYSTEAD_TOKEN_FILE");
    if (path !== undefined) return tokenFromFile(path);
    return variable ?? this.#variable("BUNKMS_TOKEN");
  }

  /** A variable that is set; an empty one counts as not set. */
  #variable(name: string): string | undefined {
    const value = this.#env[name];
    return value === "" ? undefined : value;
  }

  #flags(): GlobalFlags {
    return this.#program.opts<GlobalFlags>();
  }
}

function tokenFromFile(path: string): string {
  const token = readInputFile(path, "the token").toString("utf8").trim();
  if (token === "") throw new UsageError("the token's file is empty");
  return token;
}
