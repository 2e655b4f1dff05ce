/**
 * Accounts (people and services), their role bindings, and their API tokens.
 * Invariant: what gates (state, bindings, a token's hash, account and expiry) is sealed under the id and revision of its
 * record. A token's plain text is given out once and kept nowhere.
 */
import type { CommitChange } from "../audit/change.ts";
import { equalConstantTime } from "../bytes.ts";
import { sha256 } from "../crypto/digest.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Binding } from "../policy/decide.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { Schema } from "../storage/schema.ts";
import { sliceOf, type Slice } from "../storage/slice.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { makeApiToken } from "./api-token.ts";
import type { AccountKind } from "./caller.ts";

const CACHE_ENTRIES = 10_000;
const BINDINGS_MAX = 100;
const TOKENS_MAX = 1000;

interface AccountRecord {
  readonly name: string;
  readonly kind: AccountKind;
  readonly createdAt: string;
  readonly bindings: readonly Binding[];
  /** Absent: enabled. A disabled one is nobody: none of its credentials counts. */
  readonly state?: AccountState;
}

export type AccountState = "enabled" | "disabled";

export interface Account extends AccountRecord {
  readonly id: string;
  readonly revision: number;
}

interface TokenRecord {
  readonly accountId: string;
  /** SHA-256 of the whole token, hexadecimal. */
  readonly hash: string;
  readonly label: string;
  readonly createdAt: string;
  readonly expiresAt: string;
}

export interface ApiToken extends TokenRecord {
  readonly id: string;
  /** `expiresAt` in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export class Accounts {
  readonly tokenCache: RecordCache<ApiToken>;
  readonly #accounts: RecordCache<Account>;
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #changes = new SerialQueue();

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
    const options = { entriesMax: CACHE_ENTRIES, ageMsMax: recordAgeMsMax(store) };
    this.tokenCache = new RecordCache(options);
    this.#accounts = new RecordCache(options);
  }

  /** True where there is an account at all. */
  async any(): Promise<boolean> {
    return (await this.#store.select({ from: "accounts", limit: 1 })).length > 0;
  }

  /** The account of this name. Throws `account_not_found`. */
  async byName(name: string): Promise<Account> {
    const account = await this.find(name);
    if (account === undefined) throw new KeysteadError("account_not_found");
    return account;
  }

  /** The account of this name, as it is stored now; undefined where there is none. */
  async find(name: string): Promise<Account | undefined> {
    const [row] = await this.#store.select({ from: "accounts", where: { name } });
    return row === undefined ? undefined : this.#openAccount(row);
  }

  /** The account of this id, remembered; undefined where there is none. */
  byId(id: string): Account | Promise<Account | undefined> {
    return this.#accounts.peek(id) ?? this.#accounts.get(id, () => this.stored(id));
  }

  /** The account of this id, as it is stored now; undefined where there is none. */
  async stored(id: string): Promise<Account | undefined> {
    const [row] = await this.#store.select({ from: "accounts", where: { id } });
    return row === undefined ? undefined : this.#openAccount(row);
  }

  /** A stretch of the accounts in the order of their names. */
  async list(afterName: string, rows: number): Promise<Slice<Account>> {
    const found = await this.#store.select({
      from: "accounts",
      orderBy: "name",
      after: afterName,
      limit: rows,
    });
    return sliceOf(
      found,
      rows,
      () => true,
      (row) => this.#openAccount(row),
    );
  }

  /** Makes an account without any right. Throws `account_exists`. */
  async create(name: string, kind: AccountKind, commit: CommitChange): Promise<Account> {
    const { account, write } = this.making(name, kind, []);
    try {
      await commit([write], { resource: `account:${name}` });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("account_exists") : error;
    }
    return account;
  }

  /** A fresh account, and the write that makes it. */
  making(
    name: string,
    kind: AccountKind,
    bindings: readonly Binding[],
  ): { readonly account: Account; readonly write: Write } {
    const createdAt = new Date().toISOString();
    const account: Account = { id: randomId(), revision: 1, name, kind, createdAt, bindings };
    return { account, write: { insert: "accounts", row: this.#accountRow(account) } };
  }

  /** A write that applies only where the account is still as it was read. */
  unchanged({ id, revision }: Account): Write {
    return { update: "accounts", where: { id, revision }, set: { revision } };
  }

  /** Commits what rests on an account that is still as it was read. Throws `conflict`. */
  async commitUnchanged(
    account: Account,
    writes: readonly Write[],
    commit: CommitChange,
    details: Readonly<Record<string, string | number>>,
  ): Promise<void> {
    try {
      await commit([...writes, this.unchanged(account)], { resource: `account:${account.name}`, details });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
    }
  }

  /**
   * Lets the account's credentials count, or not. Throws `account_not_found`.
   * @param ending what else goes in the same change, such as its sessions
   */
  async setState(
    account: Account,
    state: AccountState,
    ending: readonly Write[],
    commit: CommitChange,
  ): Promise<Account> {
    const next: Account = { ...account, revision: account.revision + 1, state };
    const { revision, sealed } = this.#accountRow(next);
    const where = { id: account.id, revision: account.revision };
    try {
      await commit([{ update: "accounts", where, set: { revision, sealed } }, ...ending], {
        resource: `account:${account.name}`,
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
    } finally {
      this.#accounts.forget(account.id);
    }
    return next;
  }

  /** Removes an account with its tokens. Its name is free; an account that takes it has another id. */
  async remove(account: Account, ending: readonly Write[], commit: CommitChange): Promise<void> {
    const { id, revision, name } = account;
    const tokens = await this.#store.select({ from: "tokens", where: { account_id: id } });
    try {
      await commit(
        [
          // First, so that no token is made from here on; then what refers to the account, then itself.
          this.unchanged(account),
          { delete: "tokens", where: { account_id: id }, expect: "any" },
          ...ending,
          { delete: "accounts", where: { id, revision }, expect: "one" },
        ],
        { resource: `account:${name}`, details: { account: id, tokens: tokens.length } },
      );
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
    } finally {
      this.#accounts.forget(id);
      for (const { hash } of tokens) this.tokenCache.forget(Buffer.from(hash).toString("base64"));
    }
  }

  /**
   * Gives an account a role. The same binding twice is one.
   * @param along writes that say that the role is in use
   */
  async bind(
    name: string,
    binding: Omit<Binding, "id">,
    commit: CommitChange,
    along: readonly Write[] = [],
  ): Promise<Account> {
    const commitBoth: CommitChange = (writes, facts) => commit([...writes, ...along], facts);
    return this.#change(name, commitBoth, (bindings) => {
      const same = bindings.find(
        (other) =>
          other.role === binding.role &&
          other.project === binding.project &&
          other.pattern === binding.pattern,
      );
      if (same !== undefined) return { bindings, details: shown("bind", same) };
      if (bindings.length >= BINDINGS_MAX) throw new KeysteadError("limit_reached");
      const added = { ...binding, id: randomId() };
      return { bindings: [...bindings, added], details: shown("bind", added) };
    });
  }

  /** Takes a role from an account. Throws `binding_not_found`. */
  async unbind(name: string, bindingId: string, commit: CommitChange): Promise<Account> {
    return this.#change(name, commit, (bindings) => {
      const removed = bindings.find((binding) => binding.id === bindingId);
      if (removed === undefined) throw new KeysteadError("binding_not_found");
      const rest = bindings.filter((binding) => binding !== removed);
      return { bindings: rest, details: shown("unbind", removed) };
    });
  }

  /** Gives an account other roles in the place of those that it had. */
  async rebind(
    name: string,
    plan: (bindings: readonly Binding[]) => readonly Binding[],
    details: Readonly<Record<string, string>>,
    commit: CommitChange,
    along: readonly Write[] = [],
  ): Promise<Account> {
    const commitBoth: CommitChange = (writes, facts) => commit([...writes, ...along], facts);
    return this.#change(name, commitBoth, (bindings) => ({ bindings: plan(bindings), details }));
  }

  /** Makes a token for an account; its plain text is in the answer and nowhere else. */
  async createToken(
    name: string,
    label: string,
    ttlSeconds: number,
    commit: CommitChange,
  ): Promise<{ readonly plainToken: string; readonly token: ApiToken }> {
    const account = await this.byName(name);
    const now = Date.now();
    const rows = await this.#store.select({ from: "tokens", where: { account_id: account.id } });
    // Those that have expired make room.
    const expired = rows.filter((row) => Date.parse(row.expires_at) <= now);
    if (rows.length - expired.length >= TOKENS_MAX) throw new KeysteadError("limit_reached");
    const plainToken = makeApiToken();
    const hash = sha256(plainToken);
    const record: TokenRecord = {
      accountId: account.id,
      hash: hash.toString("hex"),
      label,
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + ttlSeconds * 1000).toISOString(),
    };
    const id = randomId();
    const row: Schema["tokens"] = {
      id,
      account_id: account.id,
      hash,
      revision: 1,
      created_at: record.createdAt,
      expires_at: record.expiresAt,
      sealed: this.#barrier.sealJson(tokenPlace(id, 1), record),
    };
    const cleared = expired.map((old): Write => ({ delete: "tokens", where: { id: old.id }, expect: "any" }));
    try {
      // The account first: it may be deleted at this moment.
      await commit([this.unchanged(account), { insert: "tokens", row }, ...cleared], {
        resource: `account:${name}`,
        details: { token: id },
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
    }
    return { plainToken, token: openedToken(id, record) };
  }

  /** The tokens of an account, without anything that could be used as one. */
  async tokens(name: string): Promise<ApiToken[]> {
    const account = await this.byName(name);
    const rows = await this.#store.select({
      from: "tokens",
      where: { account_id: account.id },
      orderBy: "id",
    });
    return rows.map((row) => this.#openToken(row)).sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  /** Ends a token at once. Throws `token_not_found`. */
  async revokeToken(name: string, tokenId: string, commit: CommitChange): Promise<void> {
    const account = await this.byName(name);
    const [row] = await this.#store.select({
      from: "tokens",
      where: { id: tokenId, account_id: account.id },
    });
    if (row === undefined) throw new KeysteadError("token_not_found");
    try {
      await commit([{ delete: "tokens", where: { id: tokenId }, expect: "one" }], {
        resource: `account:${name}`,
        details: { token: tokenId },
      });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("token_not_found") : error;
    } finally {
      this.tokenCache.forget(Buffer.from(row.hash).toString("base64"));
    }
  }

  /**
   * The token whose SHA-256 this is, remembered under it; undefined where there is none.
   * @param hash base64
   */
  byTokenHash(hash: string): ApiToken | Promise<ApiToken | undefined> {
    return (
      this.tokenCache.peek(hash) ??
      this.tokenCache.get(hash, async () => {
        const wanted = Buffer.from(hash, "base64");
        const [row] = await this.#store.select({ from: "tokens", where: { hash: wanted } });
        if (row === undefined) return undefined;
        const token = this.#openToken(row);
        return equalConstantTime(Buffer.from(token.hash, "hex"), wanted) ? token : undefined;
      })
    );
  }

  async #change(
    name: string,
    commit: CommitChange,
    plan: (bindings: readonly Binding[]) => {
      bindings: readonly Binding[];
      details: Readonly<Record<string, string>>;
    },
  ): Promise<Account> {
    return this.#changes.run(name, async () => {
      const account = await this.byName(name);
      const { bindings, details } = plan(account.bindings);
      const next: Account = { ...account, revision: account.revision + 1, bindings };
      const { revision, sealed } = this.#accountRow(next);
      try {
        await commit(
          [
            {
              update: "accounts",
              where: { id: account.id, revision: account.revision },
              set: { revision, sealed },
            },
          ],
          { resource: `account:${name}`, details },
        );
      } catch (error) {
        throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
      } finally {
        this.#accounts.forget(account.id);
      }
      return next;
    });
  }

  #accountRow(account: Account): Schema["accounts"] {
    const { id, revision, ...record } = account;
    const sealed = this.#barrier.sealJson(accountPlace(id, revision), record satisfies AccountRecord);
    return { id, name: account.name, revision, created_at: account.createdAt, sealed };
  }

  #openAccount(row: Schema["accounts"]): Account {
    const record = this.#barrier.openJson<AccountRecord>(accountPlace(row.id, row.revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("an account was renamed outside the service"),
      });
    }
    return { ...record, id: row.id, revision: row.revision };
  }

  #openToken(row: Schema["tokens"]): ApiToken {
    return openedToken(
      row.id,
      this.#barrier.openJson<TokenRecord>(tokenPlace(row.id, row.revision), row.sealed),
    );
  }
}

/** What the audit log says of a binding that came or went. */
function shown(change: string, { id, role, project, pattern }: Binding): Record<string, string> {
  return { change, binding: id, role, project, ...(pattern === undefined ? {} : { pattern }) };
}

function openedToken(id: string, record: TokenRecord): ApiToken {
  return { ...record, id, expiresAtMs: Date.parse(record.expiresAt) };
}

/** Where an account's record belongs. */
export function accountPlace(id: string, revision: number): RecordPlace {
  return { project: "", kind: "account", id, revision, field: "record" };
}

/** Where a token's record belongs. */
export function tokenPlace(id: string, revision: number): RecordPlace {
  return { project: "", kind: "token", id, revision, field: "record" };
}
