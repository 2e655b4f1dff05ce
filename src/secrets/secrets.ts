/**
 * Secrets: named values with versions.
 * Invariant: a value is sealed under its project, secret and version; deleting a secret removes every version from the
 * database. Two concurrent puts make two versions.
 */
import type { CommitChange } from "../audit/change.ts";
import { secretBytes, type SecretBytes } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import { SerialQueue } from "../serial-queue.ts";
import type { Schema } from "../storage/schema.ts";
import { sliceOf, type IsVisible, type Slice } from "../storage/slice.ts";
import { StoreConflict, type Store } from "../storage/store.ts";

const CONFLICT_TRIES = 8;

interface SecretRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly latestVersion: number;
}

export interface Secret extends SecretRecord {
  readonly id: string;
  readonly projectId: string;
  readonly revision: number;
}

export interface SecretValue {
  readonly name: string;
  readonly version: number;
  /** When this version was put. */
  readonly createdAt: string;
  readonly value: SecretBytes;
}

export class Secrets {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #changes = new SerialQueue();

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
  }

  /** Makes the secret, or adds a version to it. */
  async put(projectId: string, name: string, value: Uint8Array, commit: CommitChange): Promise<Secret> {
    return this.#changes.run(`${projectId}/${name}`, async () => {
      for (let tries = 0; tries < CONFLICT_TRIES; tries++) {
        const before = await this.#find(projectId, name);
        const now = new Date().toISOString();
        const secret: Secret =
          before === undefined
            ? {
                id: randomId(),
                projectId,
                revision: 1,
                name,
                createdAt: now,
                updatedAt: now,
                latestVersion: 1,
              }
            : {
                ...before,
                revision: before.revision + 1,
                updatedAt: now,
                latestVersion: before.latestVersion + 1,
              };
        const row = this.#rowOf(secret);
        const version = secret.latestVersion;
        try {
          await commit(
            [
              before === undefined
                ? { insert: "secrets", row }
                : {
                    update: "secrets",
                    where: { id: secret.id, revision: before.revision },
                    set: { revision: row.revision, sealed: row.sealed },
                  },
              {
                insert: "secret_versions",
                row: {
                  secret_id: secret.id,
                  version,
                  created_at: now,
                  sealed: this.#barrier.seal(secretValuePlace(secret, version), value),
                },
              },
            ],
            { resource: `secret:${name}`, version },
          );
          return secret;
        } catch (error) {
          if (!(error instanceof StoreConflict)) throw error;
        }
      }
      throw new KeysteadError("conflict");
    });
  }

  /** A version's value, the latest where none is named. Throws `secret_not_found`. */
  async openValue(projectId: string, name: string, version: number | undefined): Promise<SecretValue> {
    const secret = await this.#find(projectId, name);
    if (secret === undefined) throw new KeysteadError("secret_not_found");
    const wanted = version ?? secret.latestVersion;
    const [row] = await this.#store.select({
      from: "secret_versions",
      where: { secret_id: secret.id, version: wanted },
    });
    if (row === undefined) throw new KeysteadError("secret_not_found");
    const value = secretBytes(this.#barrier.open(secretValuePlace(secret, wanted), row.sealed));
    return { name, version: wanted, createdAt: row.created_at, value };
  }

  /** A secret, found by its id, as it was when a version was put. Throws `secret_not_found`. */
  async atVersion(projectId: string, id: string, version: number): Promise<Secret> {
    const [found] = await this.#store.select({ from: "secrets", where: { id, project_id: projectId } });
    const [put] = await this.#store.select({ from: "secret_versions", where: { secret_id: id, version } });
    if (found === undefined || put === undefined) throw new KeysteadError("secret_not_found");
    return { ...this.#open(found), updatedAt: put.created_at, latestVersion: version };
  }

  /** A stretch of a project's secrets, without their values, in the byte order of their names. */
  async list(
    projectId: string,
    afterName: string,
    rows: number,
    isVisible: IsVisible,
  ): Promise<Slice<Secret>> {
    const where = { project_id: projectId };
    const found = await this.#store.select({
      from: "secrets",
      where,
      orderBy: "name",
      after: afterName,
      limit: rows,
    });
    return sliceOf(found, rows, isVisible, (row) => this.#open(row));
  }

  /** Removes a secret and all its versions. Throws `secret_not_found`. */
  async remove(projectId: string, name: string, commit: CommitChange): Promise<void> {
    return this.#changes.run(`${projectId}/${name}`, async () => {
      const secret = await this.#find(projectId, name);
      if (secret === undefined) throw new KeysteadError("secret_not_found");
      try {
        await commit(
          [
            { delete: "secret_versions", where: { secret_id: secret.id }, expect: "any" },
            { delete: "secrets", where: { id: secret.id, revision: secret.revision }, expect: "one" },
          ],
          { resource: `secret:${name}`, version: secret.latestVersion },
        );
      } catch (error) {
        throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
      }
    });
  }

  async #find(projectId: string, name: string): Promise<Secret | undefined> {
    const [row] = await this.#store.select({ from: "secrets", where: { project_id: projectId, name } });
    return row === undefined ? undefined : this.#open(row);
  }

  #rowOf(secret: Secret): Schema["secrets"] {
    const { id, projectId, revision, ...record } = secret;
    const sealed = this.#barrier.sealJson(
      secretPlace(projectId, id, revision),
      record satisfies SecretRecord,
    );
    return { id, project_id: projectId, name: secret.name, revision, created_at: secret.createdAt, sealed };
  }

  #open(row: Schema["secrets"]): Secret {
    const { id, project_id: projectId, revision } = row;
    const record = this.#barrier.openJson<SecretRecord>(secretPlace(projectId, id, revision), row.sealed);
    if (record.name !== row.name) {
      throw new KeysteadError("internal_error", {
        cause: new Error("a secret was renamed outside the service"),
      });
    }
    return { ...record, id, projectId, revision };
  }
}

/** Where a secret's record belongs. */
export function secretPlace(project: string, id: string, revision: number): RecordPlace {
  return { project, kind: "secret", id, revision, field: "record" };
}

/** Where the value of a version belongs. */
export function secretValuePlace(
  { projectId: project, id }: Pick<Secret, "projectId" | "id">,
  version: number,
): RecordPlace {
  return { project, kind: "secret-version", id, revision: version, field: "value" };
}
