/**
 * Random secrets of the service's own, each under a name: what names are hashed under, so that no row says them.
 * Invariant: a secret is made once, when it is needed first, and never changes: sealed like every record, it outlives
 * restarts and every change of the barrier's and the root's keys.
 */
import { secretBytes, type SecretBytes } from "../bytes.ts";
import { randomSecret } from "../crypto/random.ts";
import { StoreConflict, type Store } from "../storage/store.ts";
import type { Barrier, RecordPlace } from "./barrier.ts";

const SECRET_BYTES = 32;

export class ServiceSecrets {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #opened = new Map<string, Promise<SecretBytes>>();

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
  }

  /** The 32 bytes of this name, made where there are none yet. */
  get(name: string): Promise<SecretBytes> {
    let opened = this.#opened.get(name);
    if (opened === undefined) {
      opened = this.#open(name).catch((error: unknown) => {
        this.#opened.delete(name);
        throw error;
      });
      this.#opened.set(name, opened);
    }
    return opened;
  }

  async #open(name: string): Promise<SecretBytes> {
    const [row] = await this.#store.select({ from: "service_secrets", where: { name } });
    if (row !== undefined) return secretBytes(this.#barrier.open(serviceSecretPlace(name), row.sealed));
    const secret = randomSecret(SECRET_BYTES);
    const sealed = this.#barrier.seal(serviceSecretPlace(name), secret);
    try {
      await this.#store.commit([
        { insert: "service_secrets", row: { name, created_at: new Date().toISOString(), sealed } },
      ]);
      return secret;
    } catch (error) {
      // Another node was faster.
      if (error instanceof StoreConflict) return this.#open(name);
      throw error;
    }
  }
}

export function serviceSecretPlace(name: string): RecordPlace {
  return { project: "", kind: "service-secret", id: name, revision: 1, field: "bytes" };
}
