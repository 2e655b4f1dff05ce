/**
 * Sessions: what a login leaves behind until it ends, and the refresh tokens that keep it going.
 * A refresh token is used once and answered with the next one. Whoever did not get that answer may come again with the
 * old one for a minute; later, or beside a newer one that was used, it is taken for stolen and the session ends.
 * Invariant: a session ends for good after seven days whatever is refreshed; only hashes of its tokens are kept; expiry and
 * hashes are sealed under the record's id and revision.
 */
import { Buffer } from "node:buffer";
import type { CommitChange } from "../audit/change.ts";
import { equalConstantTime } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { makeRefreshToken, type RefreshParts } from "./refresh-token.ts";

const SESSION_MS = 7 * 24 * 3600_000;
/** Well over the time in which a client gives up an answer, and asks for it anew. */
const GRACE_MS = 60_000;
/** How far the clocks of two nodes may be apart. */
const SKEW_MS = 60_000;
/** Tokens that the lost answers of one refresh may have left behind. */
const CURRENT_MAX = 4;
const SESSIONS_MAX = 100;
const CACHE_ENTRIES = 10_000;

interface SessionRecord {
  readonly accountId: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly refreshedAt: string;
  /** Where it was opened from. */
  readonly address: string;
  /** SHA-256 of the refresh token's first part, hexadecimal. */
  readonly family: string;
  /** SHA-256 of the second parts that may be used next, hexadecimal: one, but for lost answers. */
  readonly current: readonly string[];
  /** The one that was used last; absent before the first refresh. */
  readonly previous?: string;
}

export interface Session extends SessionRecord {
  readonly id: string;
  readonly revision: number;
  /** `expiresAt` in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** A session as it will be once its writes are committed, and the refresh token to show. */
export interface IssuedSession {
  readonly session: Session;
  readonly refreshToken: string;
  readonly writes: readonly Write[];
  /** To be called when the writes were committed, or may have been. */
  readonly done: () => void;
}

export class Sessions {
  readonly #cache: RecordCache<Session>;
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #now: () => number;

  /** @param now milliseconds */
  constructor(store: Store, barrier: Barrier, now: () => number) {
    this.#store = store;
    this.#barrier = barrier;
    this.#now = now;
    this.#cache = new RecordCache({ entriesMax: CACHE_ENTRIES, ageMsMax: recordAgeMsMax(store) });
  }

  /** A session for an account; the oldest one goes where it has too many. */
  async opening(accountId: string, address: string): Promise<IssuedSession> {
    const now = this.#now();
    const { token, familyHash, useHash } = makeRefreshToken();
    const time = new Date(now).toISOString();
    const expiresAtMs = now + SESSION_MS;
    const session: Session = {
      id: randomId(),
      revision: 1,
      accountId,
      createdAt: time,
      refreshedAt: time,
      expiresAt: new Date(expiresAtMs).toISOString(),
      expiresAtMs,
      address,
      family: familyHash.toString("hex"),
      current: [useHash],
    };
    const rows = await this.#store.select({ from: "sessions", where: { account_id: accountId } });
    const alive = rows
      .filter((row) => row.expires_at > time)
      .sort((a, b) => a.created_at.localeCompare(b.created_at));
    const gone = new Set([
      ...rows.filter((row) => !alive.includes(row)),
      ...alive.slice(0, Math.max(0, alive.length - SESSIONS_MAX + 1)),
    ]);
    return {
      session,
      refreshToken: token,
      writes: [{ insert: "sessions", row: this.#row(session) }, ...[...gone].map(removal)],
      done: () => {
        for (const { id } of gone) this.#cache.forget(id);
      },
    };
  }

  /** The session of this id, remembered; undefined where there is none. Without a promise where it is at hand. */
  byId(id: string): Session | Promise<Session | undefined> {
    return (
      this.#cache.peek(id) ??
      this.#cache.get(id, async () => {
        const [row] = await this.#store.select({ from: "sessions", where: { id } });
        return row === undefined ? undefined : this.#open(row);
      })
    );
  }

  /** The living session that a refresh token is of, as it is stored now; undefined where there is none. */
  async byRefreshToken({ familyHash }: RefreshParts): Promise<Session | undefined> {
    const [row] = await this.#store.select({ from: "sessions", where: { family_hash: familyHash } });
    const session = row === undefined ? undefined : this.#open(row);
    const isOfFamily =
      session !== undefined && equalConstantTime(Buffer.from(session.family, "hex"), familyHash);
    return isOfFamily && session.expiresAtMs > this.#now() ? session : undefined;
  }

  /** The session with its next refresh token; undefined where the token was used before: then the session is to end. */
  refreshing(session: Session, { family, useHash }: RefreshParts): IssuedSession | undefined {
    const now = this.#now();
    const next = makeRefreshToken(family);
    const wasLost =
      session.previous !== undefined &&
      isSame(session.previous, useHash) &&
      isRecent(now - Date.parse(session.refreshedAt)) &&
      session.current.length < CURRENT_MAX;
    let renewed: Session;
    if (session.current.some((one) => isSame(one, useHash))) {
      const refreshedAt = new Date(now).toISOString();
      renewed = { ...session, current: [next.useHash], previous: useHash, refreshedAt };
    } else if (wasLost) renewed = { ...session, current: [...session.current, next.useHash] };
    else return undefined;
    renewed = { ...renewed, revision: session.revision + 1 };
    const { revision, sealed } = this.#row(renewed);
    const where = { id: session.id, revision: session.revision };
    return {
      session: renewed,
      refreshToken: next.token,
      writes: [{ update: "sessions", where, set: { revision, sealed } }],
      done: () => {
        this.#cache.forget(session.id);
      },
    };
  }

  /** The living sessions of an account, without anything that could be used as one. */
  async list(accountId: string): Promise<Session[]> {
    const rows = await this.#store.select({ from: "sessions", where: { account_id: accountId } });
    const now = this.#now();
    return rows
      .map((row) => this.#open(row))
      .filter(({ expiresAtMs }) => expiresAtMs > now)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  /** Ends a session at once. Throws `session_not_found`. */
  async revoke(
    accountId: string,
    id: string,
    resource: string,
    commit: CommitChange,
    details: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    try {
      await commit([{ delete: "sessions", where: { id, account_id: accountId }, expect: "one" }], {
        resource,
        details: { session: id, ...details },
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("session_not_found") : error;
    } finally {
      this.#cache.forget(id);
    }
  }

  /**
   * What ends an account's sessions: the writes, and `done`, to be called when they are committed.
   * @param kept the id of one that stays
   */
  async ending(
    accountId: string,
    kept?: string,
  ): Promise<{ readonly writes: readonly Write[]; readonly count: number; done(): void }> {
    const rows = await this.#store.select({ from: "sessions", where: { account_id: accountId } });
    const staying = rows.find(({ id }) => id === kept);
    // One that is opened meanwhile must not stay: so all of the account go, and the one that is kept comes back.
    const all: Write = { delete: "sessions", where: { account_id: accountId }, expect: "any" };
    const writes: readonly Write[] =
      staying === undefined
        ? [all]
        : [
            {
              update: "sessions",
              where: { id: staying.id, revision: staying.revision },
              set: { revision: staying.revision },
            },
            all,
            { insert: "sessions", row: staying },
          ];
    return {
      writes,
      count: rows.length - (staying === undefined ? 0 : 1),
      done: () => {
        this.#cache.forgetWhere((session) => session.accountId === accountId);
      },
    };
  }

  /** Writes that remove sessions which have ended by themselves, at most so many. */
  async expired(rows: number): Promise<readonly Write[]> {
    const now = new Date(this.#now()).toISOString();
    const found = await this.#store.select({ from: "sessions", orderBy: "expires_at", limit: rows });
    return found.filter((row) => row.expires_at <= now).map(removal);
  }

  #row(session: Session): Schema["sessions"] {
    const { id, revision } = session;
    const { accountId, createdAt, expiresAt, refreshedAt, address, family, current, previous } = session;
    const record: SessionRecord = {
      accountId,
      createdAt,
      expiresAt,
      refreshedAt,
      address,
      family,
      current,
      ...(previous === undefined ? {} : { previous }),
    };
    return {
      id,
      account_id: record.accountId,
      family_hash: Buffer.from(record.family, "hex"),
      revision,
      created_at: record.createdAt,
      expires_at: record.expiresAt,
      sealed: this.#barrier.sealJson(sessionPlace(id, revision), record),
    };
  }

  #open({ id, revision, sealed }: Schema["sessions"]): Session {
    const record = this.#barrier.openJson<SessionRecord>(sessionPlace(id, revision), sealed);
    return { ...record, id, revision, expiresAtMs: Date.parse(record.expiresAt) };
  }
}

function isSame(a: string, b: string): boolean {
  return equalConstantTime(Buffer.from(a, "hex"), Buffer.from(b, "hex"));
}

/** Of a refresh before the clock was put back nobody knows how long ago it was. */
function isRecent(agoMs: number): boolean {
  return agoMs <= GRACE_MS && agoMs >= -SKEW_MS;
}

function removal({ id }: { readonly id: string }): Write {
  return { delete: "sessions", where: { id }, expect: "any" };
}

export function sessionPlace(id: string, revision: number): RecordPlace {
  return { project: "", kind: "session", id, revision, field: "record" };
}
