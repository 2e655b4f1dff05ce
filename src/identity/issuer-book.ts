/**
 * The external issuers: their records, and the snapshot of all of them that tokens are judged by.
 * Invariant: what gates (keys, audiences, rules) is sealed under the issuer's id and revision. Two issuers never state the
 * same `iss`. A record that does not open is left out of the snapshot: its tokens are refused.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import type { Issuer, IssuerRecord, IssuerSettings } from "./issuer.ts";

const ISSUERS_MAX = 50;
/** The snapshot is one record. */
const ALL = "all";

/** Enabled and disabled issuers by their `iss`. */
export type Issuers = ReadonlyMap<string, Issuer>;

const noIssuers: Issuers = new Map();

export class IssuerBook {
  readonly #snapshot: RecordCache<Issuers>;
  readonly #store: Store;
  readonly #barrier: Barrier;
  /** Whether an issuer may be this machine itself, without TLS. */
  readonly plainLoopback: boolean;

  constructor(store: Store, barrier: Barrier, plainLoopback: boolean) {
    this.#store = store;
    this.#barrier = barrier;
    this.plainLoopback = plainLoopback;
    this.#snapshot = new RecordCache({ entriesMax: 2, ageMsMax: recordAgeMsMax(store) });
  }

  /** All issuers, without a promise where they are at hand. */
  current(): Issuers | Promise<Issuers> {
    return this.#snapshot.peek(ALL) ?? this.#load();
  }

  /** All issuers in the order of their names. Throws where one does not open. */
  async list(): Promise<Issuer[]> {
    const rows = await this.#store.select({ from: "issuers", orderBy: "name" });
    return rows.map((row) => this.#open(row));
  }

  /** Throws `issuer_not_found`. */
  async byName(name: string): Promise<Issuer> {
    const [row] = await this.#store.select({ from: "issuers", where: { name } });
    if (row === undefined) throw new KeysteadError("issuer_not_found");
    return this.#open(row);
  }

  /** The issuer of this id; undefined where there is none. */
  async byId(id: string): Promise<Issuer | undefined> {
    const [row] = await this.#store.select({ from: "issuers", where: { id } });
    return row === undefined ? undefined : this.#open(row);
  }

  /**
   * Takes an issuer's tokens from now on. Throws `issuer_exists`, also where another issuer has this `iss`.
   * @param along writes that say which roles are in use
   */
  async create(
    settings: IssuerSettings & Pick<IssuerRecord, "name" | "issuer">,
    along: readonly Write[],
    commit: CommitChange,
  ): Promise<Issuer> {
    if ((await this.#store.select({ from: "issuers", limit: ISSUERS_MAX })).length >= ISSUERS_MAX)
      throw new KeysteadError("limit_reached");
    const createdAt = new Date().toISOString();
    const made: Issuer = { ...settings, createdAt, id: randomId(), revision: 1 };
    const { id, name, issuer, revision } = made;
    const row = { id, name, issuer, revision, created_at: createdAt, sealed: this.#seal(made) };
    await this.#commit(commit, made, [{ insert: "issuers", row }, ...along]);
    return made;
  }

  /** Puts other settings in the place of those that were read. Throws `conflict` where they were changed meanwhile. */
  async update(
    before: Issuer,
    settings: IssuerSettings,
    along: readonly Write[],
    commit: CommitChange,
  ): Promise<Issuer> {
    const { id, name, issuer, createdAt } = before;
    const next: Issuer = { ...settings, id, name, issuer, createdAt, revision: before.revision + 1 };
    const set = { revision: next.revision, sealed: this.#seal(next) };
    const where = { id, revision: before.revision };
    await this.#commit(commit, next, [{ update: "issuers", where, set }, ...along]);
    return next;
  }

  /** Refuses the issuer's tokens from now on. Throws `issuer_not_found`. */
  async remove(name: string, commit: CommitChange): Promise<void> {
    const { id, revision, ...issuer } = await this.byName(name);
    await this.#commit(commit, issuer, [{ delete: "issuers", where: { id, revision }, expect: "one" }]);
  }

  async #commit(
    commit: CommitChange,
    { name, issuer, rules }: IssuerRecord,
    writes: readonly Write[],
  ): Promise<void> {
    try {
      const details = { issuer, rules: rules.length };
      await commit(writes, { resource: `issuer:${name}`, details });
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      const isTaken = error.table === "issuers" && writes.some((write) => "insert" in write);
      throw new KeysteadError(isTaken ? "issuer_exists" : "conflict");
    } finally {
      this.#snapshot.forget(ALL);
    }
  }

  async #load(): Promise<Issuers> {
    const loaded = await this.#snapshot.get(ALL, async () => {
      const issuers = new Map<string, Issuer>();
      for (const row of await this.#store.select({ from: "issuers" })) {
        try {
          issuers.set(row.issuer, this.#open(row));
        } catch {
          // Left out: its tokens are refused, and whoever asks for the issuer itself hears why.
        }
      }
      return issuers;
    });
    return loaded ?? noIssuers;
  }

  #seal({ id, revision, ...record }: Issuer): Uint8Array {
    return this.#barrier.sealJson(issuerPlace(id, revision), record satisfies IssuerRecord);
  }

  #open(row: Schema["issuers"]): Issuer {
    const record = this.#barrier.openJson<IssuerRecord>(issuerPlace(row.id, row.revision), row.sealed);
    if (record.name !== row.name || record.issuer !== row.issuer) {
      throw new KeysteadError("internal_error", {
        cause: new Error("an issuer was renamed outside the service"),
      });
    }
    return { ...record, id: row.id, revision: row.revision };
  }
}

export function issuerPlace(id: string, revision: number): RecordPlace {
  return { project: "", kind: "issuer", id, revision, field: "record" };
}
