/**
 * Clients: service accounts that sign themselves up, each with a project of its own and a number.
 * A client's name is in no column: a row is found by HMAC-SHA-256 of it under a secret of the service's own, and its sealed
 * record holds it. The account is named after the same hash, so that a name's invitations end with it; the project's name
 * is random, since it outlives the client by 30 days.
 * Invariant: no column says a name, and a row that was put in another's place leads nowhere. A number is never given twice.
 */
import type { Buffer } from "node:buffer";
import { lengthPrefixed } from "../bytes.ts";
import { hmacSha256 } from "../crypto/digest.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { ServiceSecrets } from "../seal/service-secrets.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";

const CACHE_ENTRIES = 10_000;
const PAGE_ROWS = 500;
const NAME_DIGITS = 32;
const NUMBER_MAX = 2 ** 31 - 1;
const COUNTER = "clients";
/** Tries to draw a number while others draw theirs. */
const COUNTER_TRIES = 20;

interface ClientRecord {
  readonly name: string;
  readonly accountId: string;
  readonly projectId: string;
  /** The project's name. */
  readonly project: string;
  readonly createdAt: string;
}

export interface Client extends ClientRecord {
  readonly number: number;
}

export class Clients {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #secrets: ServiceSecrets;
  /** By account: what a client is never changes. */
  readonly #ofAccounts: RecordCache<Client>;

  constructor(store: Store, barrier: Barrier, secrets: ServiceSecrets) {
    this.#store = store;
    this.#barrier = barrier;
    this.#secrets = secrets;
    this.#ofAccounts = new RecordCache({ entriesMax: CACHE_ENTRIES, ageMsMax: recordAgeMsMax(store) });
  }

  /** The client of this name, as it is stored now; undefined where there is none. */
  async byName(name: string): Promise<Client | undefined> {
    const client = await this.#find({ name_hash: await this.#hashOf(name) });
    return client?.name === name ? client : undefined;
  }

  /** The client of this number. Throws `client_not_found`. */
  async byNumber(number: number): Promise<Client> {
    // What the database's integers cannot hold is nobody's.
    const isPossible = number >= 1 && number <= NUMBER_MAX;
    const client = isPossible ? await this.#find({ number }) : undefined;
    if (client === undefined) throw new KeysteadError("client_not_found");
    return client;
  }

  /** The client that an account is, remembered; undefined where it is none. Without a promise where it is at hand. */
  ofAccount(accountId: string): Client | undefined | Promise<Client | undefined> {
    return (
      this.#ofAccounts.peek(accountId) ??
      this.#ofAccounts.get(accountId, () => this.#find({ account_id: accountId }))
    );
  }

  /** All clients in the order of their numbers. */
  async *all(): AsyncGenerator<Client> {
    for (let after = 0; ;) {
      const rows = await this.#store.select({ from: "clients", orderBy: "number", after, limit: PAGE_ROWS });
      for (const row of rows) yield this.#open(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_ROWS) return;
      after = last.number;
    }
  }

  /** True where a number was ever given. */
  async everAny(): Promise<boolean> {
    return (await this.#counted()) > 0;
  }

  /** The first number of all, and the write that uses it up; it conflicts where a number was ever given. */
  firstNumber(): { readonly number: number; readonly write: Write } {
    return {
      number: 1,
      write: { update: "counters", where: { name: COUNTER, value: 0 }, set: { value: 1 } },
    };
  }

  /** The name of the account that the client of this name has. */
  async accountName(name: string): Promise<string> {
    return `gokms-${(await this.#hashOf(name)).toString("hex").slice(0, NAME_DIGITS)}`;
  }

  /** The next number; it is used up whatever becomes of it. Throws `conflict`. */
  async drawNumber(): Promise<number> {
    for (let tries = 0; tries < COUNTER_TRIES; tries++) {
      const value = await this.#counted();
      try {
        await this.#store.commit([
          { update: "counters", where: { name: COUNTER, value }, set: { value: value + 1 } },
        ]);
        return value + 1;
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
      }
    }
    throw new KeysteadError("conflict");
  }

  /** The write that makes a client; it conflicts where the name is taken. */
  async insert(client: Client): Promise<Write> {
    const { number, ...record } = client;
    const row: Schema["clients"] = {
      number,
      name_hash: await this.#hashOf(client.name),
      account_id: client.accountId,
      created_at: client.createdAt,
      sealed: this.#barrier.sealJson(clientPlace(number), record satisfies ClientRecord),
    };
    return { insert: "clients", row };
  }

  /** The write that takes away what makes an account a client; its name is free. */
  ending(accountId: string): Write {
    return { delete: "clients", where: { account_id: accountId }, expect: "any" };
  }

  async #counted(): Promise<number> {
    const [row] = await this.#store.select({ from: "counters", where: { name: COUNTER } });
    if (row === undefined) throw new Error("the counter of clients is gone");
    return row.value;
  }

  async #find(where: Partial<Schema["clients"]>): Promise<Client | undefined> {
    const [row] = await this.#store.select({ from: "clients", where });
    return row === undefined ? undefined : this.#open(row);
  }

  #open(row: Schema["clients"]): Client {
    const record = this.#barrier.openJson<ClientRecord>(clientPlace(row.number), row.sealed);
    if (record.accountId !== row.account_id) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a client was given another account outside the service"),
      });
    }
    return { ...record, number: row.number };
  }

  async #hashOf(name: string): Promise<Buffer> {
    const secret = await this.#secrets.get("client-names");
    return hmacSha256(secret, lengthPrefixed("keystead/client-name/v1", name));
  }
}

/** A name for a client's project, which says nothing of the client. */
export function clientProjectName(): string {
  return `gokms-${randomId().replaceAll("-", "")}`;
}

export function clientPlace(number: number): RecordPlace {
  return { project: "", kind: "client", id: String(number), revision: 1, field: "record" };
}
