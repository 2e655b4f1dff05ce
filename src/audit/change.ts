/** How a part of the service commits a change: its writes, and what the change's audit entry shall say. */
import type { Write } from "../storage/store.ts";

export interface ChangeFacts {
  /** Kind and name, such as `key:orders`. */
  readonly resource: string;
  /** The version that was made; 0 where there is none. */
  readonly version?: number;
  readonly details?: Readonly<Record<string, string | number>>;
}

/**
 * Commits writes together with the audit entry of whoever is acting, and resolves when both are durable.
 * Rejects with StoreConflict where a write does not apply.
 */
export type CommitChange = (writes: readonly Write[], facts: ChangeFacts) => Promise<void>;
