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

interface ItemAnswer {
  readonly error?: { readonly code: string; readonly title: string };
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
    return this.#batch(name, "encrypt", fields, (answer: Ciphered) => answer, call);
  }

  decryptBatch(
    name: string,
    items: readonly DecryptItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Decrypted>[]> {
    const fields = items.map(decryptFields);
    const read = (answer: { plaintext_b64: string; version: number }): Decrypted => ({
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
    return this.#batch(name, "reencrypt", fields, (answer: Ciphered) => answer, call, target);
  }

  signBatch(
    name: string,
    items: readonly SignItem[],
    call: CallOptions = {},
  ): Promise<ItemResult<Signature>[]> {
    const read = (answer: { signature_b64: string; version: number }): Signature => ({
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
    return this.#batch(name, "verify", fields, (answer: Verified) => answer, call);
  }

  macBatch(name: string, items: readonly MacItem[], call: CallOptions = {}): Promise<ItemResult<Mac>[]> {
    const fields = items.map(({ message }) => bytesField("message", message));
    const read = (answer: { mac_b64: string; version: number }): Mac => ({
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
    return this.#batch(name, "verify-mac", fields, (answer: Verified) => answer, call);
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

  async #batch<A extends object, T>(
    name: string,
    use: string,
    items: readonly Readonly<Record<string, unknown>>[],
    read: (answer: A) => T,
    call: CallOptions,
    target: Readonly<Record<string, unknown>> = {},
  ): Promise<ItemResult<T>[]> {
    const answer = await this.post<{ results?: readonly (A & ItemAnswer)[] }>(
      name,
      `${use}/batch`,
      { ...target, items },
      call,
    );
    const { results } = answer;
    if (!Array.isArray(results) || results.length !== items.length) {
      throw new KeysteadConnectionError("unexpected_answer", "The server's answer does not fit the batch");
    }
    return (results as readonly (A & ItemAnswer)[]).map((result) =>
      result.error === undefined
        ? read(result)
        : new KeysteadItemError(result.error.code, result.error.title),
    );
  }
}

function decryptFields({ ciphertext, aad }: DecryptItem): Record<string, string> {
  return { ciphertext: base64Of(ciphertext), ...bytesField("aad", aad) };
}

function signFields(item: SignItem): Record<string, unknown> {
  return { ...signedFields(item), scheme: item.scheme, encoding: item.encoding };
}
