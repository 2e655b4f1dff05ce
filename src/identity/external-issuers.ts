/**
 * Callers who come with a token of an external issuer: a Kubernetes service account, a CI job, a person of an OpenID
 * Connect provider.
 * Invariant: of a token only "this key's signature was good" is remembered, under the hash of the whole token; whether the
 * issuer, its keys, algorithms, audiences and rules still say so, and the token's times and account, are looked at each
 * time. A token that no rule fits is refused like one that is no token, so that an issuer anybody can get tokens from gives
 * nobody so much as an entry in the audit log.
 */
import { compactVerify, decodeProtectedHeader } from "jose";
import { decodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import { RecordCache } from "../record-cache.ts";
import type { Account, Accounts } from "./accounts.ts";
import { accountCaller, type Caller, type Credential } from "./caller.ts";
import type { IssuerBook, Issuers } from "./issuer-book.ts";
import { candidates, type IssuerKey } from "./issuer-key.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import { claimAt, worthOf, type Claims, type Issuer, type IssuerAlgorithm, type Worth } from "./issuer.ts";
import type { StatedToken, TokenVerifier } from "./token-verifier.ts";

const CACHE_ENTRIES = 5000;
export const TOKEN_CHARACTERS_MAX = 8192;
/** How far an issuer's clock may be ahead. */
const CLOCK_SKEW_SECONDS = 60;
const SUBJECT_CHARACTERS_MAX = 256;
const LABEL_CHARACTERS_MAX = 96;
/** RFC 7519 §5.1, RFC 9068 §2.1; without `typ` where the issuer gives none, as Kubernetes does. */
const tokenTypes: readonly (string | undefined)[] = [undefined, "jwt", "at+jwt", "application/at+jwt"];

/** What a good signature vouches for, and what was made of it while the issuer's record stayed the same. */
interface Verified {
  readonly issuerId: string;
  readonly keyId: string;
  readonly algorithm: IssuerAlgorithm;
  readonly claims: Claims;
  judged?: Judged;
}

interface Judged {
  readonly revision: number;
  readonly subject: string;
  readonly worth: Worth;
  readonly credential: Credential;
  caller?: Caller;
  accountId?: string;
  /** The account as it was when `caller` was made of it. */
  account?: Account;
}

export interface ExternalIssuersOptions {
  readonly issuers: IssuerBook;
  readonly keys: IssuerKeys;
  readonly accounts: Pick<Accounts, "byId" | "byName">;
}

export class ExternalIssuers implements TokenVerifier {
  readonly #options: ExternalIssuersOptions;
  readonly #verified = new RecordCache<Verified>({ entriesMax: CACHE_ENTRIES, ageMsMax: undefined });

  constructor(options: ExternalIssuersOptions) {
    this.#options = options;
  }

  owns({ issuer }: StatedToken): boolean | Promise<boolean> {
    if (issuer === undefined) return false;
    const issuers = this.#options.issuers.current();
    return issuers instanceof Promise ? issuers.then((all) => all.has(issuer)) : issuers.has(issuer);
  }

  authenticate(stated: StatedToken, token: string): Caller | Promise<Caller> {
    const issuers = this.#options.issuers.current();
    return issuers instanceof Promise
      ? issuers.then((all) => this.#judge(all, stated, token))
      : this.#judge(issuers, stated, token);
  }

  #judge(issuers: Issuers, { hash, issuer: stated }: StatedToken, token: string): Caller | Promise<Caller> {
    const issuer = stated === undefined ? undefined : issuers.get(stated);
    if (issuer?.enabled !== true || token.length > TOKEN_CHARACTERS_MAX) refuse();
    const known = this.#verified.peek(hash);
    const keys = this.#options.keys.current(issuer);
    if (known === undefined || keys instanceof Promise) return this.#verify(issuer, keys, token, hash, known);
    return isStillGood(known, issuer, keys)
      ? this.#callerOf(known, issuer)
      : this.#verify(issuer, keys, token, hash, undefined);
  }

  async #verify(
    issuer: Issuer,
    keysOrPromise: readonly IssuerKey[] | Promise<readonly IssuerKey[]>,
    token: string,
    hash: string,
    known: Verified | undefined,
  ): Promise<Caller> {
    const keys = await keysOrPromise;
    if (known !== undefined && isStillGood(known, issuer, keys)) return this.#callerOf(known, issuer);
    const verified = await this.#verifySignature(issuer, keys, token);
    if (verified === undefined) refuse();
    const caller = await this.#callerOf(verified, issuer);
    // Remembered only where it was worth something: nobody else's tokens can push these out.
    this.#verified.set(hash, verified);
    return caller;
  }

  async #verifySignature(
    issuer: Issuer,
    keys: readonly IssuerKey[],
    token: string,
  ): Promise<Verified | undefined> {
    const header = readHeader(token);
    const algorithm = issuer.algorithms.find((name) => name === header?.alg);
    if (header === undefined || algorithm === undefined) return undefined;
    let fit = candidates(keys, algorithm, header.kid);
    if (fit.length === 0) {
      fit = candidates(await this.#options.keys.afterMiss(issuer), algorithm, header.kid);
    }
    // Of two keys under one name nobody can say which one signed; they are not tried one by one.
    const [key] = fit;
    if (key === undefined || fit.length > 1) return undefined;
    try {
      const { payload } = await compactVerify(token, key.jwk, { algorithms: [algorithm] });
      const claims = JSON.parse(decodeUtf8(payload) ?? "null") as unknown;
      if (typeof claims !== "object" || claims === null || Array.isArray(claims)) return undefined;
      return { issuerId: issuer.id, keyId: key.id, algorithm, claims: claims as Claims };
    } catch {
      return undefined;
    }
  }

  #callerOf(verified: Verified, issuer: Issuer): Caller | Promise<Caller> {
    const { claims } = verified;
    if (!isTimely(claims, issuer, Date.now() / 1000)) refuse();
    let { judged } = verified;
    if (judged?.revision !== issuer.revision) {
      judged = judge(claims, issuer);
      if (judged === undefined) refuse();
      verified.judged = judged;
    }
    if (judged.worth.account === undefined) return (judged.caller ??= externalCaller(issuer, judged));
    const { accountId } = judged;
    if (accountId === undefined) return this.#findAccount(judged, judged.worth.account);
    const account = this.#options.accounts.byId(accountId);
    const known = judged;
    const { account: name } = judged.worth;
    const acting = (loaded: Account | undefined): Caller | Promise<Caller> =>
      // A rule means whoever has the name now: the one that was found may be gone, and another in its place.
      loaded === undefined ? this.#findAccount(known, name) : actingAs(known, loaded);
    return account instanceof Promise ? account.then(acting) : acting(account);
  }

  async #findAccount(judged: Judged, name: string): Promise<Caller> {
    delete judged.accountId;
    try {
      judged.accountId = (await this.#options.accounts.byName(name)).id;
    } catch (error) {
      if (error instanceof KeysteadError && error.code === "account_not_found") refuse();
      throw error;
    }
    return actingAs(judged, await this.#options.accounts.byId(judged.accountId));
  }
}

function isStillGood(known: Verified, issuer: Issuer, keys: readonly IssuerKey[]): boolean {
  return (
    known.issuerId === issuer.id &&
    issuer.algorithms.includes(known.algorithm) &&
    keys.some(({ id }) => id === known.keyId)
  );
}

interface Header {
  readonly alg: string;
  readonly kid: string | undefined;
}

/** What the header says; undefined where it is not one to be judged here. It is believed nothing of `jku`, `jwk`, `x5c`. */
function readHeader(token: string): Header | undefined {
  let header: Readonly<Record<string, unknown>>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
  const { alg, kid, typ, crit } = header;
  if (typeof alg !== "string" || crit !== undefined) return undefined;
  if (kid !== undefined && typeof kid !== "string") return undefined;
  if (typ !== undefined && typeof typ !== "string") return undefined;
  return tokenTypes.includes(typ?.toLowerCase()) ? { alg, kid } : undefined;
}

function isTimely(claims: Claims, issuer: Issuer, now: number): boolean {
  const { exp, iat, nbf } = claims;
  if (!isTime(exp) || !isTime(iat) || (nbf !== undefined && !isTime(nbf))) return false;
  const soon = now + CLOCK_SKEW_SECONDS;
  return exp > now && iat <= soon && (nbf ?? 0) <= soon && exp - iat <= issuer.lifetimeSecondsMax;
}

/** What in a token depends on the issuer's record alone; undefined where it is worth nothing. */
function judge(claims: Claims, issuer: Issuer): Judged | undefined {
  const { iss, aud, exp } = claims;
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  const subject = claimAt(claims, issuer.subjectClaim);
  if (iss !== issuer.issuer || !issuer.audiences.some((audience) => audiences.includes(audience)))
    return undefined;
  if (typeof subject !== "string" || subject === "" || subject.length > SUBJECT_CHARACTERS_MAX)
    return undefined;
  const worth = worthOf(issuer.rules, claims);
  if (worth === undefined) return undefined;
  const credential: Credential = {
    method: "issuer",
    expiresAtMs: Number(exp) * 1000,
    issuer: issuer.name,
    subject: labelText(subject),
  };
  return { revision: issuer.revision, subject, worth, credential };
}

function externalCaller({ name }: Issuer, { subject, worth, credential }: Judged): Caller {
  return {
    kind: "external",
    label: `external:${name}:${labelText(subject)}`,
    accountId: undefined,
    bindings: worth.bindings ?? [],
    credential,
  };
}

/** The caller that an account is, as a token of its own would make it. */
function actingAs(judged: Judged, account: Account | undefined): Caller {
  if (account === undefined) refuse();
  if (judged.account !== account || judged.caller === undefined) {
    judged.caller = accountCaller(account, judged.credential);
    judged.account = account;
  }
  return judged.caller;
}

/**
 * A subject as the audit log shows it: visible ASCII, other characters, `%` and `~` as in a URL; a long one is cut, and
 * ends with `~` and a part of its hash, so that no two subjects look alike.
 */
function labelText(subject: string): string {
  const text = Array.from(subject.toWellFormed(), (character) =>
    /^[!-$&-}]$/.test(character) ? character : character === "~" ? "%7E" : encodeURIComponent(character),
  ).join("");
  if (text.length <= LABEL_CHARACTERS_MAX && subject.isWellFormed()) return text;
  return `${text.slice(0, LABEL_CHARACTERS_MAX - 23)}~${sha256(subject).toString("base64url").slice(0, 22)}`;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function refuse(): never {
  throw new KeysteadError("unauthenticated");
}
