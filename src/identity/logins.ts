/**
 * From a password, a refresh token or a signup to a login: a short JWT and a refresh token, of one session.
 * Invariant: a session is opened only if account and password are, in that very transaction, what they were when they were
 * checked; whatever is wrong with what was shown, the answer is `unauthenticated`.
 */
import type { CommitChange } from "../audit/change.ts";
import { KeysteadError } from "../errors.ts";
import type { Binding } from "../policy/decide.ts";
import { StoreConflict, type Write } from "../storage/store.ts";
import type { Account, Accounts } from "./accounts.ts";
import { assertPassword, type Passwords } from "./passwords.ts";
import { parseRefreshToken } from "./refresh-token.ts";
import type { IssuedSession, Session, Sessions } from "./sessions.ts";
import { signToken } from "./signed-token.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { Signups } from "./signups.ts";

/** Others that refresh the same session at the same moment. */
const REFRESH_TRIES = 5;

export interface LoginsOptions {
  readonly accounts: Accounts;
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly signups: Signups;
  readonly keys: SigningKeys;
  /** The tokens' issuer and audience. */
  readonly issuer: string;
  readonly ttlSeconds: number;
  /** Milliseconds. */
  readonly now: () => number;
  /** How the service ends a session whose refresh token came twice. */
  readonly commitReuse: CommitChange;
}

export interface Login {
  readonly token: string;
  readonly expiresAtMs: number;
  readonly refreshToken: string;
  readonly session: Session;
  readonly account: Account;
}

export interface LoginInput {
  /** The name that came: wrong passwords are counted under it. */
  readonly account: string;
  readonly password: string;
  /** The client's, and as limits count it. */
  readonly address: string;
  readonly limitedAddress: string;
}

/** What makes an account a client. */
export interface ClientParts {
  readonly bindings: readonly Binding[];
  writes(account: Account): Promise<readonly Write[]>;
}

export class Logins {
  readonly #options: LoginsOptions;

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /**
   * Logs in with a password. Throws `unauthenticated`, `rate_limited`, `busy`.
   * @param onKnown told of an account that is there, before its password is judged
   */
  async create(input: LoginInput, commit: CommitChange, onKnown: (account: Account) => void): Promise<Login> {
    return this.prove(await this.#options.accounts.find(input.account), input, commit, onKnown);
  }

  /** The same for an account that was looked for by other means; undefined where there is none. */
  async prove(
    account: Account | undefined,
    input: LoginInput,
    commit: CommitChange,
    onKnown: (account: Account) => void,
  ): Promise<Login> {
    const { accounts, passwords, sessions } = this.#options;
    if (account !== undefined) onKnown(account);
    const { isRight, writes } = await passwords.check({
      name: input.account,
      accountId: account?.id,
      mayPass: account !== undefined && account.state !== "disabled",
      password: input.password,
      address: input.limitedAddress,
    });
    if (account === undefined || !isRight) throw new KeysteadError("unauthenticated");
    const issued = await sessions.opening(account.id, input.address);
    return this.#commit(account, issued, commit, [...writes, accounts.unchanged(account)]);
  }

  /** The next token for a refresh token. Throws `unauthenticated`. */
  async refresh(token: string, commit: CommitChange, onKnown: (account: Account) => void): Promise<Login> {
    const { accounts, sessions, commitReuse } = this.#options;
    const parts = parseRefreshToken(token);
    if (parts === undefined) throw new KeysteadError("unauthenticated");
    for (let left = REFRESH_TRIES; ; left--) {
      const session = await sessions.byRefreshToken(parts);
      const account = session === undefined ? undefined : await accounts.stored(session.accountId);
      if (session === undefined || account === undefined) throw new KeysteadError("unauthenticated");
      onKnown(account);
      if (account.state === "disabled") throw new KeysteadError("unauthenticated");
      const issued = sessions.refreshing(session, parts);
      if (issued === undefined) {
        const details = { reason: "refresh_reuse" };
        await sessions
          .revoke(account.id, session.id, `account:${account.name}`, commitReuse, details)
          .catch((error: unknown) => {
            // Somebody else has ended it.
            if (!(error instanceof KeysteadError && error.code === "session_not_found")) throw error;
          });
        throw new KeysteadError("unauthenticated");
      }
      try {
        return await this.#commit(account, issued, commit, [accounts.unchanged(account)]);
      } catch (error) {
        if (left === 1 || !(error instanceof KeysteadError) || error.code !== "conflict") throw error;
      }
    }
  }

  /**
   * Makes the account that a signup allows, with a password, and logs it in.
   * @param asClient what else a client gets: a signup is for a client or for another account, and never for both
   */
  async redeem(
    token: string,
    password: string,
    address: string,
    commit: CommitChange,
    onKnown: (account: Account) => void,
    asClient?: (clientName: string) => Promise<ClientParts>,
  ): Promise<Login> {
    const { accounts, passwords, sessions, signups } = this.#options;
    const signup = await signups.byToken(token);
    if ((signup.client === undefined) !== (asClient === undefined))
      throw new KeysteadError("unauthenticated");
    assertPassword(password);
    const client = signup.client === undefined ? undefined : await asClient?.(signup.client);
    const { account, write } = accounts.making(signup.name, signup.kind, client?.bindings ?? signup.bindings);
    const more = (await client?.writes(account)) ?? [];
    const setting = await passwords.setting(account.id, password, "fresh");
    const issued = await sessions.opening(account.id, address);
    onKnown(account);
    try {
      return await this.#commit(
        account,
        issued,
        commit,
        [write, ...more, ...setting, signups.using(signup)],
        {
          signup: signup.id,
        },
      );
    } catch (error) {
      const { cause } = error instanceof KeysteadError ? error : {};
      if (!(cause instanceof StoreConflict)) throw error;
      if (cause.table === "signups") throw new KeysteadError("unauthenticated");
      if (["accounts", "clients"].includes(cause.table)) throw new KeysteadError("account_exists");
      throw error;
    }
  }

  async #commit(
    account: Account,
    issued: IssuedSession,
    commit: CommitChange,
    more: IssuedSession["writes"],
    details: Readonly<Record<string, string>> = {},
  ): Promise<Login> {
    const { session, refreshToken, writes, done } = issued;
    const { keys, issuer, ttlSeconds, now } = this.#options;
    const time = Math.floor(now() / 1000);
    const expires = Math.min(time + ttlSeconds, Math.floor(session.expiresAtMs / 1000));
    const token = await signToken(await keys.current("login"), {
      iss: issuer,
      aud: issuer,
      sub: account.id,
      sid: session.id,
      iat: time,
      exp: expires,
    });
    try {
      await commit([...writes, ...more], {
        resource: `account:${account.name}`,
        details: { session: session.id, ...details },
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict", { cause: error }) : error;
    } finally {
      done();
    }
    return { token, expiresAtMs: expires * 1000, refreshToken, session, account };
  }
}
