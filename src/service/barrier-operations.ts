/** The operations on the keys that seal the records: the barrier's. */
import type { BarrierKeyRow, BarrierKeys } from "../seal/barrier-keys.ts";
import type { GlobalMutation, GlobalOperation, ResourceName } from "./operation.ts";

/** `current` seals; `rewrapping` may still be needed to open records; `unused` waits for its deletion. */
export const barrierKeyStates = ["current", "rewrapping", "unused"] as const;

export interface ShownBarrierKey {
  readonly version: number;
  readonly state: (typeof barrierKeyStates)[number];
  readonly createdAt: string;
  /** Records that it still seals, as last counted; undefined for the current one, and before a first count. */
  readonly recordsLeft: number | undefined;
  readonly unusedSince: string | undefined;
}

export interface BarrierStatus {
  /** The version that seals. */
  readonly version: number;
  readonly keys: readonly ShownBarrierKey[];
}

const resource = (): ResourceName => ({ kind: "barrier", name: "keys" });

export const barrierRotate: GlobalMutation<Readonly<Record<string, never>>, BarrierStatus> = {
  id: "barrier.rotate",
  scope: "kms:manage_barrier",
  severity: "WARNING",
  inProject: false,
  resource,
  async run({ services, commit }) {
    await services.barrierKeys.rotate(commit);
    return statusOf(services.barrierKeys);
  },
  replay: ({ services }) => readStatus(services.barrierKeys),
};

export const barrierStatus: GlobalOperation<undefined, BarrierStatus> = {
  id: "barrier.status",
  scope: "kms:manage_barrier",
  inProject: false,
  resource,
  run: ({ services }) => readStatus(services.barrierKeys),
};

async function readStatus(keys: BarrierKeys): Promise<BarrierStatus> {
  await keys.read();
  return statusOf(keys);
}

function statusOf({ barrier, rows }: BarrierKeys): BarrierStatus {
  return { version: barrier.latest, keys: rows.map((row) => shownKey(row, barrier.latest)) };
}

function shownKey(row: BarrierKeyRow, latest: number): ShownBarrierKey {
  const { version, created_at: createdAt, records_left: left, unused_since: since } = row;
  if (version === latest)
    return { version, state: "current", createdAt, recordsLeft: undefined, unusedSince: undefined };
  const state = since === null ? "rewrapping" : "unused";
  return { version, state, createdAt, recordsLeft: left ?? undefined, unusedSince: since ?? undefined };
}
