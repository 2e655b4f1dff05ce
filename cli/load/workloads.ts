/**
 * What a load run does, by name. A workload prepares what it needs, then each of its clients repeats its steps.
 * Invariant: one step is one request; names begin with the run's own prefix, so that no run meets another's.
 */
import type { KeysteadClient } from "../../sdk/client.ts";

/** What one call for random bytes may ask for. */
const RANDOM_BYTES_MAX = 65_536;

export const workloadNames = ["encrypt", "decrypt", "mixed", "secrets", "keys"] as const;
export type WorkloadName = (typeof workloadNames)[number];

export interface WorkloadContext {
  readonly client: KeysteadClient;
  readonly prefix: string;
  readonly keys: number;
  readonly payload: Uint8Array;
  /** Calls a function for every number below `count`, several at a time. */
  readonly each: (count: number, run: (index: number) => Promise<void>) => Promise<void>;
}

/** One request. */
export type Step = () => Promise<unknown>;
/** The requests of one round, where a later one may need what an earlier one brought. */
export type Round = (turn: number) => readonly Step[];

/** Prepares a workload; what comes back is called with a number that no other call of the run has. */
export type Workload = (context: WorkloadContext) => Promise<Round>;

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  async encrypt(context) {
    const nameOf = await prepareKeys(context);
    return (turn) => [() => context.client.key.encrypt(nameOf(turn), context.payload)];
  },

  async decrypt(context) {
    const nameOf = await prepareKeys(context);
    const ciphertexts: string[] = [];
    await context.each(context.keys, async (index) => {
      ciphertexts[index] = (await context.client.key.encrypt(nameOf(index), context.payload)).ciphertext;
    });
    return (turn) => [() => context.client.key.decrypt(nameOf(turn), ciphertexts[turn % context.keys] ?? "")];
  },

  async mixed(context) {
    const nameOf = await prepareKeys(context);
    return (turn) => {
      let ciphertext = "";
      return [
        async () => {
          ciphertext = (await context.client.key.encrypt(nameOf(turn), context.payload)).ciphertext;
        },
        () => context.client.key.decrypt(nameOf(turn), ciphertext),
      ];
    };
  },

  secrets(context) {
    const nameOf = (turn: number): string => `${context.prefix}-s${turn % context.keys}`;
    return Promise.resolve((turn: number) => [
      () => context.client.secret.put(nameOf(turn), context.payload),
      () => context.client.secret.get(nameOf(turn)),
    ]);
  },

  keys(context) {
    const nameOf = (turn: number): string => `${context.prefix}-k${turn}`;
    return Promise.resolve((turn: number) => [
      () => context.client.key.create(nameOf(turn)),
      () => context.client.key.get(nameOf(turn)),
    ]);
  },
};

/** A prefix that no other run has. */
export function runPrefix(): string {
  return `load-${crypto.randomUUID().slice(0, 13)}`;
}

/** A payload that does not compress and is no text. */
export function makePayload(bytes: number): Uint8Array {
  const payload = new Uint8Array(bytes);
  for (let start = 0; start < bytes; start += RANDOM_BYTES_MAX) {
    crypto.getRandomValues(payload.subarray(start, start + RANDOM_BYTES_MAX));
  }
  return payload;
}

async function prepareKeys({
  client,
  prefix,
  keys,
  each,
}: WorkloadContext): Promise<(turn: number) => string> {
  const nameOf = (turn: number): string => `${prefix}-${turn % keys}`;
  await each(keys, async (index) => {
    await client.key.create(nameOf(index));
  });
  return nameOf;
}
