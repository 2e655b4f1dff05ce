/**
 * Signups: the leave to make one account, of one name, by whoever holds the token.
 * A token is a JWT of a type, audience and keys of its own, so that it is good for nothing else; what it allows is in the
 * sealed record that it names.
 * Invariant: the record goes in the transaction that makes the account: of two who redeem one token, one wins. A token
 * without its record is nothing, whatever its signature says.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Binding } from "../policy/decide.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import type { AccountKind } from "./caller.ts";
import { signToken, verifyToken } from "./signed-token.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** Outstanding ones, all told: each is a way in. */
const SIGNUPS_MAX = 10_000;
const SKEW_SECONDS = 60;

interface SignupRecord {
  readonly name: string;
  readonly kind: AccountKind;
  readonly bindings: readonly Binding[];
  /** The name of the client that it is for: then the account gets its project and rights when it is made. */
  readonly client?: string;
  readonly createdAt: string;
  readonly expiresAt: string;
}

export interface Signup extends SignupRecord {
  readonly id: string;
}

export interface SignupsOptions {
  readonly store: Store;
  readonly barrier: Barrier;
  readonly keys: SigningKeys;
  /** What tokens state as their issuer; their audience is it with `:signup`. */
  readonly issuer: string;
  /** Milliseconds. */
  readonly now: () => number;
}

export interface SignupInput {
  readonly name: string;
  readonly kind: AccountKind;
  readonly ttlSeconds: number;
  readonly bindings: readonly Omit<Binding, "id">[];
  readonly client?: string | undefined;
}

export class Signups {
  readonly #options: SignupsOptions;

  constructor(options: SignupsOptions) {
    this.#options = options;
  }

  /** Makes a signup; its token is in the answer and nowhere else. */
  async create(
    { name, kind, ttlSeconds, bindings, client }: SignupInput,
    commit: CommitChange,
    along: readonly Write[] = [],
  ): Promise<{ readonly token: string; readonly signup: Signup }> {
    const { store, keys, issuer, now } = this.#options;
    const time = Math.floor(now() / 1000);
    const rows = await store.select({ from: "signups", orderBy: "expires_at", limit: SIGNUPS_MAX });
    const expired = rows.filter((row) => row.expires_at <= new Date(now()).toISOString());
    if (rows.length - expired.length >= SIGNUPS_MAX) throw new KeysteadError("limit_reached");
    const signup: Signup = {
      id: randomId(),
      name,
      kind,
      bindings: bindings.map((binding) => ({ ...binding, id: randomId() })),
      ...(client === undefined ? {} : { client }),
      createdAt: new Date(time * 1000).toISOString(),
      expiresAt: new Date((time + ttlSeconds) * 1000).toISOString(),
    };
    const token = await signToken(await keys.current("signup"), {
      iss: issuer,
      aud: audience(issuer),
      sub: name,
      jti: signup.id,
      iat: time,
      exp: time + ttlSeconds,
    });
    await commit([{ insert: "signups", row: this.#row(signup) }, ...expired.map(removal), ...along], {
      resource: `account:${name}`,
      details: { signup: signup.id, roles: bindings.length },
    });
    return { token, signup };
  }

  /** The signup that a token stands for. Throws `unauthenticated` for everything that is not one now. */
  async byToken(token: string): Promise<Signup> {
    const { keys, issuer, store, now } = this.#options;
    const claims = (await verifyToken(keys, "signup", token))?.claims;
    const time = now() / 1000;
    const { iss, aud, sub, jti, iat, exp } = claims ?? {};
    const isValid =
      iss === issuer &&
      aud === audience(issuer) &&
      typeof jti === "string" &&
      typeof iat === "number" &&
      typeof exp === "number" &&
      iat <= time + SKEW_SECONDS &&
      exp > time;
    const [row] = isValid ? await store.select({ from: "signups", where: { id: jti } }) : [];
    const signup = row === undefined ? undefined : this.#open(row);
    if (signup === undefined || signup.name !== sub || Date.parse(signup.expiresAt) <= now())
      throw new KeysteadError("unauthenticated");
    return signup;
  }

  /** The outstanding ones in the order of their ids, from the one after `afterId`, without their tokens. */
  async list(
    afterId: string,
    rows: number,
  ): Promise<{ readonly items: readonly Signup[]; readonly lastName: string | undefined }> {
    const found = await this.#options.store.select({
      from: "signups",
      orderBy: "id",
      after: afterId,
      limit: rows,
    });
    const now = new Date(this.#options.now()).toISOString();
    return {
      items: found.map((row) => this.#open(row)).filter(({ expiresAt }) => expiresAt > now),
      lastName: found.length < rows ? undefined : found.at(-1)?.id,
    };
  }

  /** Takes a signup back. Throws `signup_not_found`. */
  async revoke(id: string, commit: CommitChange): Promise<void> {
    const [row] = await this.#options.store.select({ from: "signups", where: { id } });
    if (row === undefined) throw new KeysteadError("signup_not_found");
    try {
      await commit([{ delete: "signups", where: { id }, expect: "one" }], {
        resource: `account:${row.name}`,
        details: { signup: id },
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("signup_not_found") : error;
    }
  }

  /** The write that uses a signup up; it applies once. */
  using({ id }: Signup): Write {
    return { delete: "signups", where: { id }, expect: "one" };
  }

  /** The write that removes all signups of a name. */
  endingName(name: string): Write {
    return { delete: "signups", where: { name }, expect: "any" };
  }

  #row({ id, ...record }: Signup): Schema["signups"] {
    return {
      id,
      name: record.name,
      revision: 1,
      created_at: record.createdAt,
      expires_at: record.expiresAt,
      sealed: this.#options.barrier.sealJson(signupPlace(id), record satisfies SignupRecord),
    };
  }

  #open({ id, sealed }: Schema["signups"]): Signup {
    return { ...this.#options.barrier.openJson<SignupRecord>(signupPlace(id), sealed), id };
  }
}

function audience(issuer: string): string {
  return `${issuer}:signup`;
}

function removal({ id }: { readonly id: string }): Write {
  return { delete: "signups", where: { id }, expect: "any" };
}

export function signupPlace(id: string): RecordPlace {
  return { project: "", kind: "signup", id, revision: 1, field: "record" };
}
