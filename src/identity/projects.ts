/**
 * Projects: the tenants. Everything else belongs to one.
 * Invariant: names are lower case only and never change; the name that a row states is checked against its seal.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { sliceOf, type Slice } from "../storage/slice.ts";
import { StoreConflict, type Store } from "../storage/store.ts";

export const DEFAULT_PROJECT = "default";
const CACHE_ENTRIES = 10_000;

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
}

export class Projects {
  readonly #cache: RecordCache<Project>;
  readonly #store: Store;
  readonly #barrier: Barrier;

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
    this.#cache = new RecordCache({
      entriesMax: CACHE_ENTRIES,
      ageMsMax: recordAgeMsMax(store),
    });
  }

  /** The project of this name; undefined where there is none. Without a promise where it is at hand. */
  byName(name: string): Project | Promise<Project | undefined> {
    return this.#cache.peek(name) ?? this.#cache.get(name, () => this.#find({ name }));
  }

  /** The project of this id; undefined where there is none. */
  byId(id: string): Promise<Project | undefined> {
    return this.#find({ id });
  }

  /** A stretch of the projects in the order of their names; `isVisible` is asked of their ids. */
  async list(afterName: string, rows: number, isVisible: (id: string) => boolean): Promise<Slice<Project>> {
    const found = await this.#store.select({
      from: "projects",
      orderBy: "name",
      after: afterName,
      limit: rows,
    });
    const visible = new Set(found.filter(({ id }) => isVisible(id)).map(({ name }) => name));
    return sliceOf(
      found,
      rows,
      (name) => visible.has(name),
      (row) => this.#open(row),
    );
  }

  /** Makes a project. Throws `project_exists`. */
  async create(name: string, commit: CommitChange): Promise<Project> {
    const project: Project = { id: randomId(), name, createdAt: new Date().toISOString() };
    const record = { name, createdAt: project.createdAt };
    const sealed = this.#barrier.sealJson(place(project.id, 1), record);
    const row = { id: project.id, name, revision: 1, created_at: project.createdAt, due_at: null, sealed };
    try {
      await commit([{ insert: "projects", row }], { resource: `project:${name}` });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("project_exists") : error;
    }
    this.#cache.set(name, project);
    return project;
  }

  async #find(where: { name: string } | { id: string }): Promise<Project | undefined> {
    const [row] = await this.#store.select({ from: "projects", where });
    return row === undefined ? undefined : this.#open(row);
  }

  #open(row: Schema["projects"]): Project {
    const record = this.#barrier.openJson<Omit<Project, "id">>(place(row.id, row.revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a project was renamed outside the service"),
      });
    }
    return { ...record, id: row.id };
  }
}

function place(id: string, revision: number): RecordPlace {
  return { project: id, kind: "project", id, revision, field: "record" };
}
