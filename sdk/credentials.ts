/**
 * The token that a client sends: a fixed one, or one that is fetched and renewed.
 * Invariant: at most one fetch is under way, whoever waits for it; a token is in no error.
 */
import { KeysteadCredentialError } from "./credential-error.ts";
import { KeysteadInputError } from "./input-error.ts";

/** What can stand in a header: the platform's own refusal would show the token. */
const visibleAscii = /^[\x21-\x7e]+$/;
/** A token is renewed so long before its end, or a fifth of its life where that is shorter. */
const RENEWAL_MS = 30_000;

export interface Credential {
  /** An API token or JWT. */
  readonly token: string;
  /** When it ends: a date, or milliseconds since 1970. Without it, it is used until the service refuses it. */
  readonly expiresAt?: Date | number | undefined;
}

/**
 * Gives a token: from a login, a file, the platform that the program runs on. Asked when the first call needs it, shortly
 * before the token expires, and once when the service answers 401.
 * @param refused the token that the service refused, where that is why another is asked for
 */
export type CredentialSource = (refused?: string) => Promise<Credential>;

export class Credentials {
  readonly #source: CredentialSource | undefined;
  #token: string | undefined;
  #refused: string | undefined;
  /** On the clock that only goes forward. */
  #renewAt = Infinity;
  #fetch: Promise<string> | undefined;

  /** @throws KeysteadInputError for a fixed token that cannot be sent */
  constructor(given: string | CredentialSource | undefined) {
    if (typeof given === "function") this.#source = given;
    else if (given !== undefined) {
      if (!visibleAscii.test(given)) {
        throw new KeysteadInputError("invalid_token", "The token has characters that no token has");
      }
      this.#token = given;
    }
  }

  /** The token to send; undefined for none. Throws KeysteadCredentialError where the source fails. */
  token(): string | undefined | Promise<string> {
    if (this.#source === undefined) return this.#token;
    if (this.#token !== undefined && performance.now() < this.#renewAt) return this.#token;
    return (this.#fetch ??= this.#fetched(this.#source).finally(() => (this.#fetch = undefined)));
  }

  /** Says that the service refused a token. Whether it is worth asking with another. */
  refused(token: string | undefined): boolean {
    if (this.#source === undefined) return false;
    // Another call may have brought a new one already.
    if (this.#token === token) {
      this.#token = undefined;
      this.#refused = token;
    }
    return true;
  }

  async #fetched(source: CredentialSource): Promise<string> {
    let credential: Credential;
    try {
      credential = await source(this.#refused);
    } catch (cause) {
      throw new KeysteadCredentialError("credential_unavailable", "There is no token to send", cause);
    }
    const { token, expiresAt } = credential;
    if (typeof token !== "string" || !visibleAscii.test(token)) {
      throw new KeysteadCredentialError(
        "credential_unavailable",
        "The token has characters that no token has",
      );
    }
    const lifeMs = expiresAt === undefined ? Infinity : Number(expiresAt) - Date.now();
    this.#renewAt = performance.now() + lifeMs - Math.min(RENEWAL_MS, lifeMs / 5);
    this.#token = token;
    this.#refused = undefined;
    return token;
  }
}
