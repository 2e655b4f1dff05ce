/**
 * Projects: the tenants. Everything else belongs to one.
 * Invariant: names are lower case only and never change, but that a deletion may free one at once; the name that a row states is checked against its seal.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import { sliceOf, type Slice } from "../storage/slice.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";

export const DEFAULT_PROJECT = "default";
const CACHE_ENTRIES = 10_000;
const DAY_MS = 86_400_000;

export type ProjectState = "enabled" | "pending_deletion" | "destroyed";

interface ProjectRecord {
  /** Free again when the project is destroyed, or when a deletion freed it: the project is named `~` and its id then. */
  readonly name: string;
  /** The name that was freed. */
  readonly nameBefore?: string;
  readonly createdAt: string;
  /** Absent: enabled. */
  readonly state?: ProjectState;
  readonly deletion?: { readonly requestedAt: string; readonly dueAt: string };
}

export interface Project extends ProjectRecord {
  readonly id: string;
  readonly revision: number;
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

  /** A fresh project, and the write that makes it. */
  making(name: string): { readonly project: Project; readonly write: Write } {
    const project: Project = { id: randomId(), name, revision: 1, createdAt: new Date().toISOString() };
    return { project, write: { insert: "projects", row: this.#rowOf(project) } };
  }

  /** Makes a project. Throws `project_exists`. */
  async create(name: string, commit: CommitChange): Promise<Project> {
    const { project, write } = this.making(name);
    try {
      await commit([write], { resource: `project:${name}` });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("project_exists") : error;
    }
    this.#cache.set(name, project);
    return project;
  }

  /**
   * Refuses everything in the project, and destroys it in so many days. Throws `project_pending_deletion`.
   * @param freesName its name may be given to another at once
   */
  scheduleDeletion(
    name: string,
    days: number,
    freesName: boolean,
    nowMs: number,
    commit: CommitChange,
  ): Promise<Project> {
    return this.#change(name, commit, (project) => {
      if (name === DEFAULT_PROJECT)
        throw new KeysteadError("invalid_body", { detail: "the default project stays" });
      if (project.state === "pending_deletion") throw new KeysteadError("project_pending_deletion");
      return toBeDeleted(project, days, nowMs, freesName);
    });
  }

  /**
   * The same as a part of another change: its writes, none where the project goes already, and `done`, to be called when
   * they were committed, or may have been.
   */
  async ending(
    id: string,
    days: number,
    nowMs: number,
  ): Promise<{ readonly writes: readonly Write[]; done(): void }> {
    const project = await this.#find({ id });
    const isThere = project !== undefined && (project.state ?? "enabled") === "enabled";
    return {
      writes: isThere ? [this.#updating(project, toBeDeleted(project, days, nowMs))] : [],
      done: () => {
        if (project !== undefined) this.#cache.forget(project.name);
      },
    };
  }

  /**
   * Keeps the project, which is found by its id too. Where its name was freed it has that again, or, where somebody took
   * it meanwhile, `restored-` and its id. Throws `project_not_pending_deletion`, and `project_pending_deletion` where the window has passed:
   * its destruction takes many changes and may be under way.
   */
  cancelDeletion(name: string, nowMs: number, commit: CommitChange): Promise<Project> {
    return this.#change(name, commit, async (project) => {
      if (project.state !== "pending_deletion") throw new KeysteadError("project_not_pending_deletion");
      if (isDue(project, nowMs)) throw new KeysteadError("project_pending_deletion");
      const kept: Project = { ...withoutDeletion(project), state: "enabled" };
      const { nameBefore } = project;
      if (nameBefore === undefined) return kept;
      const isTaken = (await this.#find({ name: nameBefore })) !== undefined;
      return { ...kept, name: isTaken ? `restored-${project.id}` : nameBefore };
    });
  }

  /** Leaves a record without a name; what the project held must be gone before. */
  destroy(name: string, nowMs: number, commit: CommitChange): Promise<Project> {
    return this.#change(name, commit, (project) => {
      if (!isDue(project, nowMs)) throw new KeysteadError("conflict");
      return { ...withoutDeletion(project), name: `~${project.id}`, state: "destroyed" };
    });
  }

  /** Projects that became due after a time by their rows, earliest first; not opened, so that a bad record hides no other. */
  async due(
    nowMs: number,
    after: string,
    rows: number,
  ): Promise<{ readonly id: string; readonly dueAt: string }[]> {
    const found = await this.#store.select({ from: "projects", orderBy: "due_at", after, limit: rows });
    const now = new Date(nowMs).toISOString();
    return found.flatMap(({ id, due_at: dueAt }) => (dueAt !== null && dueAt <= now ? [{ id, dueAt }] : []));
  }

  async #change(
    name: string,
    commit: CommitChange,
    step: (project: Project) => Project | Promise<Project>,
  ): Promise<Project> {
    const project = (await this.#find({ name })) ?? (await this.#nameless(name));
    if (project === undefined || project.state === "destroyed") throw new KeysteadError("project_not_found");
    const next = { ...(await step(project)), revision: project.revision + 1 };
    const column = next.name;
    try {
      await commit([this.#updating(project, next)], {
        resource: `project:${project.nameBefore ?? project.name}`,
      });
    } catch (error) {
      this.#cache.forget(name);
      if (error instanceof StoreConflict && error.table === "projects") throw new KeysteadError("conflict");
      throw error;
    }
    this.#cache.forget(name);
    this.#cache.forget(column);
    return next;
  }

  /** The project whose name was freed, by its id. */
  async #nameless(id: string): Promise<Project | undefined> {
    const project = await this.#find({ id });
    return project?.nameBefore === undefined ? undefined : project;
  }

  #updating({ id, revision: before }: Project, next: Project): Write {
    const { name, revision, due_at, sealed } = this.#rowOf({ ...next, revision: before + 1 });
    return {
      update: "projects",
      where: { id, revision: before },
      set: { name, revision, due_at, sealed },
    };
  }

  #rowOf(project: Project): Schema["projects"] {
    const { id, revision, ...record } = project;
    const sealed = this.#barrier.sealJson(projectPlace(id, revision), record satisfies ProjectRecord);
    const due = project.deletion?.dueAt ?? null;
    return { id, name: project.name, revision, created_at: project.createdAt, due_at: due, sealed };
  }

  async #find(where: { name: string } | { id: string }): Promise<Project | undefined> {
    const [row] = await this.#store.select({ from: "projects", where });
    return row === undefined ? undefined : this.#open(row);
  }

  #open(row: Schema["projects"]): Project {
    const record = this.#barrier.openJson<ProjectRecord>(projectPlace(row.id, row.revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a project was renamed outside the service"),
      });
    }
    return { ...record, id: row.id, revision: row.revision };
  }
}

function toBeDeleted(project: Project, days: number, nowMs: number, freesName = false): Project {
  const deletion = {
    requestedAt: new Date(nowMs).toISOString(),
    dueAt: new Date(nowMs + days * DAY_MS).toISOString(),
  };
  const freed = freesName ? { name: `~${project.id}`, nameBefore: project.name } : {};
  return { ...project, ...freed, state: "pending_deletion", deletion };
}

function withoutDeletion(project: Project): Project {
  const rest: { -readonly [K in keyof Project]: Project[K] } = { ...project };
  delete rest.deletion;
  delete rest.nameBefore;
  return rest;
}

/** Whether the project's deletion window has passed. */
export function isDue({ state, deletion }: Project, nowMs: number): boolean {
  return state === "pending_deletion" && deletion !== undefined && Date.parse(deletion.dueAt) <= nowMs;
}

/** Where a project's record belongs. */
export function projectPlace(id: string, revision: number): RecordPlace {
  return { project: id, kind: "project", id, revision, field: "record" };
}
