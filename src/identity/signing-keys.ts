/**
 * The Ed25519 keys (RFC 8032) that sign what this service issues: logins and signups, each purpose with keys of its own.
 * A key is made when it is first needed and followed by another after 30 days. The follower is shown for ten minutes before
 * it signs, so that everybody who fetches public keys has it by then; a key's signatures count as long as a token that it
 * signed last can live.
 * Invariant: private keys lie in sealed records only; which key counts is computed from those records and the time, so that
 * every node judges alike, at most a second after a change.
 */
import { Buffer } from "node:buffer";
import type { CommitChange } from "../audit/change.ts";
import { secretBytes } from "../bytes.ts";
import { ed25519Keys, openEd25519 } from "../crypto/ed25519.ts";
import { randomId } from "../crypto/random.ts";
import type { SigningKey } from "../crypto/signing-key.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { Schema } from "../storage/schema.ts";
import type { Store, Write } from "../storage/store.ts";

export const signingPurposes = ["login", "signup"] as const;
export type SigningPurpose = (typeof signingPurposes)[number];

/** The longest life of a login's token and of a signup's, in seconds. */
export const LOGIN_TTL_SECONDS_MAX = 3600;
export const SIGNUP_TTL_SECONDS_MAX = 30 * 24 * 3600;

const ROTATION_MS = 30 * 24 * 3600_000;
const SHOWN_BEFORE_MS = 10 * 60_000;
const keptMs: Readonly<Record<SigningPurpose, number>> = {
  login: LOGIN_TTL_SECONDS_MAX * 1000,
  signup: SIGNUP_TTL_SECONDS_MAX * 1000,
};
/** How often a key that is not among those in memory is looked for on a store that others write to. */
const RELOAD_MS = 100;
const ALL = "all";

interface SigningKeyRecord {
  readonly purpose: SigningPurpose;
  readonly createdAt: string;
  readonly usedFrom: string;
  /** PKCS#8, base64. */
  readonly privateKey: string;
}

/** An opened key. */
export interface TokenKey {
  /** The `kid`. */
  readonly id: string;
  readonly purpose: SigningPurpose;
  readonly createdAtMs: number;
  readonly usedFromMs: number;
  /** Its signatures count until then; Infinity for the newest. */
  readonly validUntilMs: number;
  readonly key: SigningKey;
}

type Keys = readonly TokenKey[];

export interface SigningKeysOptions {
  readonly store: Store;
  readonly barrier: Barrier;
  /** Milliseconds. */
  readonly now: () => number;
  /** How the service commits a key that nobody asked for. */
  readonly commitOwn: (reason: "first" | "period") => CommitChange;
}

export class SigningKeys {
  readonly #options: SigningKeysOptions;
  readonly #cache: RecordCache<Keys>;
  readonly #changes = new SerialQueue();
  #reloadedAt = -Infinity;

  constructor(options: SigningKeysOptions) {
    this.#options = options;
    this.#cache = new RecordCache({ entriesMax: 2, ageMsMax: recordAgeMsMax(options.store) });
  }

  /** The key to sign with; made where there is none. */
  async current(purpose: SigningPurpose): Promise<TokenKey> {
    const found = this.#used(await this.#load(), purpose);
    if (found !== undefined) return found;
    return this.#changes.run(purpose, async () => {
      const since = this.#used(await this.#load(), purpose);
      if (since !== undefined) return since;
      await this.#make(purpose, this.#options.now(), [], this.#options.commitOwn("first"));
      const made = this.#used(await this.#load(), purpose);
      if (made === undefined) throw new Error("a signing key was made and is not there");
      return made;
    });
  }

  /** The key of this id, where its signatures count now. Without a promise where it is at hand. */
  find(purpose: SigningPurpose, id: string): TokenKey | undefined | Promise<TokenKey | undefined> {
    const keys = this.#cache.peek(ALL);
    if (keys === undefined) return this.#load().then((loaded) => this.#counting(loaded, purpose, id));
    const known = keys.find((key) => key.id === id);
    if (known !== undefined || this.#options.store.exclusive) return this.#counting(keys, purpose, id);
    const now = performance.now();
    if (now - this.#reloadedAt < RELOAD_MS) return undefined;
    this.#reloadedAt = now;
    this.#cache.forget(ALL);
    return this.#load().then((loaded) => this.#counting(loaded, purpose, id));
  }

  /** The login keys' public parts as a JWK Set (RFC 7517 §5), those to come included. */
  async publicKeys(): Promise<{ readonly keys: readonly Readonly<Record<string, string>>[] }> {
    const now = this.#options.now();
    const keys = (await this.#load()).filter(
      ({ purpose, validUntilMs }) => purpose === "login" && validUntilMs > now,
    );
    return {
      keys: keys.map(({ id, key }) => ({
        ...key.publicKeyJwk(),
        kid: id,
        use: "sig",
        alg: "EdDSA",
      })),
    };
  }

  /**
   * Makes the next key of a purpose.
   * @param immediately it signs at once, and what was signed before counts no more
   */
  async rotate(purpose: SigningPurpose, immediately: boolean, commit: CommitChange): Promise<TokenKey> {
    return this.#changes.run(purpose, async () => {
      const now = this.#options.now();
      const keys = (await this.#load()).filter((key) => key.purpose === purpose);
      const usedFrom = immediately || keys.length === 0 ? now : now + SHOWN_BEFORE_MS;
      const gone = keys.filter(({ validUntilMs }) => immediately || validUntilMs <= now);
      const id = await this.#make(purpose, usedFrom, gone, commit);
      const made = (await this.#load()).find((key) => key.id === id);
      if (made === undefined) throw new Error("a signing key was made and is not there");
      return made;
    });
  }

  /** Makes the keys that have come due. */
  async rotateDue(): Promise<void> {
    for (const purpose of signingPurposes) {
      const newest = (await this.#load()).filter((key) => key.purpose === purpose).at(-1);
      if (newest === undefined || newest.createdAtMs + ROTATION_MS > this.#options.now()) continue;
      await this.rotate(purpose, false, this.#options.commitOwn("period"));
    }
  }

  async #make(
    purpose: SigningPurpose,
    usedFromMs: number,
    gone: Keys,
    commit: CommitChange,
  ): Promise<string> {
    const id = randomId();
    const record: SigningKeyRecord = {
      purpose,
      createdAt: new Date(this.#options.now()).toISOString(),
      usedFrom: new Date(usedFromMs).toISOString(),
      privateKey: Buffer.from(ed25519Keys.generate().bytes).toString("base64"),
    };
    const sealed = this.#options.barrier.sealJson(signingKeyPlace(id), record);
    const removed = gone.map((key): Write => ({
      delete: "signing_keys",
      where: { id: key.id },
      expect: "any",
    }));
    try {
      await commit(
        [{ insert: "signing_keys", row: { id, created_at: record.createdAt, sealed } }, ...removed],
        { resource: `signing_key:${id}`, details: { purpose, removed: removed.length } },
      );
    } finally {
      this.#cache.forget(ALL);
    }
    return id;
  }

  #used(keys: Keys, purpose: SigningPurpose): TokenKey | undefined {
    const now = this.#options.now();
    return keys.filter((key) => key.purpose === purpose && key.usedFromMs <= now).at(-1);
  }

  #counting(keys: Keys, purpose: SigningPurpose, id: string): TokenKey | undefined {
    const key = keys.find((one) => one.id === id);
    return key?.purpose === purpose && key.validUntilMs > this.#options.now() ? key : undefined;
  }

  async #load(): Promise<Keys> {
    const keys = await this.#cache.get(ALL, async () => {
      const rows = await this.#options.store.select({ from: "signing_keys" });
      return this.#inOrder(rows);
    });
    return keys ?? [];
  }

  /** By the time of their first use. */
  #inOrder(rows: readonly Schema["signing_keys"][]): Keys {
    const opened = rows
      .map(({ id, sealed }) => ({
        id,
        record: this.#options.barrier.openJson<SigningKeyRecord>(signingKeyPlace(id), sealed),
      }))
      .sort(
        (a, b) =>
          a.record.usedFrom.localeCompare(b.record.usedFrom) ||
          a.record.createdAt.localeCompare(b.record.createdAt) ||
          a.id.localeCompare(b.id),
      );
    return opened.map(({ id, record }, at) => {
      const follower = opened.slice(at + 1).find((other) => other.record.purpose === record.purpose);
      const bytes = secretBytes(Buffer.from(record.privateKey, "base64"));
      return {
        id,
        purpose: record.purpose,
        createdAtMs: Date.parse(record.createdAt),
        usedFromMs: Date.parse(record.usedFrom),
        validUntilMs:
          follower === undefined ? Infinity : Date.parse(follower.record.usedFrom) + keptMs[record.purpose],
        key: openEd25519({ form: "pkcs8", bytes }),
      };
    });
  }
}

export function signingKeyPlace(id: string): RecordPlace {
  return { project: "", kind: "signing-key", id, revision: 1, field: "record" };
}
