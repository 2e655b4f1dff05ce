/**
 * The judge of this service's own login tokens.
 * Invariant: of a token only "the signature was good" is remembered, with what it states; expiry, key, session and account
 * are looked at on every request, all of them at hand for a token in use.
 */
import { KeysteadError } from "../errors.ts";
import type { Account, Accounts } from "./accounts.ts";
import { accountCaller, type Caller } from "./caller.ts";
import type { Session, Sessions } from "./sessions.ts";
import { tokenTypes, verifyToken } from "./signed-token.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { StatedToken, TokenVerifier } from "./token-verifier.ts";

/** Clocks of several nodes may differ by so much. */
const SKEW_SECONDS = 60;

export interface LoginVerifierOptions {
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly keys: SigningKeys;
  readonly issuer: string;
  /** Milliseconds. */
  readonly now: () => number;
}

interface VerifiedLogin {
  readonly keyId: string;
  readonly accountId: string;
  readonly sessionId: string;
  readonly issuedAt: number;
  readonly notBefore: number;
  readonly expiresAt: number;
  /** The caller of the account as it was seen last. */
  of?: { readonly account: Account; readonly caller: Caller };
}

export class LoginVerifier implements TokenVerifier {
  readonly #options: LoginVerifierOptions;
  readonly #verified = new WeakMap<StatedToken, VerifiedLogin>();

  constructor(options: LoginVerifierOptions) {
    this.#options = options;
  }

  /** Whatever states our name is ours to judge: no other verifier gets to see it. */
  owns({ issuer }: StatedToken): boolean {
    return issuer === this.#options.issuer;
  }

  authenticate(stated: StatedToken, token: string): Caller | Promise<Caller> {
    const known = this.#verified.get(stated);
    return known === undefined
      ? this.#verify(stated, token).then((login) => this.#judge(login))
      : this.#judge(known);
  }

  #judge(login: VerifiedLogin): Caller | Promise<Caller> {
    const { keys, sessions, accounts, now } = this.#options;
    const time = now() / 1000;
    if (login.expiresAt <= time || login.notBefore > time || login.issuedAt > time + SKEW_SECONDS) refuse();
    const key = keys.find("login", login.keyId);
    const session = sessions.byId(login.sessionId);
    const account = accounts.byId(login.accountId);
    if (key instanceof Promise || session instanceof Promise || account instanceof Promise) {
      return Promise.all([key, session, account]).then(([loadedKey, loadedSession, loadedAccount]) =>
        this.#callerOf(login, loadedKey !== undefined, loadedSession, loadedAccount),
      );
    }
    return this.#callerOf(login, key !== undefined, session, account);
  }

  #callerOf(
    login: VerifiedLogin,
    keyCounts: boolean,
    session: Session | undefined,
    account: Account | undefined,
  ): Caller {
    if (
      !keyCounts ||
      account === undefined ||
      account.state === "disabled" ||
      session?.accountId !== account.id ||
      session.expiresAtMs <= this.#options.now()
    )
      refuse();
    if (login.of?.account !== account) {
      const caller = accountCaller(account, { method: "login", expiresAtMs: login.expiresAt * 1000 });
      login.of = { account, caller: { ...caller, sessionId: session.id } };
    }
    return login.of.caller;
  }

  async #verify(stated: StatedToken, token: string): Promise<VerifiedLogin> {
    const { issuer, keys } = this.#options;
    if (stated.type !== tokenTypes.login || stated.algorithm !== "EdDSA") refuse();
    const verified = await verifyToken(keys, "login", token);
    const { iss, aud, sub, sid, iat, exp, nbf = 0 } = verified?.claims ?? {};
    if (
      verified === undefined ||
      iss !== issuer ||
      aud !== issuer ||
      typeof sub !== "string" ||
      typeof sid !== "string" ||
      typeof iat !== "number" ||
      typeof exp !== "number" ||
      typeof nbf !== "number"
    )
      refuse();
    const login: VerifiedLogin = {
      keyId: verified.keyId,
      accountId: sub,
      sessionId: sid,
      issuedAt: iat,
      notBefore: nbf,
      expiresAt: exp,
    };
    this.#verified.set(stated, login);
    return login;
  }
}

function refuse(): never {
  throw new KeysteadError("unauthenticated");
}
