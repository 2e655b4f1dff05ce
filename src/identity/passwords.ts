/**
 * The passwords of accounts, as Argon2id hashes in sealed records.
 * A password is 12 to 128 characters, counted after Unicode's normalisation form C (RFC 8265 §4.2: text that looks the same
 * is the same, whatever keyboard it came from, and nothing else is folded); of what kinds they are is not asked.
 * Invariant: an unknown account, one without a password, one that may not log in, and a wrong password cost one hash and
 * two look-ups each, and are told apart by nobody. A password is in no record, error or log.
 */
import { hashPassword, isOutdated, passwordCost, verifyPassword } from "../crypto/password-hash.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import type { Store, Write } from "../storage/store.ts";
import { LoginThrottle } from "./login-throttle.ts";
import { PasswordQueue, type Lane } from "./password-queue.ts";

const CHARACTERS_MIN = 12;
const CHARACTERS_MAX = 128;
/** Before normalisation: more than 128 characters can be made of, and little enough to normalise. */
export const PASSWORD_UNITS_MAX = 1024;

interface PasswordRecord {
  /** In the PHC string format. */
  readonly hash: string;
  readonly setAt: string;
}

interface StoredPassword extends PasswordRecord {
  readonly revision: number;
}

export interface PasswordsOptions {
  readonly store: Store;
  readonly barrier: Barrier;
  /** Milliseconds. */
  readonly now: () => number;
  /** Replaces what a hash costs, for tests. */
  readonly cost?: typeof passwordCost | undefined;
}

/** A password that was asked for. */
export interface PasswordCheck {
  readonly name: string;
  /** Undefined where there is no such account. */
  readonly accountId: string | undefined;
  /** False for an account that may not log in: the answer is no, for the same work. */
  readonly mayPass: boolean;
  readonly password: string;
  /** As limits count it. */
  readonly address: string;
}

export interface CheckedPassword {
  readonly isRight: boolean;
  /** Which password it was that was right; 0 for none. */
  readonly revision: number;
  /** What a change that rests on it has to write. */
  readonly writes: readonly Write[];
}

export class Passwords {
  readonly #options: PasswordsOptions;
  readonly #queue = new PasswordQueue();
  readonly #throttle: LoginThrottle;

  constructor(options: PasswordsOptions) {
    this.#options = options;
    this.#throttle = new LoginThrottle(options.now);
  }

  /**
   * Whether it is the account's password, and what a change that rests on it has to write: the hash anew where it has become
   * too cheap, and nothing at all where the password was changed meanwhile.
   * Throws `rate_limited` and `busy`.
   */
  async check({ name, accountId, mayPass, password, address }: PasswordCheck): Promise<CheckedPassword> {
    const attempt = this.#throttle.begin(name, address);
    let isRight: boolean;
    let stored: StoredPassword | undefined;
    try {
      // Looked for when its turn has come: whoever is sent away as `busy` costs the store nothing.
      isRight = await this.#queue.run(attempt.lane, async () => {
        stored = await this.#find(accountId ?? randomId());
        return (await verifyPassword(bytesOf(password), stored?.hash)) && mayPass;
      });
    } catch (error) {
      attempt.abandoned();
      throw error;
    }
    if (!isRight || accountId === undefined || stored === undefined) {
      attempt.failed();
      return { isRight: false, revision: 0, writes: [] };
    }
    attempt.succeeded();
    const { revision } = stored;
    return { isRight: true, revision, writes: [await this.#renewed(accountId, password, stored)] };
  }

  /**
   * False where every password that comes from an address now is answered `busy`, whatever account it is for: known before
   * anything of the request is read.
   * @param address as limits count it
   */
  hasRoomFor(address: string): boolean {
    const lane = this.#throttle.laneOf(address);
    return lane === undefined || this.#queue.hasRoom(lane);
  }

  /** Whether the account has a password. */
  async has(accountId: string): Promise<boolean> {
    return (await this.#find(accountId)) !== undefined;
  }

  /** The write that leaves an account without a password. */
  ending(accountId: string): Write {
    return { delete: "passwords", where: { account_id: accountId }, expect: "any" };
  }

  /**
   * The writes that make it the account's password. Throws `invalid_body` for what is no password, `busy`.
   * @param proven the revision of the password that this rests on: where another was set since, `conflict`
   */
  async setting(
    accountId: string,
    password: string,
    lane: Lane = "known",
    proven?: number,
  ): Promise<readonly Write[]> {
    assertPassword(password);
    const before = await this.#find(accountId);
    if (proven !== undefined && before?.revision !== proven) throw new KeysteadError("conflict");
    return [this.#write(accountId, await this.#hash(password, lane), before)];
  }

  async #renewed(accountId: string, password: string, stored: StoredPassword): Promise<Write> {
    const { revision } = stored;
    const same: Write = {
      update: "passwords",
      where: { account_id: accountId, revision },
      set: { revision },
    };
    if (!isOutdated(stored.hash, this.#cost)) return same;
    try {
      return this.#write(accountId, await this.#hash(password, "known"), stored);
    } catch (error) {
      // Next time, then: whoever has the right password is not sent away for this.
      if (error instanceof KeysteadError && error.code === "busy") return same;
      throw error;
    }
  }

  get #cost(): typeof passwordCost {
    return this.#options.cost ?? passwordCost;
  }

  #hash(password: string, lane: Lane): Promise<string> {
    return this.#queue.run(lane, () => hashPassword(bytesOf(password), this.#cost));
  }

  #write(accountId: string, hash: string, before: StoredPassword | undefined): Write {
    const revision = (before?.revision ?? 0) + 1;
    const record: PasswordRecord = { hash, setAt: new Date(this.#options.now()).toISOString() };
    const sealed = this.#options.barrier.sealJson(passwordPlace(accountId, revision), record);
    return before === undefined
      ? { insert: "passwords", row: { account_id: accountId, revision, sealed } }
      : {
          update: "passwords",
          where: { account_id: accountId, revision: before.revision },
          set: { revision, sealed },
        };
  }

  async #find(accountId: string): Promise<StoredPassword | undefined> {
    const [row] = await this.#options.store.select({ from: "passwords", where: { account_id: accountId } });
    return row === undefined ? undefined : this.#open(row);
  }

  #open({ account_id: accountId, revision, sealed }: Schema["passwords"]): StoredPassword {
    return {
      ...this.#options.barrier.openJson<PasswordRecord>(passwordPlace(accountId, revision), sealed),
      revision,
    };
  }
}

/** Throws `invalid_body` for what is no password. */
export function assertPassword(password: string): void {
  // A lone surrogate has no UTF-8: another character would silently stand in its place.
  const characters = password.isWellFormed() ? Array.from(normal(password)).length : 0;
  if (characters < CHARACTERS_MIN || characters > CHARACTERS_MAX) {
    throw new KeysteadError("invalid_body", {
      field: "password",
      detail: `${CHARACTERS_MIN} to ${CHARACTERS_MAX} characters`,
    });
  }
}

function normal(password: string): string {
  return password.normalize("NFC");
}

/** Bytes of their own, in no pool that others use. */
function bytesOf(password: string): Uint8Array {
  return new TextEncoder().encode(normal(password));
}

export function passwordPlace(accountId: string, revision: number): RecordPlace {
  return { project: "", kind: "password", id: accountId, revision, field: "record" };
}
