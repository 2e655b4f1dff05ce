/**
 * Many uses of one key in one call.
 * Invariant: results stand in the order of the items, and one item's error is its own; the event loop is never held for
 * longer than a slice, reading and rendering of items included; the key is looked at anew after every slice, so that a
 * revocation stops a batch on its way. One audit entry tells how many items there were and how many failed.
 */
import type { Algorithm } from "../crypto/catalogue.ts";
import { asKeysteadError, type KeysteadError } from "../errors.ts";
import type { KeyUse } from "../keyring/key-states.ts";
import { assertUse } from "../keyring/key-use.ts";
import {
  assertEncrypts,
  decrypt,
  encrypt,
  type Ciphertext,
  type Decrypted,
  type Encrypted,
  type Plaintext,
} from "../keyring/cipher-use.ts";
import type { Key } from "../keyring/key.ts";
import type { Keyring } from "../keyring/keyring.ts";
import { mac, verifyMac, type Mac, type MacInput, type VerifyMacInput } from "../keyring/mac-use.ts";
import {
  sign,
  verify,
  type Signature,
  type SignInput,
  type Verdict,
  type VerifyInput,
} from "../keyring/signature-use.ts";
import type { Scope } from "../policy/roles.ts";
import { reencrypt, type ReencryptTarget } from "./cipher-operations.ts";
import { findKey, findOtherKey, keyResource, type Named } from "./key-resource.ts";
import type { ProjectContext, ProjectOperation } from "./operation.ts";

/** The most items of one call. */
export const BATCH_ITEMS_MAX = 1000;

/** Milliseconds after which others have their turn. */
const SLICE_MS = 2;
/** Items that may be under way at once where each waits for another thread. */
const WAITING_MAX = 16;

/** Items are read and results rendered one by one, inside the slices: a batch may be megabytes. */
export interface BatchInput<I, O> extends Named {
  readonly count: number;
  /** Reads one item; throws a KeysteadError where it is no good. */
  item(index: number): I;
  /** Takes one item's result. */
  done(index: number, result: O | KeysteadError): void;
}

/** How many items failed. */
export interface BatchResult {
  readonly failed: number;
}

type UseOne<I, O> = (keyring: Keyring, key: Key, item: I) => O | Promise<O>;
type Families = readonly Algorithm["family"][];
type BatchOperation<I, O> = ProjectOperation<BatchInput<I, O>, BatchResult>;

export interface ReencryptBatchInput extends BatchInput<
  Ciphertext & { readonly to: Pick<ReencryptTarget, "aad"> },
  Encrypted
> {
  readonly to: Pick<ReencryptTarget, "key" | "version">;
}

const ciphers: Families = ["cipher", "public-cipher"];

export const keyEncryptBatch = batch<Plaintext, Encrypted>(
  "key.encrypt_batch",
  "kms:encrypt",
  "encrypt",
  ciphers,
  encrypt,
);
export const keyDecryptBatch = batch<Ciphertext, Decrypted>(
  "key.decrypt_batch",
  "kms:decrypt",
  "decrypt",
  ciphers,
  decrypt,
);
export const keySignBatch = batch<SignInput, Signature>(
  "key.sign_batch",
  "kms:sign",
  "sign",
  ["signature"],
  sign,
);
export const keyVerifyBatch = batch<VerifyInput, Verdict>(
  "key.verify_batch",
  "kms:verify",
  "verify",
  ["signature"],
  verify,
);
export const keyMacBatch = batch<MacInput, Mac>("key.mac_batch", "kms:mac", "mac", ["mac"], mac);
export const keyVerifyMacBatch = batch<VerifyMacInput, Verdict>(
  "key.verify_mac_batch",
  "kms:verify",
  "verify_mac",
  ["mac"],
  verifyMac,
);

export const keyReencryptBatch: ProjectOperation<ReencryptBatchInput, BatchResult> = {
  id: "key.reencrypt_batch",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const target = input.to.key ?? input.name;
    const to = await findOtherKey(context, target, "kms:encrypt");
    assertEncrypts(to);
    return runBatch(context, input, "decrypt", ciphers, { to: to.name }, async (keyring, from, item) => {
      // Looked up anew: the target may be revoked on the way as well.
      const current = await keyring.get(context.project.id, to.id);
      return reencrypt(keyring, from, current, item, { aad: item.to.aad, version: input.to.version });
    });
  },
};

function batch<I, O>(
  id: ProjectOperation<unknown, unknown>["id"],
  scope: Scope,
  use: KeyUse,
  families: Families,
  one: UseOne<I, O>,
): BatchOperation<I, O> {
  return {
    id,
    scope,
    inProject: true,
    resource: keyResource,
    run: (context, input) =>
      runBatch(context, input, use, families, {}, (keyring, key, item) => one(keyring, key, item)),
  };
}

async function runBatch<I, O>(
  context: ProjectContext,
  input: BatchInput<I, O>,
  use: KeyUse,
  families: Families,
  details: Readonly<Record<string, string>>,
  one: UseOne<I, O>,
): Promise<BatchResult> {
  const { keyring } = context.services;
  let tried = 0;
  let failed = 0;
  let broken: KeysteadError | undefined;
  const fail = (index: number, thrown: unknown): void => {
    const error = asKeysteadError(thrown);
    // What is the service's fault is no item's: the call fails as a whole.
    if (error.status >= 500) broken ??= error;
    failed++;
    input.done(index, error);
  };
  let key = await findKey(context, input);
  assertUse(key, use, ...families);
  try {
    let waiting: Promise<void>[] = [];
    let sliceEndMs = performance.now() + SLICE_MS;
    for (let index = 0; index < input.count && broken === undefined; index++) {
      tried++;
      try {
        const result = one(keyring, key, input.item(index));
        if (result instanceof Promise) {
          waiting.push(
            result.then(
              (value) => {
                input.done(index, value);
              },
              (thrown: unknown) => {
                fail(index, thrown);
              },
            ),
          );
        } else {
          input.done(index, result);
        }
      } catch (thrown) {
        fail(index, thrown);
      }
      if (waiting.length >= WAITING_MAX) {
        await Promise.all(waiting);
        waiting = [];
      }
      if (performance.now() < sliceEndMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      key = await findKey(context, input);
      assertUse(key, use, ...families);
      sliceEndMs = performance.now() + SLICE_MS;
    }
    await Promise.all(waiting);
    if (broken !== undefined) throw broken;
  } finally {
    // Of a batch that was stopped on its way, too, the entry tells what was done.
    context.details = { ...details, items: tried, failed };
  }
  return { failed };
}
