/**
 * From an Authorization header to a Caller.
 * Invariant: credentials that are presented are always checked, in dev mode too; a caller without any is refused unless
 * dev mode is on. Expiry, account and bindings are looked at on every request. The refusal is the same for every reason.
 */
import { decodeJwt, decodeProtectedHeader } from "jose";
import { sha256Base64 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import { looksLikeApiToken, TOKEN_PREFIX } from "./api-token.ts";
import type { Account, Accounts, ApiToken } from "./accounts.ts";
import { devCaller, type Caller } from "./caller.ts";
import type { JwtAuthority } from "./jwt.ts";
import type { StatedToken, TokenVerifier } from "./token-verifier.ts";

const SCHEME = "Bearer ";
const tokenCharacters = /^[A-Za-z0-9._~+/-]+=*$/;
const TOKEN_CHARACTERS_MAX = 8192 + SCHEME.length;

export interface AuthenticatorOptions {
  readonly accounts: Accounts;
  /** Undefined where no JWT secret is set. */
  readonly jwt: JwtAuthority | undefined;
  /** Asked in this order whose a JWT is; what is nobody's is `jwt`'s. */
  readonly verifiers: readonly TokenVerifier[];
  /** No credentials mean the caller `dev`. */
  readonly devMode: boolean;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #callers = new WeakMap<ApiToken, { readonly account: Account; readonly caller: Caller }>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /**
   * @param authorization the header as it came, or undefined
   * @returns the caller, without a promise where everything is at hand
   * @throws KeysteadError `unauthenticated`
   */
  authenticate(authorization: string | undefined): Caller | Promise<Caller> {
    if (authorization === undefined) {
      if (this.#options.devMode) return devCaller;
      throw new KeysteadError("unauthenticated");
    }
    const token = bearerToken(authorization);
    if (!token.startsWith(TOKEN_PREFIX)) return this.#jwt(token);
    const hash = sha256Base64(token);
    const known = this.#options.accounts.tokenCache.peek(hash);
    if (known !== undefined) return this.#callerOf(known);
    // The checksum spares the database the look-up of what never was a token.
    return looksLikeApiToken(token) ? this.#afterLoading(hash) : this.#refuse();
  }

  async #afterLoading(hash: string): Promise<Caller> {
    const token = await this.#options.accounts.byTokenHash(hash);
    return token === undefined ? this.#refuse() : this.#callerOf(token);
  }

  #callerOf(token: ApiToken): Caller | Promise<Caller> {
    if (token.expiresAtMs <= Date.now()) this.#refuse();
    const account = this.#options.accounts.byId(token.accountId);
    return account instanceof Promise
      ? account.then((loaded) => (loaded === undefined ? this.#refuse() : this.#callerFor(loaded, token)))
      : this.#callerFor(account, token);
  }

  #callerFor(account: Account, token: ApiToken): Caller {
    const known = this.#callers.get(token);
    if (known?.account === account) return known.caller;
    const { kind, name, id, bindings } = account;
    const credential = { method: "api_token", expiresAtMs: token.expiresAtMs } as const;
    const caller = { kind, label: `${kind}:${name}`, accountId: id, bindings, credential };
    this.#callers.set(token, { account, caller });
    return caller;
  }

  async #jwt(token: string): Promise<Caller> {
    const stated = readStated(token);
    if (stated !== undefined) {
      for (const verifier of this.#options.verifiers)
        if (await verifier.owns(stated)) return verifier.authenticate(stated);
    }
    if (this.#options.jwt === undefined) throw new KeysteadError("unauthenticated");
    return this.#options.jwt.authenticate(token);
  }

  #refuse(): never {
    throw new KeysteadError("unauthenticated");
  }
}

/** What a token says of itself; undefined for what is no JWT. */
function readStated(token: string): StatedToken | undefined {
  try {
    const { alg, typ } = decodeProtectedHeader(token);
    const { iss } = decodeJwt(token);
    return {
      token,
      algorithm: typeof alg === "string" ? alg : "",
      type: typeof typ === "string" ? typ : undefined,
      issuer: typeof iss === "string" ? iss : undefined,
    };
  } catch {
    return undefined;
  }
}

/** RFC 6750 §2.1: the scheme's name in any letter case, one space, the token. Throws `unauthenticated`. */
function bearerToken(authorization: string): string {
  const scheme = authorization.slice(0, SCHEME.length);
  const token = authorization.slice(SCHEME.length);
  const isBearer = scheme === SCHEME || scheme.toLowerCase() === SCHEME.toLowerCase();
  if (!isBearer || authorization.length > TOKEN_CHARACTERS_MAX || !tokenCharacters.test(token)) {
    throw new KeysteadError("unauthenticated");
  }
  return token;
}
