/**
 * From an Authorization header to a Caller.
 * A JSON Web Token is judged by the first verifier that says it is its own, by the issuer and type that the token states,
 * and by no other. What a good token states is remembered under the hash of the whole token, so that a token in use is
 * taken apart once; what it is worth is asked of its verifier each time.
 * Invariant: credentials that are presented are always checked, in dev mode too; a caller without any is refused unless
 * dev mode is on. Expiry, account (its state too) and bindings are looked at on every request, whatever the credentials.
 * The refusal is the same for every reason.
 */
import { decodeBase64Url, decodeUtf8 } from "../bytes.ts";
import { sha256Base64 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import { RecordCache } from "../record-cache.ts";
import { looksLikeApiToken, TOKEN_PREFIX } from "./api-token.ts";
import type { Account, Accounts, ApiToken } from "./accounts.ts";
import { accountCaller, devCaller, type Caller } from "./caller.ts";
import type { StatedToken, TokenVerifier } from "./token-verifier.ts";

const SCHEME = "Bearer ";
const tokenCharacters = /^[A-Za-z0-9._~+/-]+=*$/;
const TOKEN_CHARACTERS_MAX = 8192 + SCHEME.length;
const STATED_ENTRIES = 10_000;

export interface AuthenticatorOptions {
  readonly accounts: Accounts;
  /** Who judges JSON Web Tokens, in the order in which they are asked whose one is. */
  readonly verifiers: readonly TokenVerifier[];
  /** No credentials mean the caller `dev`. */
  readonly devMode: boolean;
}

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #callers = new WeakMap<ApiToken, { readonly account: Account; readonly caller: Caller }>();
  /** Of tokens that were good once, by their hash. It says nothing of whether they still are. */
  readonly #stated = new RecordCache<StatedToken>({ entriesMax: STATED_ENTRIES, ageMsMax: undefined });

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
    const hash = sha256Base64(token);
    if (!token.startsWith(TOKEN_PREFIX)) return this.#byStatement(token, hash);
    const known = this.#options.accounts.tokenCache.peek(hash);
    if (known !== undefined) return this.#callerOf(known);
    // The checksum spares the database the look-up of what never was a token.
    return looksLikeApiToken(token) ? this.#afterLoading(hash) : refuse();
  }

  async #afterLoading(hash: string): Promise<Caller> {
    const token = await this.#options.accounts.byTokenHash(hash);
    return token === undefined ? refuse() : this.#callerOf(token);
  }

  #callerOf(token: ApiToken): Caller | Promise<Caller> {
    if (token.expiresAtMs <= Date.now()) refuse();
    const account = this.#options.accounts.byId(token.accountId);
    return account instanceof Promise
      ? account.then((loaded) => this.#callerFor(loaded, token))
      : this.#callerFor(account, token);
  }

  #callerFor(account: Account | undefined, token: ApiToken): Caller {
    if (account === undefined || account.state === "disabled") refuse();
    const known = this.#callers.get(token);
    if (known?.account === account) return known.caller;
    const caller = accountCaller(account, { method: "api_token", expiresAtMs: token.expiresAtMs });
    this.#callers.set(token, { account, caller });
    return caller;
  }

  #byStatement(token: string, hash: string): Caller | Promise<Caller> {
    const known = this.#stated.peek(hash);
    if (known !== undefined) return this.#judge(known, token, 0);
    // Of one that is known it was asked before.
    const stated = tokenCharacters.test(token) ? readStatement(token, hash) : undefined;
    if (stated === undefined) refuse();
    return this.#judgeFirst(stated, token);
  }

  async #judgeFirst(stated: StatedToken, token: string): Promise<Caller> {
    const caller = await this.#judge(stated, token, 0);
    // Only now: what was never good takes nobody's place.
    this.#stated.set(stated.hash, stated);
    return caller;
  }

  /** Asks the verifiers from this one on whose token it is, and that one what it is worth. */
  #judge(stated: StatedToken, token: string, from: number): Caller | Promise<Caller> {
    const { verifiers } = this.#options;
    for (let at = from; at < verifiers.length; at++) {
      const verifier = verifiers[at];
      const owns = verifier?.owns(stated);
      if (owns instanceof Promise) {
        return owns.then((isOwner) =>
          isOwner && verifier !== undefined
            ? this.#by(verifier, stated, token)
            : this.#judge(stated, token, at + 1),
        );
      }
      if (owns === true && verifier !== undefined) return this.#by(verifier, stated, token);
    }
    return refuse();
  }

  #by(verifier: TokenVerifier, stated: StatedToken, token: string): Caller | Promise<Caller> {
    const caller = verifier.authenticate(stated, token);
    return caller instanceof Promise ? caller.then((known) => this.#enabled(known)) : this.#enabled(caller);
  }

  /** Whoever a verifier names as an account has to be one that may come in. */
  #enabled(caller: Caller): Caller | Promise<Caller> {
    if (caller.accountId === undefined) return caller;
    const account = this.#options.accounts.byId(caller.accountId);
    const checked = (loaded: Account | undefined): Caller =>
      loaded === undefined || loaded.state === "disabled" ? refuse() : caller;
    return account instanceof Promise ? account.then(checked) : checked(account);
  }
}

/** What a compact JWS states of itself; undefined for what is none. Nothing of it is checked. */
function readStatement(token: string, hash: string): StatedToken | undefined {
  const [header, payload, signature, ...rest] = token.split(".");
  if (signature === undefined || rest.length > 0) return undefined;
  const { alg, typ } = readObject(header) ?? {};
  const claims = readObject(payload);
  if (claims === undefined || typeof alg !== "string") return undefined;
  const { iss } = claims;
  if (typ !== undefined && typeof typ !== "string") return undefined;
  if (iss !== undefined && typeof iss !== "string") return undefined;
  return { hash, algorithm: alg, type: typ, issuer: iss };
}

function readObject(part: string | undefined): Record<string, unknown> | undefined {
  const bytes = decodeBase64Url(part ?? "");
  try {
    const value = JSON.parse((bytes === undefined ? undefined : decodeUtf8(bytes)) ?? "") as unknown;
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function refuse(): never {
  throw new KeysteadError("unauthenticated");
}

/** RFC 6750 §2.1: the scheme's name in any letter case, one space, the token. Throws `unauthenticated`. */
function bearerToken(authorization: string): string {
  const scheme = authorization.slice(0, SCHEME.length);
  const token = authorization.slice(SCHEME.length);
  const isBearer = scheme === SCHEME || scheme.toLowerCase() === SCHEME.toLowerCase();
  // What an API token may consist of, its own form says; a JWT's characters are looked at where it is read.
  if (!isBearer || authorization.length > TOKEN_CHARACTERS_MAX) refuse();
  return token;
}
