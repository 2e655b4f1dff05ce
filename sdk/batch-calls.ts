/**
 * Many uses of one key in one call: a part of `client.key`. A call takes at most 1000 items and 8 MiB.
 * Invariant: results stand in the order of the items, one for each; what failed is a KeysteadItemError in its place.
 */
import type { ReencryptTarget } from "./cipher-calls.ts";
import { framesOf, resultsOf, type BulkItem } from "./bulk-frames.ts";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadItemError } from "./item-error.ts";
import { keyPath } from "./key-calls.ts";
import { SignatureCalls, signedFields, type SignatureForm, type Signed } from "./signature-calls.ts";
import type { CallOptions } from "./transport.ts";
import { base64Of, bytesField, fromBase64, toBase64 } from "./wire-bytes.ts";
import type { Ciphered, Decrypted, Mac, Signature, Verified } from "./wire.ts";

/** The most items of one call. */
export const BATCH_ITEMS_MAX = 1000;

interface ContextItem {
  /** Additional authenticated data: decryption takes the same. */
  readonly aad?: string | Uint8Array | undefined;
}

export interface EncryptItem extends ContextItem {
  readonly plaintext: string | Uint8Array;
}

export interface DecryptItem extends ContextItem {
  /** Base64, or bytes. */
  readonly ciphertext: string | Uint8Array;
}

export interface ReencryptItem extends DecryptItem {
  /** The additional data from now on; unchanged unless set. */
  readonly toAad?: string | Uint8Array | undefined;
}

export interface ReencryptBatchOptions extends CallOptions, ReencryptTarget {}

export type SignItem = Signed & SignatureForm;

export type VerifyItem = SignItem & {
  readonly signature: Uint8Array;
  /** Any version unless set. */
  readonly version?: number | undefined;
};

export interface MacItem {
  readonly message: string | Uint8Array;
}

export interface VerifyMacItem extends MacItem {
  readonly mac: Uint8Array;
  /** Any version unless set. */
  readonly version?: number | undefined;
}

/** An item's result, or why it failed. */
export type ItemResult<T> = T | KeysteadItemError;

/** An item as it came: the members of its call, or an error. */
interface ItemAnswer {
  readonly error?: { readonly code: string; readonly title: string };
  readonly version: number;
  readonly ciphertext: string;
  readonly valid: boolean;
  readonly plaintext_b64: unknown;
  readonly signature_b64: unknown;
  readonly mac_b64: unknown;
}

export class BatchCalls extends SignatureCalls {
  encryptBatch(
    name: string,
    items: readonly EncryptItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Ciphered>[]> {
    const fields = items.map(({ plaintext, aad }) => ({
      ...bytesField("plaintext", plaintext),
      ...bytesField("aad", aad),
    }));
    return this.#batch(name, "encrypt", fields, cipheredOf, call);
  }

  decryptBatch(
    name: string,
    items: readonly DecryptItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Decrypted>[]> {
    const fields = items.map(decryptFields);
    const read = (answer: ItemAnswer): Decrypted => ({
      plaintext: fromBase64(answer.plaintext_b64),
      version: answer.version,
    });
    return this.#batch(name, "decrypt", fields, read, call);
  }

  reencryptBatch(
    name: string,
    items: readonly ReencryptItem[],
    { toKey, toVersion, ...call }: ReencryptBatchOptions = {},
  ): Promise<ItemResult<Ciphered>[]> {
    const fields = items.map((item) => ({ ...decryptFields(item), ...bytesField("to_aad", item.toAad) }));
    const target = { to_key: toKey, to_version: toVersion };
    return this.#batch(name, "reencrypt", fields, cipheredOf, call, target);
  }

  signBatch(
    name: string,
    items: readonly SignItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Signature>[]> {
    const read = (answer: ItemAnswer): Signature => ({
      signature: fromBase64(answer.signature_b64),
      version: answer.version,
    });
    return this.#batch(name, "sign", items.map(signFields), read, call);
  }

  verifyBatch(
    name: string,
    items: readonly VerifyItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Verified>[]> {
    const fields = items.map((item) => ({
      ...signFields(item),
      signature_b64: toBase64(item.signature),
      version: item.version,
    }));
    return this.#batch(name, "verify", fields, verifiedOf, call);
  }

  macBatch(name: string, items: readonly MacItem[], call: CallOptions = {}): Promise<ItemResult<Mac>[]> {
    const fields = items.map(({ message }) => bytesField("message", message));
    const read = (answer: ItemAnswer): Mac => ({
      mac: fromBase64(answer.mac_b64),
      version: answer.version,
    });
    return this.#batch(name, "mac", fields, read, call);
  }

  verifyMacBatch(
    name: string,
    items: readonly VerifyMacItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Verified>[]> {
    const fields = items.map(({ message, mac, version }) => ({
      ...bytesField("message", message),
      mac_b64: toBase64(mac),
      version,
    }));
    return this.#batch(name, "verify-mac", fields, verifiedOf, call);
  }

  /** As `encryptBatch`, in the API's binary form, which costs both sides the least: ciphertexts come as bytes. */
  encryptBulk(
    name: string,
    items: readonly EncryptItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Uint8Array>[]> {
    const frames = items.map(({ plaintext, aad }) => ({ aad, data: plaintext }));
    return this.#bulk(name, "encrypt", frames, call);
  }

  /** As `decryptBatch`, in the API's binary form: ciphertexts are bytes, or the base64 of them. */
  decryptBulk(
    name: string,
    items: readonly DecryptItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Uint8Array>[]> {
    const frames = items.map(({ ciphertext, aad }) => ({
      aad,
      data: typeof ciphertext === "string" ? fromBase64(ciphertext) : ciphertext,
    }));
    return this.#bulk(name, "decrypt", frames, call);
  }

  async #bulk(
    name: string,
    use: string,
    frames: readonly BulkItem[],
    call: CallOptions,
  ): Promise<ItemResult<Uint8Array>[]> {
    const request = { path: `${keyPath(name)}/${use}/batch`, bytes: framesOf(frames) };
    return resultsOf(await this.transport.sendBytes(request, call), frames.length);
  }

  async #batch<T>(
    name: string,
    use: string,
    items: readonly Readonly<Record<string, unknown>>[],
    read: (answer: ItemAnswer) => T,
    call: CallOptions,
    target: Readonly<Record<string, unknown>> = {},
  ): Promise<ItemResult<T>[]> {
    const answer = await this.use<{ results?: readonly ItemAnswer[] }>(
      name,
      `${use}/batch`,
      { ...target, items },
      call,
    );
    const { results } = answer;
    if (!Array.isArray(results) || results.length !== items.length) throw misfit();
    return (results as readonly (ItemAnswer | null)[]).map((result) => {
      if (typeof result !== "object" || result === null) throw misfit();
      const { error } = result;
      return error === undefined ? read(result) : new KeysteadItemError(error.code, error.title);
    });
  }
}

function misfit(): KeysteadConnectionError {
  return new KeysteadConnectionError("unexpected_answer", "The server's answer does not fit the batch");
}

function cipheredOf({ ciphertext, version }: ItemAnswer): Ciphered {
  return { ciphertext, version };
}

function verifiedOf({ valid, version }: ItemAnswer): Verified {
  return valid ? { valid, version } : { valid };
}

function decryptFields({ ciphertext, aad }: DecryptItem): Record<string, string> {
  return { ciphertext: base64Of(ciphertext), ...bytesField("aad", aad) };
}

function signFields(item: SignItem): Record<string, unknown> {
  return { ...signedFields(item), scheme: item.scheme, encoding: item.encoding };
}
