/**
 * Credentials that a holder keeps: W3C verifiable credentials with what they are found by. They hold personal data.
 * What a credential is found by (its facts) is sealed apart from its value, so that a search opens no value that it does
 * not answer with. Rows are found by keyed hashes (HMAC-SHA-256 under a secret of the service's own, over length-prefixed
 * fields) of the record id and of the given id; their own ids begin with the time, so that a project's are in the order in
 * which they came.
 * Invariant: nothing of a credential stands in a column in clear; a row answers to an id only where its sealed facts state
 * that id too. A stored credential never changes. A search holds what it answers with and a slice of rows, however much it
 * passes over; how many run at once, and how long one works, is bounded.
 */
import type { Buffer } from "node:buffer";
import type { CommitChange } from "../audit/change.ts";
import { lengthPrefixed } from "../bytes.ts";
import { hmacSha256 } from "../crypto/digest.ts";
import { Limiter } from "../crypto/limiter.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { ServiceSecrets } from "../seal/service-secrets.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store } from "../storage/store.ts";
import type { TagPredicate, Tags } from "./tag-query.ts";

/** Records that one search looks at. */
export const SCANNED_MAX = 50_000;
const SLICE_ROWS = 100;
/** After so long a search lets others have their turn. */
const TURN_MS = 3;
/** What one search may take of the event loop, all its turns together. */
const WORK_MS_MAX = 5_000;
const SEARCHES_AT_ONCE = 4;
const SEARCHES_WAITING_MAX = 64;
/** Sealed bytes of the values that one search answers with: 16 of the longest. */
const VALUES_BYTES_MAX = 8 * 1024 * 1024;

/** What a credential is found by. */
export interface CredentialFacts {
  readonly contexts: readonly string[];
  readonly types: readonly string[];
  readonly issuerId: string;
  readonly subjectIds: readonly string[];
  readonly schemaIds: readonly string[];
  readonly proofTypes: readonly string[];
  /** The id that its issuer gave it. */
  readonly givenId: string | undefined;
  readonly tags: Tags;
}

export interface Credential extends CredentialFacts {
  /** Unique in its project. */
  readonly recordId: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** What a search asks for: all that is given has to be there. */
export interface CredentialQuery {
  readonly contexts: readonly string[];
  readonly types: readonly string[];
  readonly issuerId: string | undefined;
  readonly subjectIds: readonly string[];
  readonly schemaIds: readonly string[];
  readonly proofTypes: readonly string[];
  readonly givenId: string | undefined;
  readonly tags: TagPredicate | undefined;
}

/** Which of those that fit are asked for. */
export interface CredentialPage {
  readonly offset: number;
  readonly limit: number;
}

interface SealedFacts extends Omit<CredentialFacts, "givenId"> {
  readonly recordId: string;
  readonly givenId?: string;
}

/** A stored credential without its value. */
export interface StoredCredential extends SealedFacts {
  readonly id: string;
}

export class Credentials {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #secrets: ServiceSecrets;
  readonly #searches = new Limiter({ atOnce: SEARCHES_AT_ONCE, waitingMax: SEARCHES_WAITING_MAX });
  #lastTick = 0;

  constructor(store: Store, barrier: Barrier, secrets: ServiceSecrets) {
    this.#store = store;
    this.#barrier = barrier;
    this.#secrets = secrets;
  }

  /** Keeps a credential. Throws `credential_exists`. */
  async add(projectId: string, credential: Credential, commit: CommitChange): Promise<StoredCredential> {
    const { value, givenId, ...rest } = credential;
    const facts: SealedFacts = { ...rest, ...(givenId === undefined ? {} : { givenId }) };
    const id = this.#timedId();
    const row: Schema["credentials"] = {
      id,
      project_id: projectId,
      record_hash: await this.#hashOf(projectId, "record", credential.recordId),
      given_hash: givenId === undefined ? null : await this.#hashOf(projectId, "given", givenId),
      sealed: this.#barrier.sealJson(credentialPlace(projectId, id), facts),
    };
    const sealed = this.#barrier.sealJson(credentialValuePlace(projectId, id), value);
    try {
      await commit(
        [
          { insert: "credentials", row },
          { insert: "credential_values", row: { credential_id: id, sealed } },
        ],
        { resource: resourceOf(id) },
      );
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("credential_exists") : error;
    }
    return { ...facts, id };
  }

  /** Throws `credential_not_found`. */
  async byRecordId(projectId: string, recordId: string): Promise<StoredCredential> {
    const [row] = await this.#store.select({
      from: "credentials",
      where: { record_hash: await this.#hashOf(projectId, "record", recordId) },
    });
    const found = row?.project_id === projectId ? this.#open(row) : undefined;
    if (found?.recordId !== recordId) throw new KeysteadError("credential_not_found");
    return found;
  }

  /** Throws `credential_not_found`, `credential_ambiguous`. */
  async byGivenId(projectId: string, givenId: string): Promise<StoredCredential> {
    const given_hash = await this.#hashOf(projectId, "given", givenId);
    const rows = await this.#store.select({ from: "credentials", where: { given_hash }, limit: 2 });
    const found = rows
      .filter((row) => row.project_id === projectId)
      .map((row) => this.#open(row))
      .filter((one) => one.givenId === givenId);
    if (found[1] !== undefined) throw new KeysteadError("credential_ambiguous");
    if (found[0] === undefined) throw new KeysteadError("credential_not_found");
    return found[0];
  }

  /** The credential of a row's own id. Throws `credential_not_found`. */
  async byId(projectId: string, id: string): Promise<StoredCredential> {
    const [row] = await this.#store.select({ from: "credentials", where: { id, project_id: projectId } });
    if (row === undefined) throw new KeysteadError("credential_not_found");
    return this.#open(row);
  }

  /** A credential with its value. Throws `credential_not_found` for one that went meanwhile. */
  async withValue(projectId: string, one: StoredCredential): Promise<Credential> {
    const sealed = await this.#sealedValue(one.id);
    if (sealed === undefined) throw new KeysteadError("credential_not_found");
    return this.#whole(projectId, one, sealed);
  }

  /**
   * The credentials that fit, in the order in which they came, `limit` of them after `offset`. Throws `limit_reached` where
   * they are not among the first SCANNED_MAX, where it takes too long to find them, and where their values are too long for
   * one answer; `busy` where too many searches wait.
   */
  search(projectId: string, query: CredentialQuery, page: CredentialPage): Promise<Credential[]> {
    return this.#searches.run(async () => {
      const whole: Credential[] = [];
      let valueBytes = 0;
      for (const one of await this.#find(projectId, query, page)) {
        const sealed = await this.#sealedValue(one.id);
        // It went while the search was under way.
        if (sealed === undefined) continue;
        valueBytes += sealed.length;
        if (valueBytes > VALUES_BYTES_MAX)
          throw new KeysteadError("limit_reached", { detail: "the records are too long for one answer" });
        whole.push(this.#whole(projectId, one, sealed));
      }
      return whole;
    });
  }

  async #find(
    projectId: string,
    query: CredentialQuery,
    { offset, limit }: CredentialPage,
  ): Promise<StoredCredential[]> {
    const found: StoredCredential[] = [];
    const narrowed =
      query.givenId === undefined
        ? {}
        : { given_hash: await this.#hashOf(projectId, "given", query.givenId) };
    let scanned = 0;
    let fitting = 0;
    let workedMs = 0;
    for (let after = ""; found.length < limit;) {
      if (scanned >= SCANNED_MAX) throw new KeysteadError("limit_reached");
      const rows = await this.#slice(projectId, after, narrowed);
      let turnStartedAt = performance.now();
      for (const row of rows) {
        const one = this.#open(row);
        if (fits(one, query) && ++fitting > offset && found.push(one) === limit) break;
        const turnMs = performance.now() - turnStartedAt;
        if (turnMs < TURN_MS) continue;
        workedMs += turnMs;
        if (workedMs >= WORK_MS_MAX) throw new KeysteadError("limit_reached");
        await new Promise((resolve) => setImmediate(resolve));
        turnStartedAt = performance.now();
      }
      workedMs += performance.now() - turnStartedAt;
      scanned += rows.length;
      if (rows.length < SLICE_ROWS) break;
      after = rows.at(-1)?.id ?? "";
    }
    return found;
  }

  async #sealedValue(id: string): Promise<Uint8Array | undefined> {
    const [row] = await this.#store.select({ from: "credential_values", where: { credential_id: id } });
    return row?.sealed;
  }

  #whole(projectId: string, { id, ...facts }: StoredCredential, sealed: Uint8Array): Credential {
    const value = this.#barrier.openJson<Credential["value"]>(credentialValuePlace(projectId, id), sealed);
    return { ...facts, givenId: facts.givenId, value };
  }

  /** Removes a credential. Throws `credential_not_found`. */
  async remove(projectId: string, recordId: string, commit: CommitChange): Promise<void> {
    await this.removeById((await this.byRecordId(projectId, recordId)).id, commit);
  }

  /** Removes the credential of a row's own id. Throws `credential_not_found`. */
  async removeById(id: string, commit: CommitChange): Promise<void> {
    try {
      await commit(
        [
          { delete: "credential_values", where: { credential_id: id }, expect: "one" },
          { delete: "credentials", where: { id }, expect: "one" },
        ],
        { resource: resourceOf(id) },
      );
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("credential_not_found") : error;
    }
  }

  /** Ids of a project's rows, at most `rows` of them; not opened, so that a bad record hides no other. */
  async ids(projectId: string, rows: number): Promise<string[]> {
    const found = await this.#store.select({
      from: "credentials",
      where: { project_id: projectId },
      orderBy: "id",
      after: "",
      limit: rows,
    });
    return found.map(({ id }) => id);
  }

  #slice(
    projectId: string,
    after: string,
    narrowed: Partial<Schema["credentials"]>,
  ): Promise<Schema["credentials"][]> {
    const where = { project_id: projectId, ...narrowed };
    return this.#store.select({ from: "credentials", where, orderBy: "id", after, limit: SLICE_ROWS });
  }

  #open({ id, project_id: projectId, sealed }: Schema["credentials"]): StoredCredential {
    return { ...this.#barrier.openJson<SealedFacts>(credentialPlace(projectId, id), sealed), id };
  }

  /** An id after all that this process made: microseconds in 14 hexadecimal digits, then a random UUID. */
  #timedId(): string {
    this.#lastTick = Math.max(this.#lastTick + 1, Date.now() * 1000);
    return `${this.#lastTick.toString(16).padStart(14, "0")}-${randomId()}`;
  }

  async #hashOf(projectId: string, field: "record" | "given", text: string): Promise<Buffer> {
    const secret = await this.#secrets.get("credentials");
    return hmacSha256(secret, lengthPrefixed("keystead/credential/v1", projectId, field, text));
  }
}

function fits(one: StoredCredential, query: CredentialQuery): boolean {
  return (
    (query.issuerId === undefined || one.issuerId === query.issuerId) &&
    (query.givenId === undefined || one.givenId === query.givenId) &&
    hasAll(one.contexts, query.contexts) &&
    hasAll(one.types, query.types) &&
    hasAll(one.schemaIds, query.schemaIds) &&
    hasAll(one.subjectIds, query.subjectIds) &&
    hasAll(one.proofTypes, query.proofTypes) &&
    (query.tags === undefined || query.tags(one.tags))
  );
}

function hasAll(there: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((one) => there.includes(one));
}

/** How the audit log names a credential: its record id may say of whom it is. */
function resourceOf(id: string): string {
  return `credential:${id}`;
}

/** Where a row of `credentials` is sealed for. */
export function credentialPlace(project: string, id: string): RecordPlace {
  return { project, kind: "credential", id, revision: 1, field: "facts" };
}

/** Where a row of `credential_values` is sealed for. */
export function credentialValuePlace(project: string, id: string): RecordPlace {
  return { project, kind: "credential", id, revision: 1, field: "value" };
}
