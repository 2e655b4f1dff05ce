/**
 * The own roles: their records, and the snapshot of all of them that decisions are made by.
 * Invariant: a role's statements are sealed under its id and revision. No role is removed that a binding names: whoever
 * binds one changes its row in the same transaction, so that a removal that looked before does not apply. A role whose row
 * does not open is left out of the snapshot, and whoever is bound to it is then denied.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { builtInRoles, noOwnRoles, type OwnRoles, type Statement } from "../policy/roles.ts";
import type { Binding } from "../policy/decide.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";

const ROLES_MAX = 200;
/** The snapshot is one record. */
const ALL = "all";

interface RoleRecord {
  readonly name: string;
  readonly description: string;
  readonly statements: readonly Statement[];
  readonly createdAt: string;
}

export interface OwnRole extends RoleRecord {
  readonly id: string;
  readonly revision: number;
}

/** What of a role can be changed. */
export interface RoleChange {
  readonly description?: string | undefined;
  readonly statements?: readonly Statement[] | undefined;
}

/** Tells whether anything names a role; asked while it is removed. */
export type IsRoleBound = (role: string) => Promise<boolean>;

export class RoleBook {
  readonly #snapshot: RecordCache<OwnRoles>;
  readonly #store: Store;
  readonly #barrier: Barrier;

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
    this.#snapshot = new RecordCache({ entriesMax: 2, ageMsMax: recordAgeMsMax(store) });
  }

  /** The own roles that a decision by these bindings needs: none where all of them are built in. */
  neededFor(bindings: readonly Binding[]): OwnRoles | Promise<OwnRoles> {
    for (const { role } of bindings) if (!builtInRoles.has(role)) return this.current();
    return noOwnRoles;
  }

  /** All own roles, without a promise where they are at hand. */
  current(): OwnRoles | Promise<OwnRoles> {
    return this.#snapshot.peek(ALL) ?? this.#load();
  }

  /** All own roles with their records, in the order of their names. Throws where one does not open. */
  async list(): Promise<OwnRole[]> {
    const rows = await this.#store.select({ from: "roles", orderBy: "name" });
    return rows.map((row) => this.#open(row));
  }

  /** Throws `role_not_found`. */
  async byName(name: string): Promise<OwnRole> {
    return this.#open(await this.#row(name));
  }

  /** The role of this id; undefined where there is none. */
  async byId(id: string): Promise<OwnRole | undefined> {
    const [row] = await this.#store.select({ from: "roles", where: { id } });
    return row === undefined ? undefined : this.#open(row);
  }

  /** Throws `role_exists`, for a built-in role's name too. */
  async create(
    name: string,
    description: string,
    statements: readonly Statement[],
    commit: CommitChange,
  ): Promise<OwnRole> {
    if (builtInRoles.has(name)) throw new KeysteadError("role_exists");
    if ((await this.#store.select({ from: "roles", limit: ROLES_MAX })).length >= ROLES_MAX)
      throw new KeysteadError("limit_reached");
    const createdAt = new Date().toISOString();
    const role: OwnRole = { id: randomId(), revision: 1, name, description, statements, createdAt };
    const { id, revision } = role;
    const row = { id, name, revision, uses: 0, created_at: createdAt, sealed: this.#seal(role) };
    await this.#commit("role_exists", commit, [{ insert: "roles", row }], {
      resource: `role:${name}`,
      details: { statements: statements.length },
    });
    return role;
  }

  /** Changes what bound accounts may do, from the next request on. Throws `role_not_found`, `conflict`. */
  async update(name: string, change: RoleChange, commit: CommitChange): Promise<OwnRole> {
    const role = this.#open(await this.#row(name));
    const next: OwnRole = {
      ...role,
      revision: role.revision + 1,
      description: change.description ?? role.description,
      statements: change.statements ?? role.statements,
    };
    const where = { id: role.id, revision: role.revision };
    const set = { revision: next.revision, sealed: this.#seal(next) };
    await this.#commit("conflict", commit, [{ update: "roles", where, set }], {
      resource: `role:${name}`,
      details: { statements: next.statements.length },
    });
    return next;
  }

  /** Throws `role_not_found`, `role_in_use`, `conflict`. */
  async remove(name: string, isBound: IsRoleBound, commit: CommitChange): Promise<void> {
    const { id, revision, uses } = await this.#row(name);
    if (await isBound(name)) throw new KeysteadError("role_in_use");
    await this.#commit(
      "conflict",
      commit,
      [{ delete: "roles", where: { id, revision, uses }, expect: "one" }],
      { resource: `role:${name}` },
    );
  }

  /** The writes that go with whatever binds these roles. Throws `role_not_found` for one that is not there. */
  async using(names: readonly string[]): Promise<Write[]> {
    const own = [...new Set(names)].filter((name) => !builtInRoles.has(name));
    const rows = await Promise.all(own.map((name) => this.#row(name)));
    return rows.map(({ id, uses }) => ({
      update: "roles",
      where: { id, uses },
      set: { uses: uses + 1 },
    }));
  }

  async #commit(
    conflict: "role_exists" | "conflict",
    commit: CommitChange,
    ...[writes, facts]: Parameters<CommitChange>
  ): Promise<void> {
    try {
      await commit(writes, facts);
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError(conflict) : error;
    } finally {
      this.#snapshot.forget(ALL);
    }
  }

  async #load(): Promise<OwnRoles> {
    const loaded = await this.#snapshot.get(ALL, async () => {
      const rows = await this.#store.select({ from: "roles" });
      const roles = new Map<string, readonly Statement[]>();
      for (const row of rows) {
        try {
          roles.set(row.name, this.#open(row).statements);
        } catch {
          // Left out: what is bound to it is denied, and whoever asks for the role itself hears why.
        }
      }
      return roles;
    });
    return loaded ?? noOwnRoles;
  }

  async #row(name: string): Promise<Schema["roles"]> {
    const [row] = await this.#store.select({ from: "roles", where: { name } });
    if (row === undefined) throw new KeysteadError("role_not_found");
    return row;
  }

  #seal({ id, revision, name, description, statements, createdAt }: OwnRole): Uint8Array {
    const record: RoleRecord = { name, description, statements, createdAt };
    return this.#barrier.sealJson(rolePlace(id, revision), record);
  }

  #open(row: Schema["roles"]): OwnRole {
    const record = this.#barrier.openJson<RoleRecord>(rolePlace(row.id, row.revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a role was renamed outside the service"),
      });
    }
    return { ...record, id: row.id, revision: row.revision };
  }
}

export function rolePlace(id: string, revision: number): RecordPlace {
  return { project: "", kind: "role", id, revision, field: "record" };
}
